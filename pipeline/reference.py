"""The reference pages, made of the code: the commands from typer's own objects, the settings from the pydantic models.

A tool for developers: `python -m pipeline.reference` reads the pages of docs/ and writes what stands between their
marks anew. A test says when a page is out of date.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from data.errors import UserError
from pipeline.settings import Settings

DOCS = Path(__file__).resolve().parent.parent / "docs"
MAKER = "python -m pipeline.reference"
END = "<!-- end -->"
VALUES = {int: "N", float: "X", Path: "PATH", str: "TEXT"}  # what a value on the command line is called


def write_reference(docs: Path = DOCS) -> list[Path]:
    """Writes the pages that are out of date; which these were. Raises UserError where docs/ is not."""
    if not docs.is_dir():
        raise UserError(f"{docs}: no such folder; the reference is written in loraql's source tree")
    outdated = []
    for page in sorted(docs.glob("*.md")):
        old = page.read_text(encoding="utf-8")
        if (new := refreshed(old)) != old:
            page.write_text(new, encoding="utf-8")
            outdated.append(page)
    return outdated


def refreshed(text: str) -> str:
    """A page with its parts made anew, where it has any."""
    for name, make in PARTS.items():
        if mark(name) in text:
            text = fill(text, name, make())
    return text


def fill(text: str, name: str, part: str, maker: str = MAKER) -> str:
    """A page with this between the marks of this name."""
    before, begin, rest = text.partition(mark(name, maker))
    _, end, after = rest.partition(END)
    if not end:
        raise UserError(f"{begin}: no {END} follows")
    return f"{before}{begin}\n\n{part.strip()}\n\n{END}{after}"


def mark(name: str, maker: str = MAKER) -> str:
    return f"<!-- made by `{maker}`: {name} -->"


def table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *(tuple(cell.replace("|", "\\|") for cell in row) for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def commands() -> dict[str, Any]:
    """typer's objects of the commands that help shows, by name; those of a group as `group command`."""
    from typer.main import get_command

    from pipeline.cli import app

    return dict(_commands(get_command(app), ""))


def _commands(group: Any, before: str) -> Iterator[tuple[str, Any]]:
    for name, command in group.commands.items():
        if not command.hidden:
            if hasattr(command, "commands"):
                yield from _commands(command, f"{before}{name} ")
            else:
                yield f"{before}{name}", command


def examples(command: Any) -> list[str]:
    """The command lines at the end of a command's help."""
    lines = (command.epilog or "").replace("\b", "").splitlines()
    return [line.strip() for line in lines if line.strip().startswith("loraql ")]


def _commands_part() -> str:
    found = commands()
    index = [
        (f"[`loraql {name}`](#loraql-{name.replace(' ', '-')})", _first(command)) for name, command in found.items()
    ]
    return "\n\n".join([table(("command", "what it does"), index), *map(_command, found.items())])


def _command(named: tuple[str, Any]) -> str:
    name, command = named
    parts = [f"## loraql {name}", _paragraphs(command.help)]
    rows = [_parameter(parameter) for parameter in command.params if not getattr(parameter, "hidden", False)]
    if rows:
        parts.append(table(("given as", "default", "what it is"), rows))
    if lines := examples(command):
        parts.append("\n".join(["```text", *lines, "```"]))
    return "\n\n".join(parts)


def _parameter(parameter: Any) -> tuple[str, str, str]:
    if parameter.param_type_name == "argument":
        name = parameter.metavar or parameter.name.upper()
        return f"`{name}`", "must be given" if parameter.required else "", parameter.help or ""
    names = ", ".join(f"`{name}`" for name in [*parameter.opts, *parameter.secondary_opts])
    if not parameter.is_flag:
        names = f"{names[:-1]} {parameter.metavar or _value(parameter.type_descriptor.annotation)}`"
    default = "must be given" if parameter.required else _default(parameter)
    bounds = _bounds(parameter.min, parameter.max)
    notes = [
        parameter.help or "",
        bounds and f"{names[:-1].split()[-1]} {bounds}",
        "may be given several times" if parameter.multiple else "",
    ]
    return names, default, "; ".join(note for note in notes if note)


def _value(kind: Any) -> str:
    """What stands for a value of this type."""
    if get_origin(kind) is Literal:
        return "|".join(map(str, get_args(kind)))
    if isinstance(kind, type) and issubclass(kind, Enum):
        return "|".join(str(member.value) for member in kind)
    inner = get_args(kind)
    return _value(inner[0]) if inner else VALUES.get(kind, "VALUE")


