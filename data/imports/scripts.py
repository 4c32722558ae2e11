"""A `.sql` script, run into a new SQLite file. Every script here is taken to be a stranger's.

Reads SQLite's SQL, and dumps of MySQL and PostgreSQL: their statements are cut at the right semicolons,
their strings respelled, their CREATE TABLEs rebuilt, the keys that ALTER TABLE adds put into them. An
authorizer lets a script make and fill tables and nothing else; time, size and length of values are limited.
"""

import contextlib
import re
import sqlite3
import time
from collections import Counter, defaultdict
from pathlib import Path

from sqlglot import exp

from data.errors import UserError
from data.imports.building import quoted
from data.imports.dialects import REFUSED, Dialect, one_line, parse_statement, transpile_statement
from data.imports.statements import Statement, dialect_of, statements_of, table_for_sqlite

SECONDS = 600.0
MAX_BYTES = 256 * 2**20
MAX_PAGES = 2**20  # of 4 KB: a file of 4 GB
MAX_VALUE = 64 * 2**20
OPCODES_BETWEEN_CHECKS = 10_000

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
FORBIDDEN_FUNCTIONS = {"load_extension", "fts3_tokenizer", "readfile", "writefile", "edit"}
PRAGMAS = {"encoding", "foreign_keys"}
HARMLESS_PRAGMA = re.compile(rf"PRAGMA\s+(?:{'|'.join(PRAGMAS)})\b", re.IGNORECASE)
NAMES_UTF8 = re.compile(r"\bSET\s+NAMES\s+utf8", re.IGNORECASE)
UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")
UNREADABLE = re.compile(r"syntax error|unrecognized token|incomplete input|unknown database|no such function")

# What a script says to a server, or to SQLite about the work itself: nothing of it is in the tables.
PASSED_OVER = re.compile(
    r"(?:ANALYZE|BEGIN|COMMENT|COMMIT|END|EXPLAIN|FLUSH|GRANT|LOCK|PRAGMA|RELEASE|RESET|REVOKE|ROLLBACK|SAVEPOINT"
    r"|SELECT|SET|SHOW|START|UNLOCK|USE|VACUUM)\b"
    r"|(?:CREATE|DROP|ALTER)\s+(?:OR\s+REPLACE\s+)?(?:DATABASE|DEFAULT\s+PRIVILEGES|DOMAIN|EVENT|EXTENSION|FUNCTION"
    r"|POLICY|PROCEDURE|PUBLICATION|ROLE|SCHEMA|SEQUENCE|TYPE|USER)\b",
    re.IGNORECASE,
)
OF_NO_WEIGHT = re.compile(
    r"ANALYZE|BEGIN|COMMIT|END|EXPLAIN|FLUSH|LOCK|PRAGMA|RELEASE|RESET|SAVEPOINT|SELECT|SET|SHOW|START|UNLOCK|USE|VACUUM"
)
PASSED_OVER_ELSEWHERE = re.compile(
    r"ALTER\s+INDEX\b|CREATE\s+(?:(?:OR\s+REPLACE|CONSTRAINT|UNIQUE|FULLTEXT|SPATIAL)\s+)*(?:INDEX|TRIGGER|RULE)\b",
    re.IGNORECASE,
)
SCHEMA_OF_INSERT = re.compile(r'(INSERT\s+INTO\s+)(?:\w+|"[^"]+"|`[^`]+`)\.(?=[`"\w])', re.IGNORECASE)


def run_script(script: Path, connection: sqlite3.Connection) -> tuple[str, ...]:
    """Fills an empty database; notes on what was passed over. Raises UserError naming file and line."""
    text, notes = _read(script)
    dialect = dialect_of(text)
    statements = list(statements_of(text, dialect))
    if dialect:
        notes.append(f"read as {'MySQL' if dialect == 'mysql' else 'PostgreSQL'}")
        statements, keys = _without_later_keys(statements, dialect)
    else:
        keys = {}
    deadline = time.monotonic() + SECONDS
    passed_over: Counter[str] = Counter()
    connection.execute("BEGIN")
    _guard(connection, deadline)
    for statement in statements:
        try:
            if time.monotonic() > deadline:
                raise ValueError("the time is up")
            passed_over.update(_run(statement.text, dialect, keys, connection))
        except (sqlite3.Error, sqlite3.Warning, *REFUSED) as error:
            raise UserError(
                f"{script}: line {statement.line}: {_why(error, deadline)}: {_short(statement.text)}"
            ) from error
    connection.set_authorizer(None)
    connection.set_progress_handler(None, 0)
    if dialect == "mysql":
        _number_bits(connection)
    connection.execute("COMMIT")
    if passed_over:
        listed = ", ".join(f"{count} {name}" for name, count in sorted(passed_over.items()))
        notes.append(f"statements passed over: {listed}")
    return tuple(notes)


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


