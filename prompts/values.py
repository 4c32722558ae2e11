"""The text values of a database: which of them a question mentions, and samples of each column.

Reads an SQLite file, read-only and bounded. Writes an index beside it, `NAME.values` (in the cache
folder where that cannot be written), once for each state of the database. Values come from the
database alone, never from a gold query.
"""

import hashlib
import os
import re
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from rapidfuzz.distance import Indel

from data.errors import UserError
from data.schema import Schema, open_read_only
from prompts.words import STOP_WORDS, stem, words

VERSION = 1  # of the index's layout
SUFFIX = ".values"
SCANNED_ROWS = 100_000  # of a table
KEPT_VALUES = 5_000  # of a column, the most frequent
KEPT_LENGTH = 60  # characters; longer text is prose, which no question repeats
SPAN_WORDS = 6  # the longest mention looked for
NEAR_LENGTH = 5  # shorter words are near too many others
NEAR = 0.85  # the least likeness of a near match
NEAR_CANDIDATES = 8

_LAYOUT = """
CREATE TABLE meta (state TEXT);
CREATE TABLE value (key TEXT, text TEXT, tab TEXT, col TEXT, place INTEGER);
CREATE VIRTUAL TABLE near USING fts5 (key, tokenize = 'trigram', detail = 'none', columnsize = 0);
"""


@dataclass(frozen=True)
class Mention:
    """A value that a question mentions, as the database spells it.

    `weight` grows with the number of words that match, and is below 1 for a value that many columns hold.
    """

    table: str
    column: str
    text: str
    weight: float


class ValueIndex:
    """The index of one database."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._samples: dict[tuple[str, str], tuple[str, ...]] | None = None
        self._near: dict[str, list[str]] = {}

    def mentions(self, question: str) -> list[Mention]:
        """The values that a question mentions: exactly, but for case, blanks and inflection, or nearly.

        A mention inside a longer one does not count; the heaviest come first.
        """
        pieces = re.findall(r"\d+(?:\.\d+)?|[^\W\d_]+", question)
        roots = [stem(piece.lower()) for piece in pieces]
        spans = {(i, j): "".join(roots[i:j]) for i, j in _spans(len(pieces))}
        found = self._lookup(sorted(set(spans.values())))
        taken: set[int] = set()
        mentions: list[Mention] = []
        for (i, j), key in spans.items():  # longest first
            if key in found and not taken.issuperset(range(i, j)) and _telling(pieces[i:j], i):
                taken.update(range(i, j))
                mentions += _weigh(found[key], j - i, 1.0)
        for (i, j), key in spans.items():
            if j - i <= 3 and taken.isdisjoint(range(i, j)) and len(key) >= NEAR_LENGTH and _named(pieces, i, j):
                for near in self._nearest(key):
                    taken.update(range(i, j))
                    mentions += _weigh(self._lookup([near])[near], j - i, 0.6)
        mentions.sort(key=lambda mention: (-mention.weight, mention.table, mention.column, mention.text))
        return mentions

    def samples(self, table: str, column: str, count: int) -> tuple[str, ...]:
        """At most `count` values of a column, the most frequent first."""
        if self._samples is None:
            kept: dict[tuple[str, str], list[str]] = {}
            rows = self._connection.execute("SELECT tab, col, text FROM value WHERE place < 8 ORDER BY rowid")
            for tab, col, text in rows:
                kept.setdefault((tab, col), []).append(text)
            self._samples = {name: tuple(texts) for name, texts in kept.items()}
        return self._samples.get((table, column), ())[:count]

    def _lookup(self, keys: Sequence[str]) -> dict[str, list[tuple[str, str, str]]]:
        found: dict[str, list[tuple[str, str, str]]] = {}
        query = f"SELECT key, tab, col, text FROM value WHERE key IN ({','.join('?' * len(keys))}) ORDER BY rowid"
        for key, *row in self._connection.execute(query, keys):
            found.setdefault(key, []).append((row[0], row[1], row[2]))
        return found

    def _nearest(self, key: str) -> list[str]:
        """The key most like this one, if it is near; asked once for each."""
        if key not in self._near:
            grams = sorted({key[place : place + 3] for place in range(len(key) - 2)})
            query = "SELECT key FROM near WHERE near MATCH ? ORDER BY rank, rowid LIMIT ?"
            match = " OR ".join(f'"{gram}"' for gram in grams)
            likes = [
                (Indel.normalized_similarity(key, other), other)
                for (other,) in self._connection.execute(query, (match, NEAR_CANDIDATES))
            ]
            best = max(likes, default=(0.0, ""))
            self._near[key] = [best[1]] if best[0] >= NEAR else []
        return self._near[key]


def _spans(count: int) -> Iterator[tuple[int, int]]:
    """All runs of words, the longest first."""
    for length in range(min(SPAN_WORDS, count), 0, -1):
        for first in range(count - length + 1):
            yield first, first + length


def value_key(text: str) -> str:
    """What a value is found by: its words' stems, run together, so that NorthCarolina is North Carolina."""
    return "".join(stem(word) for word in words(text))


