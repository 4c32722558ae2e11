"""The commands in the order and groups in which help shows them. Reads nothing; imports nothing of weight."""

from typing import Any

from typer.core import TyperGroup

PANELS = {
    "The line": ("run", "download", "prepare", "render", "train", "evaluate", "export", "plan", "status"),
    "Using a model": ("ask", "chat", "serve", "push"),
    "Your own data": ("init", "import", "synth"),
    "Scoring": ("score", "compare", "suite"),
    "Keeping house": ("runs", "clean", "doctor"),
}
OTHER = "More"
LONGEST = 200  # characters of a command's line, which is wrapped and not cut


class Panels(TyperGroup):
    """A group of commands whose help has a section for each panel."""

    def list_commands(self, ctx: Any) -> list[str]:
        """In the order of the panels; others behind them, as they were added."""
        known = [name for names in PANELS.values() for name in names if name in self.commands]
        return known + [name for name in self.commands if name not in known]

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        listed = self.list_commands(ctx)
        width = max(map(len, listed))
        placed = {name for names in PANELS.values() for name in names}
        panels = {**PANELS, OTHER: tuple(name for name in listed if name not in placed)}
        for title, names in panels.items():
            shown = [(name, self.commands[name]) for name in listed if name in names and not self.commands[name].hidden]
            if shown:
                with formatter.section(title):
                    # Names as wide as the widest of all, so that the sections' texts are below each other.
                    formatter.write_dl([(name.ljust(width), one.get_short_help_str(LONGEST)) for name, one in shown])
