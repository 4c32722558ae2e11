"""The figures of test suites, for people: how many wrong queries each catches, and which are hardest to catch.

Reads what `suite` keeps in `suite.json`, writes nothing.
"""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from pipeline.console import say, table

FIGURES = "suite.json"  # in OUT and in each database's folder
COUNTS = ("neighbours", "killable", "killed_by_original", "killed")
SHOWN_KINDS = 5
SHOWN_NAME = 60


def show_suites(done: Mapping[str, dict[str, Any]], left_out: Mapping[str, str], kept: int) -> None:
    """Tables of what was made; `left_out` says why others were not, `kept` counts suites of earlier runs."""
    total = {count: sum(figures[count] for figures in done.values()) for count in ("golds", *COUNTS)}
    total["sha256"] = [None] * sum(len(figures["sha256"]) for figures in done.values())
    shown = [*done.items(), ("all", total)] if len(done) > 1 else [*done.items()]
    rows = [
        [
            name,
            figures["golds"],
            figures["neighbours"],
            _share(figures["killed_by_original"], figures["neighbours"]),
            _share(figures["killed"], figures["neighbours"]),
            _share(figures["killed"], figures["killable"]),
            len(figures["sha256"]),
        ]
        for name, figures in shown
    ]
    # Short, so that the names stay whole on 80 columns.
    columns = ["database", "golds", "wrong", "alone", "suite", "differ", "DBs"]
    table("Wrong queries (one change away from a gold) that a suite catches", columns, rows)
    say("  wrong: the wrong queries; alone: caught by the database alone; suite: by its suite")
    say("  differ: by its suite, of those that differ from their gold on any database tried")
    say("  DBs: databases in the suite, the original among them")
    kinds: dict[str, Counter[str]] = {}
    for figures in done.values():
        for kind, counts in figures["kinds"].items():
            kinds.setdefault(kind, Counter()).update(counts)
    hardest = sorted(kinds, key=lambda kind: kinds[kind]["killed"] / kinds[kind]["neighbours"])[:SHOWN_KINDS]
    if hardest:
        table(
            "Hardest to catch (many of these mean the same as their gold)",
            ["change", "wrong", "alone", "suite"],
            [
                [
                    kind,
                    kinds[kind]["neighbours"],
                    *(_share(kinds[kind][count], kinds[kind]["neighbours"]) for count in COUNTS[2:]),
                ]
                for kind in hardest
            ],
        )
    for count, what in (
        ("golds_that_fail", "that fail"),
        ("golds_too_slow", "that are too slow or give too many rows"),
    ):
        number = sum(len(figures[count]) for figures in done.values())
        if number:
            say(f"  gold queries left out {what}: {number}; {FIGURES} lists them")
    if kept:
        say(f"  suites of other databases, made earlier, that stay: {kept}")
    for name, reason in left_out.items():
        say(f"  left out: {short(name)}: {reason}")


def _share(part: int, whole: int) -> str:
    """100% means all."""
    if not whole:
        return ""
    return "100%" if part == whole else f"{min(100 * part / whole, 99.9):.1f}%"


def short(name: str) -> str:
    """A database's name, cut where it would fill a screen."""
    return name if len(name) <= SHOWN_NAME else f"{name[: SHOWN_NAME - 3]}..."