def _telling(texts: list[str], first: int) -> bool:
    """Whether a run of words can be meant as a value: not only small words or a lone letter."""
    if len(texts) > 1:
        return not all(text.lower() in STOP_WORDS for text in texts)
    (text,) = texts
    if len(text) == 1:
        return text.isupper() and first > 0 and text != "I" and text != "A"
    return text.lower() not in STOP_WORDS


def _named(pieces: list[str], i: int, j: int) -> bool:
    """Whether a run looks like a name: capitals, but for the first word of a sentence."""
    return all(piece[0].isupper() for piece in pieces[i:j]) and (i > 0 or j > 1)


def _weigh(rows: list[tuple[str, str, str]], length: int, factor: float) -> list[Mention]:
    """One mention a column; a value of many columns says less about each."""
    columns: dict[tuple[str, str], str] = {}
    for table, column, text in rows:
        columns.setdefault((table, column), text)
    weight = factor * (1 + 0.5 * (length - 1)) / (1 + 0.15 * (len(columns) - 1))
    return [Mention(table, column, text, weight) for (table, column), text in columns.items()]


def open_index(database: Path, schema: Schema, cache: Path) -> ValueIndex:
    """The index of an SQLite file, built if it is missing or of another state of the file.

    `cache` is used where the index cannot be written beside the database. Raises UserError if the
    database cannot be read.
    """
    status = database.stat()
    state = f"{VERSION} {status.st_size} {status.st_mtime_ns}"
    beside = database.with_suffix(SUFFIX)
    apart = cache / (hashlib.sha256(str(database.resolve()).encode()).hexdigest()[:24] + SUFFIX)
    for path in (beside, apart):
        if connection := _open_current(path, state):
            return ValueIndex(connection)
    path = beside if os.access(database.parent, os.W_OK) else apart
    path.parent.mkdir(parents=True, exist_ok=True)
    _build(database, schema, path, state)
    connection = _open_current(path, state)
    if connection is None:
        raise UserError(f"{path}: cannot be read though it was just written; delete it and try again")
    return ValueIndex(connection)


def _open_current(path: Path, state: str) -> sqlite3.Connection | None:
    """A read-only connection to an index of this state; None if there is none."""
    if not path.is_file():
        return None
    connection = open_read_only(path)
    try:
        if connection.execute("SELECT state FROM meta").fetchall() == [(state,)]:
            return connection
    except sqlite3.Error:
        pass  # damaged or not an index: built again
    connection.close()
    return None


def _build(database: Path, schema: Schema, path: Path, state: str) -> None:
    """Written under another name and put in place whole, since several processes may build it at once."""
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    partial.unlink(missing_ok=True)  # of a process that was killed
    source = open_read_only(database)
    # Text that is not UTF-8 cannot be mentioned, but does no harm.
    source.text_factory = lambda raw: raw.decode("utf-8", "replace")
    index = sqlite3.connect(partial)
    try:
        index.executescript(f"PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; {_LAYOUT}")
        for table in schema.tables:
            for column in table.columns:
                rows = _read_column(source, table.name, column.name)
                index.executemany("INSERT INTO value VALUES (?, ?, ?, ?, ?)", rows)
        index.execute("INSERT INTO near SELECT DISTINCT key FROM value WHERE length(key) >= ?", (NEAR_LENGTH - 1,))
        index.execute("CREATE INDEX by_key ON value (key)")
        index.execute("INSERT INTO meta VALUES (?)", (state,))
        index.commit()
        index.close()
        partial.replace(path)
    except sqlite3.Error as error:
        raise UserError(f"{database}: cannot read its values: {error}") from error
    finally:
        index.close()
        source.close()
        partial.unlink(missing_ok=True)


def _read_column(source: sqlite3.Connection, table: str, column: str) -> Iterator[tuple[str, str, str, str, int]]:
    """The texts of a column that can be shown and mentioned, the most frequent first."""
    tab, col = (f'"{name.replace(chr(34), chr(34) * 2)}"' for name in (table, column))
    query = (
        f"SELECT text FROM (SELECT {col} AS text FROM {tab} LIMIT {SCANNED_ROWS}) WHERE typeof(text) = 'text' "
        f"AND length(text) <= {KEPT_LENGTH} GROUP BY text ORDER BY count(*) DESC, text LIMIT {KEPT_VALUES}"
    )
    place = 0
    for (text,) in source.execute(query):
        key = value_key(text)
        if key and text.isprintable():
            yield key, text, table, column, place
            place += 1
