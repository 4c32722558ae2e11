"""A `.sql` script, run into a new SQLite file. Every script here is taken to be a stranger's.

Reads SQLite's SQL, and dumps of MySQL and PostgreSQL: their statements are cut at the right semicolons, their strings
respelled (`data/imports/statements.py`), their tables rebuilt (`data/imports/dumps.py`). A script may make and fill
tables and nothing else (`data/imports/guard.py`), and neither it nor the file may be huge.
"""

import contextlib
import re
import sqlite3
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from data.errors import UserError
from data.imports.building import quoted
from data.imports.dialects import REFUSED, Dialect, one_line
from data.imports.dumps import NAME, TABLE, Dump
from data.imports.guard import guard, why
from data.imports.schemas import of_one_schema
from data.imports.statements import dialect_of, statements_of
from data.meanings import Meaning
from data.queries import UTF16_MARKS

SECONDS = 600.0
MAX_BYTES = 256 * 2**20
MAX_PAGES = 2**20  # of 4 KB: a file of 4 GB

ALLOWED = {
    sqlite3.SQLITE_ALTER_TABLE,
    sqlite3.SQLITE_CREATE_INDEX,
    sqlite3.SQLITE_CREATE_TABLE,
    sqlite3.SQLITE_CREATE_TRIGGER,
    sqlite3.SQLITE_CREATE_VIEW,
    sqlite3.SQLITE_DELETE,
    sqlite3.SQLITE_DROP_INDEX,
    sqlite3.SQLITE_DROP_TABLE,
    sqlite3.SQLITE_DROP_TRIGGER,
    sqlite3.SQLITE_DROP_VIEW,
    sqlite3.SQLITE_INSERT,
    sqlite3.SQLITE_READ,
    sqlite3.SQLITE_REINDEX,
    sqlite3.SQLITE_SELECT,
    sqlite3.SQLITE_UPDATE,
}
PRAGMAS = {"encoding", "foreign_keys"}
LOOKING = {"table_info", "function_list"}  # for the translation of what is computed in the end
HARMLESS_PRAGMA = re.compile(rf"PRAGMA\s+(?:{'|'.join(PRAGMAS)})\b", re.IGNORECASE)
NAMES_UTF8 = re.compile(r"\bSET\s+NAMES\s+utf8", re.IGNORECASE)
UNREADABLE = re.compile(r"syntax error|unrecognized token|incomplete input|unknown database|no such function")

# What a script says to a server, or to SQLite about the work itself: nothing of it is in the tables.
PASSED_OVER = re.compile(
    r"(?:ANALYZE|BEGIN|CALL|COMMENT|COMMIT|DO|END|EXPLAIN|FLUSH|GRANT|LOCK|PRAGMA|REFRESH|RELEASE|RESET|REVOKE|ROLLBACK"
    r"|SAVEPOINT|SELECT|SET|SHOW|START|UNLOCK|USE|VACUUM)\b"
    r"|(?:CREATE|DROP|ALTER)\s+(?:OR\s+REPLACE\s+)?(?:AGGREGATE|CAST|COLLATION|DATABASE|DEFAULT\s+PRIVILEGES|DOMAIN|EVENT"
    r"|EXTENSION|FOREIGN|FUNCTION|LANGUAGE|OPERATOR|POLICY|PROCEDURAL|PROCEDURE|PUBLICATION|ROLE|SCHEMA|SEQUENCE|SERVER"
    r"|STATISTICS|TEXT\s+SEARCH|TYPE|USER)\b",
    re.IGNORECASE,
)
OF_NO_WEIGHT = re.compile(
    r"ANALYZE|BEGIN|COMMIT|END|EXPLAIN|FLUSH|LOCK|PRAGMA|REFRESH|RELEASE|RESET|SAVEPOINT|SELECT|SET|SHOW|START|UNLOCK|USE|VACUUM"
)
PASSED_OVER_ELSEWHERE = re.compile(
    r"ALTER\s+INDEX\b|CREATE\s+(?:(?:OR\s+REPLACE|CONSTRAINT|UNIQUE|FULLTEXT|SPATIAL)\s+)*(?:INDEX|TRIGGER|RULE)\b",
    re.IGNORECASE,
)
STORED = re.compile(r"\bCREATE\b[^;]*?\b(TRIGGER|PROCEDURE|FUNCTION|EVENT)\b", re.IGNORECASE)
DEFINER = re.compile(
    r"\A(CREATE\s+(?:OR\s+REPLACE\s+)?)(?:ALGORITHM\s*=\s*\w+\s+)?(?:DEFINER\s*=\s*\S+\s+)?(?:SQL\s+SECURITY\s+\w+\s+)?",
    re.IGNORECASE,
)
# Owners, and numbers that columns give themselves: SQLite has no need of these.
OF_NO_WEIGHT_ELSEWHERE = re.compile(
    rf"ALTER\s+(?:TABLE|(?:MATERIALIZED\s+)?VIEW|INDEX)\s+(?:IF\s+EXISTS\s+)?(?:ONLY\s+)?{TABLE}\s+(?:OWNER\s+TO"
    rf"|ATTACH\s+PARTITION|DISABLE\s+KEYS|ENABLE\s+KEYS|ALTER\s+(?:COLUMN\s+)?{NAME}\s+(?:ADD\s+GENERATED|SET\s+DEFAULT\s+nextval)"
    rf"|MODIFY\s+(?:COLUMN\s+)?{NAME}\s+[\w\s()]*AUTO_INCREMENT)\b",
    re.IGNORECASE,
)
ALTERED = re.compile(rf"ALTER\s+TABLE\s+(?:IF\s+EXISTS\s+)?(?:ONLY\s+)?{TABLE}", re.IGNORECASE)
# Rows that others are made of: SQLite reads the conditions in its own way.
COMPUTING = re.compile(r"(?:UPDATE|DELETE|INSERT(?=[^'()]*(?:\([^'()]*\))?[^'()]*\bSELECT))\b", re.IGNORECASE)
# As the shell of SQLite dumps virtual tables; then come the tables that they keep their rows in.
VIRTUAL = re.compile(
    r"(?:INSERT\s+INTO\s+sqlite_(?:schema|master)\b.*?')?CREATE\s+VIRTUAL\s+TABLE\s+(?:IF\s+NOT\s+EXISTS\s+)?"
    r"(?P<name>\"[^\"]+\"|'[^']+'|\[[^]]+\]|`[^`]+`|\w+)",
    re.IGNORECASE | re.DOTALL,
)
TARGET = re.compile(
    r"(?:CREATE\s+TABLE\s+(?:IF\s+NOT\s+EXISTS\s+)?|INSERT\s+INTO\s+)[\"'`\[]?(?P<name>[^\"'`\](]+?)\s*(?:[\"'`\](]|\bVALUES\b)",
    re.IGNORECASE,
)
PART = re.compile(r"_(?:data|idx|content|docsize|config|segments|segdir|stat|node|rowid|parent)\Z")


