"""CSV and its kin, as people and spreadsheets save them: which mark parts the cells, and the rows.

Reads a file row by row, however long it is. What the rows mean is for those who ask: tables of a database
(`data/imports/tabular.py`), pairs (`data/imports/rows.py`).
"""

import csv
import io
import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import TextIO

TABBED = (".tsv", ".tab")
# Where two marks part the rows equally well, that which is the rarer one in names and texts.
MARKS = "\t|;,"
MAX_CELL = 16 * 2**20  # characters
LOOKED_AT = 2**20  # characters that tell the mark
ROWS_LOOKED_AT = 20
NAMED_MARK = re.compile(r'\ufeff?"?sep=(.)"?\r?\n', re.IGNORECASE)


def read_delimited(path: Path, file: TextIO) -> Iterator[list[str]]:
    """The rows of a file that is open with newline="": the header first, an empty one for an empty line.

    The mark is a tab or told by the first rows, or by Excel's line before them. Raises csv.Error.
    """
    csv.field_size_limit(MAX_CELL)  # of the whole process; without it a long query would be too long
    head = file.read(LOOKED_AT)
    named = NAMED_MARK.match(head)
    mark = named[1] if named else "\t" if path.suffix.lower() in TABBED else delimiter_of(head)
    file.seek(0)
    if named:
        file.readline()
    return csv.reader(file, delimiter=mark, strict=True)


def delimiter_of(head: str) -> str:
    """The mark that parts the header into most cells, and the rows below into as many; in quotes it parts nothing.

    Spreadsheets write semicolons where the comma is the decimal mark, and then commas are in numbers and names.
    """
    widths = {mark: _widths(head, mark) for mark in MARKS}
    best = max(MARKS, key=lambda mark: (len(set(widths[mark])) == 1 < widths[mark][0], widths[mark][:1]))
    return best if widths[best][:1] > [1] else ","


def _widths(head: str, mark: str) -> list[int]:
    """The numbers of cells in the first rows."""
    rows = filter(None, csv.reader(io.StringIO(head, newline=""), delimiter=mark))
    widths = [len(row) for row in islice(rows, ROWS_LOOKED_AT)]
    return widths[:-1] if len(widths) > 1 and len(head) == LOOKED_AT else widths  # the last may be cut off
