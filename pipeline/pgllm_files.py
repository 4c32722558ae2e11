"""Files for PostgreSQL: weights as one archive, tables in the text form of COPY.

Writes what `pipeline/pgllm.py` gives it, the same bytes for the same model. The archive is one gzip stream of
entries without a header, count or trailer: the length of the name (2 bytes, little-endian), the name in UTF-8, one whole .npy.
"""

import gzip
import struct
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Field = str | int | bytes | Sequence[int] | None
ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r", "\b": "\\b", "\f": "\\f", "\v": "\\v"})
LEVEL = 0  # stored: compressing would take ten times as long, for a fourteenth of the size


def write_archive(path: Path, tensors: Iterable[tuple[str, NDArray[np.float32]]]) -> None:
    """The tensors in their order; float32 alone, as the reader takes everything for it."""
    # Without a name and a time in its header, the file is the same each time.
    with path.open("wb") as file, gzip.GzipFile("", "wb", LEVEL, file, mtime=0) as archive:
        for name, values in tensors:
            encoded = name.encode()
            archive.write(struct.pack("<H", len(encoded)) + encoded)
            np.lib.format.write_array(archive, np.ascontiguousarray(values, dtype="<f4"), allow_pickle=False)


def write_table(path: Path, rows: Iterable[Sequence[Field]]) -> None:
    """Rows as COPY reads them from text: a line each, tabs between fields."""
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.writelines("\t".join(map(_field, row)) + "\n" for row in rows)


def _field(value: Field) -> str:
    if value is None:
        return "\\N"
    if isinstance(value, bytes):
        return f"\\\\x{value.hex()}"
    if isinstance(value, str):
        return value.translate(ESCAPES)
    return str(value) if isinstance(value, int) else "{" + ",".join(map(str, value)) + "}"