def _without_later_keys(
    statements: list[Statement], dialect: Dialect
) -> tuple[list[Statement], dict[str, list[exp.Expr]]]:
    """The keys that ALTER TABLE adds, by table, and the statements without those that only add keys."""
    keys: defaultdict[str, list[exp.Expr]] = defaultdict(list)
    rest: list[Statement] = []
    for statement in statements:
        tree: exp.Expr | None = None
        if re.match(r"ALTER\s+TABLE\b", statement.text, re.IGNORECASE):
            with contextlib.suppress(*REFUSED):
                tree = parse_statement(statement.text, dialect)
        actions = tree.args.get("actions") or [] if isinstance(tree, exp.Alter) else []
        if tree and actions and all(isinstance(action, exp.AddConstraint) for action in actions):
            keys[tree.this.name.lower()] += actions
        else:
            rest.append(statement)
    return rest, keys


def _guard(connection: sqlite3.Connection, deadline: float) -> None:
    def allow(action: int, first: str | None, second: str | None, *_: str | None) -> int:
        if action == sqlite3.SQLITE_FUNCTION:
            allowed = (second or "").lower() not in FORBIDDEN_FUNCTIONS
        elif action == sqlite3.SQLITE_PRAGMA:
            allowed = (first or "").lower() in PRAGMAS
        else:
            allowed = action in ALLOWED
        return sqlite3.SQLITE_OK if allowed else sqlite3.SQLITE_DENY

    connection.execute(f"PRAGMA max_page_count = {MAX_PAGES}")
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MAX_VALUE)
    connection.set_progress_handler(lambda: time.monotonic() > deadline, OPCODES_BETWEEN_CHECKS)
    connection.set_authorizer(allow)


def _run(
    text: str, dialect: Dialect | None, keys: dict[str, list[exp.Expr]], connection: sqlite3.Connection
) -> list[str]:
    """Runs one statement; what to note if it is passed over."""
    words = PASSED_OVER.match(text) or (PASSED_OVER_ELSEWHERE.match(text) if dialect else None)
    if words and not HARMLESS_PRAGMA.match(text):
        name = " ".join(words[0].upper().split())
        return [] if OF_NO_WEIGHT.fullmatch(name) else [name]
    if re.match(r"COPY\b", text, re.IGNORECASE):
        raise ValueError("COPY is not supported; dump with `pg_dump --inserts`, or import from the server by its URL")
    if dialect and re.match(r"CREATE\s+(?:\w+\s+){0,3}(?:TABLE|VIEW)\b", text, re.IGNORECASE):
        connection.execute(_translated(text, dialect, keys))
    elif dialect and re.match(r"ALTER\s+TABLE\b", text, re.IGNORECASE):
        if not re.search(r"\bADD\s+COLUMN\b|\bRENAME\b", text, re.IGNORECASE):
            return ["ALTER TABLE"]
        connection.execute(_translated(text, dialect, keys))
    else:
        _run_or_translate(SCHEMA_OF_INSERT.sub(r"\1", text, count=1) if dialect else text, dialect, keys, connection)
    return []


def _run_or_translate(
    text: str, dialect: Dialect | None, keys: dict[str, list[exp.Expr]], connection: sqlite3.Connection
) -> None:
    """As it stands; where SQLite refuses it, from the dialect, or whichever makes something of it."""
    dialects: tuple[Dialect, ...] = (dialect,) if dialect else ("mysql", "postgres")
    try:
        connection.execute(text)
    except sqlite3.OperationalError as error:
        if not UNREADABLE.search(str(error)):
            raise
        for other in dialects:
            with contextlib.suppress(sqlite3.Error, *REFUSED):
                connection.execute(_translated(text, other, keys))
                return
        raise


def _translated(text: str, dialect: Dialect, keys: dict[str, list[exp.Expr]]) -> str:
    tree = parse_statement(text, dialect)
    if isinstance(tree, exp.Command):
        raise ValueError("this statement can be read neither by SQLite nor by us")
    if isinstance(tree, exp.Create) and tree.kind == "TABLE" and isinstance(tree.this, exp.Schema):
        return table_for_sqlite(tree, keys.get(tree.this.this.name.lower(), []))
    return transpile_statement(text, dialect)


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
    if time.monotonic() > deadline:
        return f"the script takes longer than {SECONDS:.0f} s"
    if "disk is full" in str(error):
        return f"the database grows larger than {MAX_PAGES * 4 // 2**20} GB"
    if str(error).startswith(("not authorized", "authorization denied", "access to")):
        return "not allowed in a script"
    return one_line(error)


def _short(text: str) -> str:
    text = " ".join(text[:200].encode(errors="replace").decode().split())
    return text if len(text) <= 60 else text[:57] + "..."
