"""Small charts as inline SVG, without scripts: lines over steps, and one row of dots with their intervals.

Places are percentages of the drawing and sizes are pixels, so that a chart fills any width and its words
keep their size. Colours come from the page's CSS classes: `s0`, `s1`, ... are the series.
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

NICE_STEPS = (1, 2, 2.5, 5, 10)
DOTTED = 20  # lines of more points are drawn without dots
LOSS_POINTS = 600  # as many as a screen can show
TICKED = 6  # so many x values may each have a tick of their own
Point = tuple[float, float]


@dataclass(frozen=True)
class Band:
    """The interval around one point of a line; a named one carries its name above it."""

    x: float
    low: float
    high: float
    name: str = ""


def line_chart(lines: Mapping[str, Sequence[Point]], x_label: str, y_label: str, bands: Sequence[Band] = ()) -> str:
    """Lines over a common x axis, y from 0; every line needs a point."""
    points = [point for line in lines.values() for point in line]
    xs = sorted({x for x, _ in points})
    y_ticks = ticks(0, max([y for _, y in points] + [band.high for band in bands]))
    x_low, x_high, y_high = xs[0], xs[-1], y_ticks[-1]

    def place(x: float, y: float) -> Point:
        across = (x - x_low) / (x_high - x_low) if x_high > x_low else 0.5
        return 100 * across, 100 - 100 * y / y_high

    parts = []
    for value in y_ticks:
        _, y = place(x_low, value)
        parts.append(f'<line class="grid" x1="0%" x2="100%" y1="{y:.2f}%" y2="{y:.2f}%"/>')
        parts.append(f'<text class="tick" x="0%" y="{y:.2f}%" dx="-8" dy="4" text-anchor="end">{value:g}</text>')
    for value in _x_ticks(xs):
        x, _ = place(value, 0)
        parts.append(f'<text class="tick" x="{x:.2f}%" y="100%" dy="18" text-anchor="middle">{value:g}</text>')
    parts.append(f'<text class="label" x="50%" y="100%" dy="36" text-anchor="middle">{escape(x_label)}</text>')
    parts.append(f'<text class="label" x="0%" y="0%" dx="-30" dy="-14">{escape(y_label)}</text>')
    for number, line in enumerate(lines.values()):
        path = " ".join(f"{x:.2f},{y:.2f}" for x, y in (place(*point) for point in line))
        parts.append(
            '<svg viewBox="0 0 100 100" preserveAspectRatio="none" width="100%" height="100%" overflow="visible">'
            f'<polyline class="line s{number}" vector-effect="non-scaling-stroke" points="{path}"/></svg>'
        )
    for band in bands:
        parts.append(_band(band, place(band.x, band.high), place(band.x, band.low)))
    for number, (name, line) in enumerate(lines.items()):
        for point in line if len(line) <= DOTTED else ():
            x, y = place(*point)
            note = f"{escape(name)}: {point[0]:g}, {point[1]:.3g}"
            parts.append(
                f'<circle class="dot s{number}" cx="{x:.2f}%" cy="{y:.2f}%" r="4"><title>{note}</title></circle>'
            )
    summary = f"{y_label} over {x_label}: " + "; ".join(
        f"{name} from {line[0][1]:.3g} to {line[-1][1]:.3g}" for name, line in lines.items()
    )
    return (
        f'<svg class="chart" width="100%" height="200" role="img" aria-label="{escape(summary)}">{"".join(parts)}</svg>'
    )


def step_chart(shares: Mapping[int, Mapping[str, float]], chosen: int, label: str) -> str:
    """Shares of 0 to 1 with their intervals ({"value", "low", "high"}) by training step."""
    points = [(float(step), 100 * share["value"]) for step, share in shares.items()]
    bands = [
        Band(step, 100 * share["low"], 100 * share["high"], "chosen" if step == chosen else "")
        for step, share in shares.items()
    ]
    return line_chart({label: points}, "training step (0: the base)", f"{label}, %", bands)


def loss_window(losses: Sequence[Mapping[str, float]]) -> int:
    return max(len(losses) // 20, 1)


def loss_chart(losses: Sequence[Mapping[str, float]]) -> str:
    """The loss of each step and its running mean, thinned; empty if there is no finite loss."""
    known = [(line["step"], line["loss"]) for line in losses if math.isfinite(line["loss"])]
    if not known:
        return ""
    window = loss_window(losses)
    spans = [known[max(end - window, 0) : end] for end in range(1, len(known) + 1)]
    smooth = [(span[-1][0], sum(loss for _, loss in span) / len(span)) for span in spans]
    thin = math.ceil(len(known) / LOSS_POINTS)
    return line_chart(
        {"loss of each step": known[::thin], f"mean of {window}": smooth[::thin]}, "training step", "loss"
    )


def dot_row(number: int, value: float, low: float, high: float, mark: float | None = None) -> str:
    """One share of 0 to 1 as a dot on its interval, and a second one as an upright stroke.

    Hidden from screen readers: the table that it stands in says the same in figures.
    """
    parts = [
        f'<line class="range" x1="{100 * low:.2f}%" x2="{100 * high:.2f}%" y1="50%" y2="50%"/>',
        f'<circle class="dot" cx="{100 * value:.2f}%" cy="50%" r="4.5"/>',
    ]
    if mark is not None:
        parts.append(f'<line class="mark" x1="{100 * mark:.2f}%" x2="{100 * mark:.2f}%" y1="10%" y2="90%"/>')
    return f'<svg class="dots s{number}" width="100%" height="18" aria-hidden="true">{"".join(parts)}</svg>'


def bar_row(number: int, share: float) -> str:
    """A share of 0 to 1 as a thin bar; nothing at all is drawn for 0."""
    bar = f'<rect width="{100 * share:.2f}%" height="100%"/>' if share else ""
    return f'<svg class="bar s{number}" width="100%" height="8" aria-hidden="true">{bar}</svg>'


def ticks(low: float, high: float, count: int = 4) -> list[float]:
    """About `count` + 1 round numbers from `low` or less to `high` or more."""
    if high <= low:
        high = low + 1
    power = 10.0 ** math.floor(math.log10((high - low) / count))
    step = next(nice * power for nice in NICE_STEPS if nice * power * count >= (high - low) * 0.999)
    first, last = math.floor(low / step), math.ceil(high / step - 1e-9)
    return [round(place * step, 10) for place in range(first, last + 1)]


def _x_ticks(xs: Sequence[float]) -> list[float]:
    """The values themselves if they are few and far enough apart, else round numbers between the ends."""
    width = xs[-1] - xs[0]
    if len(xs) <= TICKED and all(after - before >= width / 8 for before, after in itertools.pairwise(xs)):
        return list(xs)
    return [value for value in ticks(xs[0], xs[-1]) if xs[0] <= value <= xs[-1]]


def _band(band: Band, top: Point, bottom: Point) -> str:
    line = f'<line class="band" x1="{top[0]:.2f}%" x2="{top[0]:.2f}%" y1="{top[1]:.2f}%" y2="{bottom[1]:.2f}%"/>'
    if not band.name:
        return line
    anchor = "end" if top[0] > 90 else "start" if top[0] < 10 else "middle"
    place = f'x="{top[0]:.2f}%" y="{top[1]:.2f}%" dy="-6" text-anchor="{anchor}"'
    return f'{line}<text class="label chosen" {place}>{escape(band.name)}</text>'