@dataclass(frozen=True)
class Ran:
    """Whose SQL a script is written in, if not SQLite's, notes on what was passed over, and what columns mean."""

    dialect: Dialect | None
    notes: tuple[str, ...]
    meanings: tuple[Meaning, ...] = ()


def run_script(script: Path, connection: sqlite3.Connection) -> Ran:
    """Fills an empty database. Raises UserError naming file and line."""
    text, notes = _read(script)
    dialect = dialect_of(text)
    statements = list(statements_of(text, dialect))
    # SQLite's own scripts may hold a statement that only others know.
    dumps: tuple[Dump, ...] = (Dump("mysql"), Dump("postgres"))
    if dialect:
        try:
            one = of_one_schema(statements, dialect)
        except UserError as error:
            raise UserError(f"{script}: {error}") from error
        notes += [f"read as {'MySQL' if dialect == 'mysql' else 'PostgreSQL'}", *one.notes]
        dumps = (Dump(dialect, one.schema),)
        statements = dumps[0].gather(one.statements)
    deadline = time.monotonic() + SECONDS
    passed_over: Counter[str] = Counter()
    parts = VirtualTables()
    connection.execute(f"PRAGMA max_page_count = {MAX_PAGES}")
    connection.execute("BEGIN")
    guard(connection, deadline, ALLOWED, PRAGMAS)
    for statement in statements:
        try:
            if time.monotonic() > deadline:
                raise ValueError("the time is up")
            if not parts.own(statement.text):
                unread = _run(statement.text, dialect, dumps, connection)
                passed_over.update(unread)
                if unread and not statement.is_ended:
                    notes.append(
                        f"the last statement has no semicolon; the file may be cut off in line {statement.line}"
                    )
        except (sqlite3.Error, sqlite3.Warning, MemoryError, *REFUSED) as error:
            reason = _why(error, deadline)
            if not statement.is_ended and (UNREADABLE.search(reason) or isinstance(error, REFUSED)):
                reason = (
                    f"the file seems to be cut off: its last statement has no semicolon, and cannot be read ({reason})"
                )
            raise UserError(f"{script}: line {statement.line}: {reason}: {_short(statement.text)}") from error
    connection.set_authorizer(None)
    guard(connection, deadline, ALLOWED, PRAGMAS | LOOKING)
    try:
        notes += [note for dump in dumps for note in dump.finish(connection)]
    except (sqlite3.Error, sqlite3.Warning, MemoryError, *REFUSED) as error:
        raise UserError(f"{script}: {_why(error, deadline)}") from error
    connection.set_authorizer(None)
    connection.set_progress_handler(None, 0)
    if dialect == "mysql":
        _number_bits(connection)
    connection.execute("COMMIT")
    notes += parts.notes
    computing = Counter(found[0].upper() for one in statements if dialect and (found := COMPUTING.match(one.text)))
    for said, counts in (("passed over", passed_over), ("run as SQLite reads them, not as the server does", computing)):
        if counts:
            listed = ", ".join(f"{count} {name}" for name, count in sorted(counts.items()))
            notes.append(f"statements {said}: {listed}")
    return Ran(dialect, tuple(notes), tuple(meaning for dump in dumps for meaning in dump.meanings))


