"""Where synthetic pairs come from and go to: the name and the look of a source, the file of pairs.

A source is what the user gave: a path, or a server's URL, which is never shown with its password. Of files,
only one of synthetic pairs is written over, and whole or not at all.
"""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath
from urllib.parse import unquote

from data.errors import UsageError, UserError


def is_server(source: str) -> bool:
    return "://" in source


def source_name(source: str) -> str:
    """What the file of pairs is named after."""
    if is_server(source):
        path = source.partition("://")[2].partition("/")[2].partition("?")[0]
        return PurePosixPath(unquote(path)).name or "server"
    file = Path(source).resolve()
    return file.name if file.is_dir() else file.stem


def shown(source: str) -> str:
    """As it was given, but for a password."""
    if not is_server(source):
        return source
    scheme, mark, rest = source.partition("://")
    where, slash, path = rest.partition("/")
    user, at, host = where.rpartition("@")
    return "".join((scheme, mark, user.partition(":")[0], at, host, slash, path))


def require_own(out: Path) -> None:
    """Raises an error for what must not be written over: anything but synthetic pairs."""
    parent = next(path for path in out.absolute().parents if path.exists())
    if out.is_dir() or not parent.is_dir():
        raise UsageError(f"--out {out}: {'is a folder' if out.is_dir() else f'{parent} is a file'}; give a file")
    if not out.exists():
        return
    for place, line in enumerate(out.read_bytes().splitlines(), start=1):
        try:
            entry = json.loads(line)
        except ValueError:
            entry = None
        if not isinstance(entry, dict) or entry.get("synthetic") is not True:
            raise UserError(f"{out}: line {place} is not a synthetic pair; move the file away or give another --out")


def write_pairs(out: Path, pairs: Iterable[Mapping[str, object]]) -> None:
    out.parent.mkdir(parents=True, exist_ok=True)
    partial = out.with_name(out.name + ".partial")
    partial.write_text("".join(json.dumps(pair, ensure_ascii=False) + "\n" for pair in pairs), encoding="utf-8")
    partial.replace(out)
