"""Small charts as inline SVG, without scripts: lines over steps, bars with intervals.

Colours come from the page's CSS classes, so that both light and dark schemes read well.
"""

from collections.abc import Mapping, Sequence
from html import escape

WIDTH, HEIGHT, LEFT, BOTTOM, TOP, RIGHT = 640, 240, 52, 34, 14, 14
Point = tuple[float, float]


def line_chart(
    series: Mapping[str, Sequence[Point]], x_label: str, y_label: str, bands: Sequence[tuple[float, float, float]] = ()
) -> str:
    """Lines with dots; `bands` are (x, low, high) intervals. At least one point is needed."""
    points = [point for line in series.values() for point in line]
    x_low, x_high = min(x for x, _ in points), max(x for x, _ in points)
    y_high = _nice(max([y for _, y in points] + [high for _, _, high in bands]))

    def place(x: float, y: float) -> Point:
        across = (x - x_low) / (x_high - x_low) if x_high > x_low else 0.5
        return LEFT + across * (WIDTH - LEFT - RIGHT), HEIGHT - BOTTOM - y / y_high * (HEIGHT - BOTTOM - TOP)

    parts = [_axes(x_label, y_label, y_high, place, x_low, x_high)]
    for x, low, high in bands:
        (left, top), (_, bottom) = place(x, high), place(x, low)
        parts.append(f'<line class="band" x1="{left:.1f}" y1="{top:.1f}" x2="{left:.1f}" y2="{bottom:.1f}"/>')
    for number, (name, line) in enumerate(series.items()):
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in (place(*point) for point in line))
        parts.append(f'<polyline class="line s{number}" points="{path}"><title>{escape(name)}</title></polyline>')
        if len(line) <= 20:
            for point in line:
                x, y = place(*point)
                parts.append(
                    f'<circle class="dot s{number}" cx="{x:.1f}" cy="{y:.1f}" r="3.5"><title>{escape(name)}: {point[0]:g}, {point[1]:.3g}</title></circle>'
                )
    summary = f"{y_label} over {x_label}: " + "; ".join(
        f"{name} from {line[0][1]:.3g} to {line[-1][1]:.3g}" for name, line in series.items()
    )
    return _svg(HEIGHT, summary, parts)


def bar_chart(groups: Sequence[tuple[str, Sequence[tuple[str, float, float, float, str]]]]) -> str:
    """Groups of horizontal bars from 0 to 100%: each bar is (name, value, low, high, note)."""
    row, gap, label = 18, 10, 150
    height = sum(len(bars) * row + gap for _, bars in groups) + 8
    parts, top = [], 4
    scale = WIDTH - label - 110
    for title, bars in groups:
        middle = top + len(bars) * row / 2 + 4
        parts.append(f'<text class="label" x="{label - 8}" y="{middle:.1f}" text-anchor="end">{escape(title)}</text>')
        for number, (name, value, low, high, note) in enumerate(bars):
            y = top + number * row
            parts.append(
                f'<rect class="bar s{number}" x="{label}" y="{y + 2}" width="{max(value * scale, 1):.1f}" height="{row - 4}"><title>{escape(name)}: {escape(note)}</title></rect>'
            )
            parts.append(
                f'<line class="band" x1="{label + low * scale:.1f}" y1="{y + row / 2}" x2="{label + high * scale:.1f}" y2="{y + row / 2}"/>'
            )
            parts.append(
                f'<text class="value" x="{label + max(value, high) * scale + 6:.1f}" y="{y + row / 2 + 4}">{escape(note)}</text>'
            )
        top += len(bars) * row + gap
    summary = "; ".join(f"{title}: " + ", ".join(f"{name} {note}" for name, *_, note in bars) for title, bars in groups)
    return _svg(height, summary, parts)


def _svg(height: float, summary: str, parts: Sequence[str]) -> str:
    return f'<svg viewBox="0 0 {WIDTH} {height:g}" role="img" aria-label="{escape(summary)}">{"".join(parts)}</svg>'


def _axes(x_label: str, y_label: str, y_high: float, place: object, x_low: float, x_high: float) -> str:
    assert callable(place)
    parts = []
    for share in (0, 0.25, 0.5, 0.75, 1):
        _, y = place(x_low, y_high * share)
        parts.append(f'<line class="grid" x1="{LEFT}" y1="{y:.1f}" x2="{WIDTH - RIGHT}" y2="{y:.1f}"/>')
        parts.append(f'<text class="tick" x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{y_high * share:.3g}</text>')
    for x_value in dict.fromkeys([x_low, (x_low + x_high) / 2, x_high]):
        x, _ = place(x_value, 0)
        parts.append(
            f'<text class="tick" x="{x:.1f}" y="{HEIGHT - BOTTOM + 15}" text-anchor="middle">{x_value:.4g}</text>'
        )
    parts.append(
        f'<text class="label" x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 3}" text-anchor="middle">{escape(x_label)}</text>'
    )
    parts.append(
        f'<text class="label" x="12" y="{(HEIGHT - BOTTOM + TOP) / 2}" text-anchor="middle" transform="rotate(-90 12 {(HEIGHT - BOTTOM + TOP) / 2})">{escape(y_label)}</text>'
    )
    return "".join(parts)


def _nice(value: float) -> float:
    """The next of 1, 2, 4, 5, 8 times a power of ten, for the end of an axis."""
    if value <= 0:
        return 1.0
    power = 10.0 ** (len(str(int(value))) - 1) if value >= 1 else 0.1 if value >= 0.1 else 0.01
    return next(step * power for step in (1, 2, 4, 5, 8, 10) if step * power >= value)