def _default(option: Any) -> str:
    given = option.default
    if option.is_flag:
        return f"`{option.opts[0]}`" if given else f"`{option.secondary_opts[0]}`" if option.secondary_opts else ""
    return "" if given is None or given in ((), []) or callable(given) else f"`{given}`"


def _bounds(least: Any, most: Any) -> str:
    return " ".join(f"{word} {value}" for word, value in (("from", least), ("to", most)) if value is not None)


def _first(command: Any) -> str:
    return _paragraphs(command.help).split("\n\n")[0]


def _paragraphs(text: str | None) -> str:
    return "\n\n".join(" ".join(part.split()) for part in re.split(r"\n\s*\n", (text or "").replace("\b", "")))


def settings(model: type[Settings], prefix: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Each setting with its JSON schema, those of inner sections among them."""
    schema = model.model_json_schema()
    shared = schema.get("$defs", {})
    for name, field in model.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, Settings):
            yield from settings(inner, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", _resolved(schema["properties"][name], shared)


def _resolved(schema: Any, shared: Mapping[str, Any]) -> Any:
    """A schema with what it refers to in place."""
    if isinstance(schema, dict):
        target = shared[schema["$ref"].rsplit("/", 1)[-1]] if "$ref" in schema else {}
        merged = target | {key: value for key, value in schema.items() if key != "$ref"}
        return {key: _resolved(value, shared) for key, value in merged.items()}
    return [_resolved(item, shared) for item in schema] if isinstance(schema, list) else schema


def _settings_part() -> str:
    from pipeline.config import Config

    sections = {
        name: field.annotation
        for name, field in Config.model_fields.items()
        if isinstance(field.annotation, type) and issubclass(field.annotation, Settings)
    }
    own = [(key, schema) for key, schema in settings(Config) if key.split(".")[0] not in sections]
    parts = ["## The run", _settings_table(own)]
    for name, model in sections.items():
        about = [_paragraphs(model.__doc__)] if model.__doc__ != Settings.__doc__ else []
        parts += [f"## {name}", *about, _settings_table(list(settings(model, f"{name}.")))]
    return "\n\n".join(parts)


def _settings_table(found: list[tuple[str, Mapping[str, Any]]]) -> str:
    rows = []
    for key, schema in found:
        default = f"`{_plain(schema['default'])}`" if "default" in schema else "must be given"
        rows.append((f"`{key}`", allowed(schema), default, schema.get("description", "")))
    return table(("key", "values", "default", "what it is"), rows)


def allowed(schema: Mapping[str, Any]) -> str:
    """The values that a JSON schema allows, in words; not `null`, which is the default wherever it is allowed."""
    if "anyOf" in schema:
        return ", or ".join(allowed(kind) for kind in schema["anyOf"] if kind.get("type") != "null")
    if "enum" in schema or "const" in schema:
        return ", ".join(f"`{_plain(value)}`" for value in schema.get("enum", [schema.get("const")]))
    kind = schema.get("type")
    if kind == "array":
        inner = allowed(schema["items"])
        return "a list" if inner == "text" else f"a list of {inner.replace('a path', 'paths')}"
    if kind == "integer":
        least = schema.get("minimum", schema["exclusiveMinimum"] + 1 if "exclusiveMinimum" in schema else None)
        most = schema.get("maximum", schema["exclusiveMaximum"] - 1 if "exclusiveMaximum" in schema else None)
        return f"a whole number {_bounds(least, most)}".strip()
    if kind == "number":
        words = {"minimum": "from", "exclusiveMinimum": "above", "maximum": "to", "exclusiveMaximum": "below"}
        bounds = " and ".join(f"{word} {schema[key]:g}" for key, word in words.items() if key in schema)
        return f"a number {bounds}".strip()
    if kind == "boolean":
        return "`true`, `false`"
    return "a path" if schema.get("format") == "path" else "text"


def _plain(value: Any) -> str:
    """As YAML takes it."""
    return value if isinstance(value, str) else json.dumps(value)


PARTS: dict[str, Callable[[], str]] = {"commands": _commands_part, "settings": _settings_part}


if __name__ == "__main__":
    from pipeline.console import say

    for changed in write_reference():
        say(f"written: {changed}")
