"""The text values of a database: which of them a question mentions, and samples of each column.

Reads an SQLite file, read-only and bounded. Writes an index of it, once for each state of the file: for a
data set beside the database, else into the cache folder. Values come from the database alone, never from a
gold query.
"""

import hashlib
import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

from rapidfuzz import process
from rapidfuzz.distance import Indel

from data.errors import UserError
from data.schema import Schema, open_read_only, stored_columns
from prompts.words import STOP_WORDS, pieces, stem, words

VERSION = 3  # of the index's layout
SUFFIX = ".values"
SCANNED_ROWS = 100_000  # of a table
KEPT_VALUES = 5_000  # of a column, the most frequent
KEPT_LENGTH = 60  # characters; longer text is prose, which no question repeats
SAMPLED = 8  # values of a column that can be shown as samples
SPAN_WORDS = 10  # the longest mention looked for
NEAR_LENGTH = 5  # shorter words are near too many others
NEAR = 0.85  # the least likeness of a near match
NEAR_WORDS = 3  # of the longest near match
NEAR_KEYS = 50_000  # looked through for it

_LAYOUT = """
CREATE TABLE meta (state TEXT);
CREATE TABLE value (key TEXT, text TEXT, tab TEXT, col TEXT, place INTEGER);
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
    """The index of one database. Raises UserError where its file is damaged."""

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self._connection = connection
        self._path = path
        self._nearest = lru_cache(1 << 12)(self._find_nearest)

    def close(self) -> None:
        self._connection.close()

    def mentions(self, question: str) -> list[Mention]:
        """The values that a question mentions: exactly, but for case, blanks and inflection, or nearly.

        A mention inside a longer one does not count; the heaviest come first, each once.
        """
        asked = pieces(question)
        roots = [stem(piece.lower()) for piece in asked]
        spans = {(i, j): "".join(roots[i:j]) for i, j in _spans(len(asked))}
        found = self._lookup(sorted(set(spans.values())))
        taken: set[int] = set()
        mentions: list[Mention] = []
        for (i, j), key in spans.items():  # longest first
            if key in found and not taken.issuperset(range(i, j)) and _telling(asked[i:j], i):
                taken.update(range(i, j))
                mentions += _weigh(found[key], j - i, 1.0)
        for (i, j), key in spans.items():
            near = j - i <= NEAR_WORDS and len(key) >= NEAR_LENGTH and _named(asked, i, j)
            if near and taken.isdisjoint(range(i, j)) and (other := self._nearest(key)):
                taken.update(range(i, j))
                mentions += _weigh(self._lookup([other])[other], j - i, 0.6)
        mentions.sort(key=lambda mention: (-mention.weight, mention.table, mention.column, mention.text))
        heaviest: dict[tuple[str, str, str], Mention] = {}
        for mention in mentions:
            heaviest.setdefault((mention.table, mention.column, mention.text), mention)
        return list(heaviest.values())

    def samples(self, table: str, column: str, count: int) -> tuple[str, ...]:
        """At most `count` values of a column, the most frequent first."""
        return self._samples.get((table, column), ())[:count]

    @cached_property
    def _samples(self) -> dict[tuple[str, str], tuple[str, ...]]:
        kept: dict[tuple[str, str], list[str]] = {}
        for tab, col, text in self._read("SELECT tab, col, text FROM value WHERE place < ? ORDER BY rowid", [SAMPLED]):
            kept.setdefault((tab, col), []).append(text)
        return {name: tuple(texts) for name, texts in kept.items()}

    @cached_property
    def _keys(self) -> list[str]:
        query = "SELECT DISTINCT key FROM value WHERE length(key) >= ? ORDER BY key LIMIT ?"
        return [key for (key,) in self._read(query, [NEAR_LENGTH - 1, NEAR_KEYS])]

    def _lookup(self, keys: Sequence[str]) -> dict[str, list[tuple[str, str, str]]]:
        found: dict[str, list[tuple[str, str, str]]] = {}
        for first in range(0, len(keys), 500):
            some = keys[first : first + 500]
            query = f"SELECT key, tab, col, text FROM value WHERE key IN ({','.join('?' * len(some))}) ORDER BY rowid"
            for key, *row in self._read(query, some):
                found.setdefault(key, []).append((row[0], row[1], row[2]))
        return found

    def _find_nearest(self, key: str) -> str | None:
        """The key most like this one, if it is near."""
        best = process.extractOne(key, self._keys, scorer=Indel.normalized_similarity, score_cutoff=NEAR)
        return best[0] if best else None

    def _read(self, query: str, values: Sequence[object]) -> list[tuple[str, ...]]:
        try:
            return self._connection.execute(query, values).fetchall()
        except sqlite3.Error as error:
            raise UserError(f"{self._path}: damaged ({error}); delete it, it is made again") from error


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


def index_beside(database: Path, cache: Path) -> Path:
    """Where the index of a data set's database goes: beside it, where that can be written."""
    beside = database.with_name(database.name + SUFFIX)
    return beside if os.access(database.parent, os.W_OK) else index_apart(database, cache)