class VirtualTables:
    """The virtual tables of a script, which are left out with the tables that they keep their rows in."""

    def __init__(self) -> None:
        self._names: list[str] = []

    def own(self, text: str) -> bool:
        """Whether a statement makes or fills one of these, or holds what ANALYZE found."""
        if made := VIRTUAL.match(text):
            self._names.append(made["name"].strip("\"'[]`"))
            return True
        target = TARGET.match(text)
        if target is None or not (self._names or target["name"].startswith("sqlite_stat")):
            return False
        name = PART.sub("", target["name"])
        return name.startswith("sqlite_stat") or any({name, target["name"]} & {known} for known in self._names)

    @property
    def notes(self) -> list[str]:
        return [f"the virtual table {name} is left out" for name in self._names]


def _read(script: Path) -> tuple[str, list[str]]:
    if script.stat().st_size > MAX_BYTES:
        raise UserError(f"{script}: larger than {MAX_BYTES // 2**20} MB; load it into a database and import that")
    content = script.read_bytes()
    notes: list[str] = []
    try:
        text = content.decode("utf-16" if content.startswith(UTF16_MARKS) else "utf-8-sig")
    except UnicodeDecodeError:
        text = content.decode("utf-8-sig", errors="surrogateescape")
        if not NAMES_UTF8.search(text, 0, 2**20):  # else it is bytes among the text of a dump
            text, notes = content.decode("latin-1"), ["not valid UTF-8; read as Latin-1"]
    return text.replace("\r\n", "\n"), notes


def _run(text: str, dialect: Dialect | None, dumps: tuple[Dump, ...], connection: sqlite3.Connection) -> list[str]:
    """Runs one statement; what to note if it is passed over."""
    if text.startswith("DELIMITER"):
        return [f"CREATE {name.upper()}" for name in STORED.findall(text)]
    text = DEFINER.sub(r"\1", text)
    words = PASSED_OVER.match(text) or (PASSED_OVER_ELSEWHERE.match(text) if dialect else None)
    if dialect and OF_NO_WEIGHT_ELSEWHERE.match(text):
        return []
    if words and not HARMLESS_PRAGMA.match(text):
        name = " ".join(words[0].upper().split())
        return [] if OF_NO_WEIGHT.fullmatch(name) else [name]
    if dialect and re.match(r"COPY\b", text, re.IGNORECASE):
        dumps[0].copy(text, connection)
    elif dialect and re.match(r"CREATE\s+(?:\w+\s+){0,3}(?:TABLE|VIEW)\b", text, re.IGNORECASE):
        _execute(dumps[0].translated(text), connection)
    elif dialect and (altered := ALTERED.match(text)):
        changes = dumps[0].changes(text)
        if changes is None:
            return [f"ALTER TABLE {altered['name']}"]
        for change in changes:
            connection.execute(change)
    else:
        _run_or_translate(dumps[0].insert(text) if dialect else text, dumps, connection)
    return []


def _run_or_translate(text: str, dumps: tuple[Dump, ...], connection: sqlite3.Connection) -> None:
    """As it stands; where SQLite refuses it, from the dialect, or whichever makes something of it."""
    try:
        connection.execute(text)
    except sqlite3.OperationalError as error:
        if not UNREADABLE.search(str(error)):
            raise
        for dump in dumps:
            with contextlib.suppress(sqlite3.Error, *REFUSED):
                _execute(dump.translated(text), connection)
                return
        raise


def _execute(text: str | None, connection: sqlite3.Connection) -> None:
    if text is not None:
        connection.execute(text)


def _number_bits(connection: sqlite3.Connection) -> None:
    """Dumps of MySQL spell the values of BIT columns as bytes, which equal no number."""
    connection.create_function("number_of", 1, lambda value: int.from_bytes(value[:8].rjust(8, b"\0"), signed=True))
    tables = connection.execute(
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite^_%' ESCAPE '^'"
    )
    for (table,) in tables.fetchall():
        columns = connection.execute("SELECT name FROM pragma_table_info(?) WHERE type = 'BOOLEAN'", (table,))
        for (column,) in columns.fetchall():
            name = quoted(column)
            connection.execute(
                f"UPDATE {quoted(table)} SET {name} = number_of(CAST({name} AS BLOB)) WHERE typeof({name}) IN ('blob', 'text')"
            )


def _why(error: Exception, deadline: float) -> str:
    if "disk is full" in str(error):
        return f"the database grows larger than {MAX_PAGES * 4 // 2**20} GB"
    if str(error).startswith(("not authorized", "authorization denied", "access to")):
        return "not allowed in a script"
    return why(error, deadline, SECONDS) or one_line(error)


def _short(text: str) -> str:
    text = " ".join(text[:200].encode(errors="replace").decode().split())
    return text if len(text) <= 60 else text[:57] + "..."
