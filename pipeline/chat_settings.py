"""The settings of a chat: their names, what they may be, and how they stand. Nothing is read or written."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import Any

from data.errors import UserError
from pipeline.answerer import Options
from pipeline.console import table


@dataclass(frozen=True)
class Setting:
    """One setting: the field of `Options`, its bounds (`least` itself only if `open` is False), what it does."""

    field: str
    kind: type[int] | type[float]
    least: float
    most: float
    what: str
    open: bool = False

    @property
    def bounds(self) -> str:
        number = "a whole number" if self.kind is int else "a number"
        return f"{number} {'above' if self.open else 'from'} {self.least:g} up to {self.most:g}"


SETTINGS: Mapping[str, Setting] = {
    "temperature": Setting("temperature", float, 0, 5, "0 writes the likeliest token; above, tokens are drawn"),
    "top_k": Setting("top_k", int, 0, 1_000_000, "drawn among so many of the likeliest tokens; 0: all"),
    "top_p": Setting("top_p", float, 0, 1, "drawn among the likeliest tokens that have this chance together", open=True),
    "repetition_penalty": Setting("repetition_penalty", float, 0.1, 10, "above 1: what was written becomes less likely"),
    "max_tokens": Setting("max_new_tokens", int, 1, 100_000, "the longest answer"),
    "vote": Setting("vote", int, 1, 100, "answers drawn, of which the commonest result counts"),
    "retry": Setting("retry", int, 0, 10, "tries again where a query fails, with its error"),
    "seed": Setting("seed", int, 0, 2**63 - 1, "another seed, other draws"),
}  # fmt: skip


def change_settings(options: Options, words: str) -> Options:
    """The options after `name=value ...`; all of them or none. Raises UserError in one line."""
    for word in words.split():
        name, equals, text = word.partition("=")
        setting = SETTINGS.get(name)
        if setting is None:
            close = get_close_matches(name, SETTINGS, 1, 0.4)
            way = f"did you mean {close[0]}?" if close else f"there are {', '.join(SETTINGS)}"
            raise UserError(f"/settings {word}: no such setting; {way}")
        if not equals or not text:
            raise UserError(f"/settings {word}: give a value, as in {name}={getattr(options, setting.field) or 1}")
        changed: dict[str, Any] = {setting.field: _value(setting, word, text)}
        options = replace(options, **changed)
    return options


def show_settings(options: Options, max_tokens: int) -> None:
    """`max_tokens` is the exported model's own limit, which holds where none is set."""
    values = {name: getattr(options, setting.field) for name, setting in SETTINGS.items()}
    values["max_tokens"] = values["max_tokens"] or max_tokens
    rows = [
        [name, f"{values[name]:g}" if name != "seed" else str(values[name]), SETTINGS[name].what] for name in SETTINGS
    ]
    table("settings", ["name", "value", "what it does"], rows)


def _value(setting: Setting, word: str, text: str) -> float:
    try:
        value = setting.kind(text)
    except ValueError:
        value = None
    # Said so that NaN fails.
    if value is None or not (setting.least <= value <= setting.most) or (setting.open and value == setting.least):
        raise UserError(f"/settings {word}: give {setting.bounds}")
    return value
