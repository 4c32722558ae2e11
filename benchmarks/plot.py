"""The figures of `benchmarks/results/` as pictures: how many times faster, and how cost grows.

    python benchmarks/plot.py

Reads the JSON files, writes `speed.svg` and `growth.svg` beside them. It needs matplotlib, which the
extra `benchmarks` brings.
"""

import json
from pathlib import Path
from typing import Any

from matplotlib import pyplot

RESULTS = Path(__file__).parent / "results"
BLUE, GREY = "#2563a8", "#8a8f98"


def main() -> None:
    pyplot.rcParams["svg.hashsalt"] = "loraql"  # the same figures, the same file
    speed()
    growth()


def read(name: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))
    return content


def speed() -> None:
    """Ratios against the plain way, and what was aimed at."""
    train, generate, select = read("train_speed"), read("generate_speed"), read("select_speed")
    bars = [
        ("training, 25 of 30 layers frozen,\nfrom the second epoch on", train["ratio_epoch2_25"], 15),
        ("training, 20 frozen,\nfrom the second epoch on", train["ratio_epoch2"], 10),
        ("training, 20 frozen,\nthree epochs in all", train["ratio_total"], 5),
        ("training, nothing frozen", train["ratio_unfrozen"], 3),
        ("generation, against\none prompt at a time", generate["ratio_single"], 4),
        ("generation, against\nbatches of 8", generate["ratio_batch"], 2),
        ("choosing among 5 checkpoints\nby 200 questions", select["ratio"], 4),
    ]
    figure, axes = pyplot.subplots(figsize=(8, 5))
    places = range(len(bars), 0, -1)
    axes.barh(places, [ratio for _, ratio, _ in bars], color=BLUE, height=0.6)
    axes.plot([aim for *_, aim in bars], places, "|", color="black", markersize=22, label="aim")
    for place, (_, ratio, _) in zip(places, bars, strict=True):
        axes.annotate(f"{ratio:.1f}", (ratio, place), xytext=(4, 0), textcoords="offset points", va="center")
    axes.set_yticks(list(places), [label for label, *_ in bars])
    axes.set_xlabel("times as fast as the plain way, two cores, 135M parameters")
    axes.axvline(1, color=GREY, linewidth=1)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="lower right")
    save(figure, "speed")


def growth() -> None:
    """Seconds by the number of questions, each with a line through the smallest size and the origin."""
    found = read("growth")
    figure, all_axes = pyplot.subplots(1, len(found["seconds"]), figsize=(9, 3.4))
    for axes, (name, seconds) in zip(all_axes, found["seconds"].items(), strict=True):
        sizes = [int(size) for size in seconds]
        taken = list(seconds.values())
        axes.plot([0, sizes[-1]], [0, taken[0] / sizes[0] * sizes[-1]], "--", color=GREY, linewidth=1)
        axes.plot(sizes, taken, "o-", color=BLUE)
        axes.set_title(f"{name}: n$^{{{found['exponents'][name]:.2f}}}$", fontsize=10)
        axes.set_xlim(left=0)
        axes.set_ylim(bottom=0)
        axes.set_xticks(sizes)
        axes.set_xlabel("questions")
        axes.spines[["top", "right"]].set_visible(False)
    all_axes[0].set_ylabel("seconds")
    save(figure, "growth")


def save(figure: Any, name: str) -> None:
    figure.tight_layout()
    figure.savefig(RESULTS / f"{name}.svg", metadata={"Date": None})
    pyplot.close(figure)


if __name__ == "__main__":
    main()
