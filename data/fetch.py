"""Resumable downloads and safe unpacking.

Reads a URL, writes one file, unpacks a zip into a folder: no path outside it, no links, no bombs.
"""

import errno
import http.client
import json
import lzma
import shutil
import struct
import urllib.error
import urllib.request
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any

from data.errors import UserError

CHUNK = 1 << 20
TIMEOUT_SECONDS = 30
MAX_UNPACKED_BYTES = 20 * 2**30
MAX_ENTRIES = 100_000
MAX_RATIO = 500  # of unpacked to packed, for entries over RATIO_FROM bytes
RATIO_FROM = 50 * 2**20

# What zipfile and its decompressors raise over damaged archives.
_DAMAGED = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    EOFError,
    ValueError,
    IndexError,
    RuntimeError,
)

# Called with the bytes done so far and the bytes in all, where known.
Report = Callable[[int, int | None], None]


class UnreachableError(UserError):
    """The server could not be reached, or the transfer broke off; what has come is kept."""


def download(url: str, target: Path, report: Report) -> None:
    """Fetches `url` into `target`, taking up an earlier broken transfer where the server allows it.

    What has come stays in `target.part`, with the server's mark of the version beside it. Raises
    UnreachableError, or UserError if the server answers with something else than the file.
    """
    part, memory = target.with_name(target.name + ".part"), target.with_name(target.name + ".part.json")
    target.parent.mkdir(parents=True, exist_ok=True)
    have, mark = _earlier(part, memory, url)
    headers = {"User-Agent": "loraql"} | ({"Range": f"bytes={have}-", "If-Range": mark} if have and mark else {})
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=TIMEOUT_SECONDS) as answer:
            if "text/html" in answer.headers.get("Content-Type", ""):
                raise UserError(f"{url}: answered with a web page instead of the file (a quota or a log-in?)")
            resumed = answer.status == 206
            if not resumed:
                have = 0
            length = answer.headers.get("Content-Length")
            total = have + int(length) if length else None
            mark = answer.headers.get("ETag") or answer.headers.get("Last-Modified")
            memory.write_text(json.dumps({"url": url, "mark": mark}), encoding="utf-8")
            with part.open("ab" if resumed else "wb") as file:
                while chunk := answer.read(CHUNK):
                    file.write(chunk)
                    have += len(chunk)
                    report(have, total)
    except urllib.error.HTTPError as error:
        if error.code == 416 and headers.get("Range"):  # nothing is left to send, or the file is another one now
            part.unlink()
            download(url, target, report)
            return
        raise UnreachableError(f"{url}: {error}") from error
    except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError) as error:
        raise UnreachableError(f"{url}: {getattr(error, 'reason', error)}") from error
    if total is not None and have < total:
        raise UnreachableError(f"{url}: the transfer broke off at {have:,} of {total:,} bytes")
    part.replace(target)
    memory.unlink()


def _earlier(part: Path, memory: Path, url: str) -> tuple[int, str | None]:
    """Bytes of an earlier transfer of the same URL, and the server's mark of the version they are of."""
    if not (part.is_file() and memory.is_file()):
        return 0, None
    try:
        remembered: dict[str, Any] = json.loads(memory.read_text(encoding="utf-8"))
    except json.JSONDecodeError:
        return 0, None
    return (part.stat().st_size, remembered["mark"]) if remembered.get("url") == url else (0, None)


def unpack(archive: Path, folder: Path, report: Report) -> None:
    """Unpacks a zip under `folder`. Raises UserError if it is damaged or any entry looks like an attack."""
    try:
        with zipfile.ZipFile(archive) as opened:
            entries = [entry for entry in opened.infolist() if not entry.is_dir() and not _is_litter(entry.filename)]
            total = sum(entry.file_size for entry in entries)
            _refuse_bombs(archive, entries, total)
            done = 0
            for entry in entries:
                target = folder / _safe_path(archive, entry)
                target.parent.mkdir(parents=True, exist_ok=True)
                with opened.open(entry) as source, target.open("wb") as file:
                    # zipfile stops at the size that the header names and checks the CRC at the end.
                    shutil.copyfileobj(source, file, CHUNK)
                done += entry.file_size
                report(done, total)
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise
        raise UserError(f"{archive}: cannot be unpacked ({error}); delete it and fetch it again") from error
    except _DAMAGED as error:
        raise UserError(f"{archive}: not a whole, plain zip archive ({error}); delete it and fetch it again") from error


def has_weights(folder: Path) -> bool:
    """Whether a model's folder has .safetensors files, all that its index names: its download may have been cut short."""
    try:
        named = [
            index.parent / name
            for index in folder.rglob("*.safetensors.index.json")
            for name in json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()
        ]
    except (ValueError, KeyError, TypeError, AttributeError):
        return False
    return all(path.is_file() for path in named) and any(folder.rglob("*.safetensors"))


def _is_litter(name: str) -> bool:
    parts = PurePosixPath(name).parts
    return "__MACOSX" in parts or bool(parts and parts[-1] in {".DS_Store", "Thumbs.db"})


def _refuse_bombs(archive: Path, entries: list[zipfile.ZipInfo], total: int) -> None:
    if len(entries) > MAX_ENTRIES or total > MAX_UNPACKED_BYTES:
        raise UserError(
            f"{archive}: unpacks to {len(entries):,} files and {total:,} bytes, more than is sane; not unpacked"
        )
    for entry in entries:
        if entry.file_size > RATIO_FROM and entry.file_size > MAX_RATIO * max(entry.compress_size, 1):
            raise UserError(
                f"{archive}: {entry.filename!r} unpacks to {entry.file_size:,} bytes from {entry.compress_size:,}; not unpacked"
            )


def _safe_path(archive: Path, entry: zipfile.ZipInfo) -> Path:
    path = PurePosixPath(entry.filename.replace("\\", "/"))
    is_link = (entry.external_attr >> 16) & 0o170000 == 0o120000
    if not path.parts or path.is_absolute() or ".." in path.parts or is_link or ":" in path.parts[0]:
        raise UserError(f"{archive}: {entry.filename!r} is a link or points outside; nothing of it is trusted")
    return Path(*path.parts)