def index_apart(database: Path, cache: Path) -> Path:
    """Where the index of any other database goes."""
    return cache / (hashlib.sha256(str(database.resolve()).encode()).hexdigest()[:24] + SUFFIX)


def open_index(database: Path, schema: Schema, path: Path) -> ValueIndex:
    """The index of an SQLite file at `path`, made if it is missing or of another state of the file.

    Raises UserError if it cannot be written.
    """
    try:
        state = _state(database)
        connection = _open_current(path, state)
        if connection is None:
            _build(database, schema, path, state)
            connection = _open_current(path, state)
    except (OSError, sqlite3.Error) as error:
        raise UserError(f"{path}: the index of values cannot be written: {error}") from error
    if connection is None:
        raise UserError(f"{path}: cannot be read though it was just written; delete it and try again")
    return ValueIndex(connection, path)


def _state(database: Path) -> str:
    """What changes when the file does: its size, its time, and SQLite's own counter of changes."""
    status = database.stat()
    with database.open("rb") as file:
        counter = file.read(28)[24:].hex()
    return f"{VERSION} {status.st_size} {status.st_mtime_ns} {counter}"


def _open_current(path: Path, state: str) -> sqlite3.Connection | None:
    """A read-only connection to an index of this state; None if there is none."""
    if not path.is_file():
        return None
    connection = open_read_only(path)
    try:
        if connection.execute("SELECT state FROM meta").fetchall() == [(state,)]:
            return connection
    except sqlite3.Error:
        pass  # damaged or not an index: made again
    connection.close()
    return None


def _build(database: Path, schema: Schema, path: Path, state: str) -> None:
    """Written under another name and put in place whole, since several processes may build it at once."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    partial.unlink(missing_ok=True)  # of a process that was killed
    # Who may not read the database may not read its values; a read-only one still gets an index.
    partial.touch(mode=database.stat().st_mode & 0o666 | 0o600)
    try:
        with closing(open_read_only(database)) as source, closing(sqlite3.connect(partial)) as index:
            # Text that is not UTF-8 cannot be mentioned, but does no harm.
            source.text_factory = lambda raw: raw.decode("utf-8", "replace")
            index.executescript(f"PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; {_LAYOUT}")
            stored = stored_columns(source)
            for table in schema.tables:
                for column in table.columns:
                    if (table.name, column.name) in stored:
                        rows = _read_column(source, table.name, column.name)
                        index.executemany("INSERT INTO value VALUES (?, ?, ?, ?, ?)", rows)
            index.execute("CREATE INDEX by_key ON value (key)")
            index.execute("INSERT INTO meta VALUES (?)", (state,))
            index.commit()
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _read_column(source: sqlite3.Connection, table: str, column: str) -> Iterator[tuple[str, str, str, str, int]]:
    """The texts of a column that can be shown and mentioned, the most frequent first.

    None of a column that SQLite cannot read, for want of a collation or a module: values are an aid.
    """
    tab, col = (f'"{name.replace(chr(34), chr(34) * 2)}"' for name in (table, column))
    query = (
        f"SELECT text FROM (SELECT {col} COLLATE BINARY AS text FROM {tab} LIMIT {SCANNED_ROWS}) "
        f"WHERE typeof(text) = 'text' AND length(text) <= {KEPT_LENGTH} "
        f"GROUP BY text ORDER BY count(*) DESC, text LIMIT {KEPT_VALUES}"
    )
    try:
        texts = [text for (text,) in source.execute(query)]
    except sqlite3.Error:
        return
    keyed = [(value_key(text), text) for text in texts if text.isprintable()]
    for place, (key, text) in enumerate(pair for pair in keyed if pair[0]):
        yield key, text, table, column, place
