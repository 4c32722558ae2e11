"""What a server's database is made of in SQLite's terms, and the address that it is reached by.

Holds no SQL of its own: `data/imports/postgres.py` and `data/imports/mysql.py` read their catalogues into this, and
`data/imports/servers.py` copies what it describes.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import parse_qsl, unquote, urlsplit

from sqlglot import exp

from data.errors import UsageError, UserError
from data.imports.building import Key
from data.imports.dialects import REFUSED, Dialect, parse_statement
from data.meanings import CLIPPED, MAX_CHARACTERS, Meaning, one_line

MAX_CELL = 100_000  # characters or bytes of one value; the rest is cut off
MAX_VALUES = 100  # allowed ones of a column that are kept
CONNECT_SECONDS = 10
SCHEMES: dict[str, Dialect] = {
    "postgresql": "postgres",
    "postgres": "postgres",
    "mysql": "mysql",
    "mariadb": "mysql",
}
FORM = "postgresql://USER@HOST:PORT/DATABASE or mysql://USER@HOST:PORT/DATABASE"

Row = tuple[Any, ...]
# A query with %s in it and its parameters -> rows.
Query = Callable[[str, Sequence[Any]], list[Row]]


@dataclass(frozen=True)
class Address:
    """Where a database is. Printed, and in messages, it has no password."""

    dialect: Dialect
    user: str | None
    password: str | None = field(repr=False)
    host: str | None
    port: int | None
    database: str
    options: Mapping[str, str]

    @property
    def shown(self) -> str:
        user = f"{self.user}@" if self.user else ""
        port = f":{self.port}" if self.port else ""
        scheme = "postgresql" if self.dialect == "postgres" else "mysql"
        return f"{scheme}://{user}{self.host or ''}{port}/{self.database}"

    def error(self, doing: str, error: Exception) -> UserError:
        """The driver's words in one line, for the user."""
        words = " ".join(str(error.args[-1] if error.args else error).split())
        for secret in {self.password, unquote(self.password or "")} - {None, ""}:
            words = words.replace(str(secret), "***")
        return UserError(f"{self.shown}: {doing}: {words[:300] or type(error).__name__}")


def read_address(url: str, options: Mapping[Dialect, Sequence[str]]) -> Address:
    """The parts of a URL; `options` are those that may follow a question mark. Raises UsageError."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:  # its own message would show what may be the password
        raise UsageError(
            f"the URL cannot be read; it is {FORM}, with what is special in a password percent-encoded"
        ) from None
    if parts.scheme not in SCHEMES:
        raise UsageError(f"the URL must be {FORM}")
    dialect = SCHEMES[parts.scheme]
    given = dict(parse_qsl(parts.query))
    unknown = sorted(set(given) - set(options[dialect]))
    if unknown or parts.fragment:
        raise UsageError(
            f"the URL has an option that is not known (known are: {', '.join(options[dialect])}); "
            "a ? or # in a password must be percent-encoded"
        )
    user, password = (unquote(part) if part else None for part in (parts.username, parts.password))
    return Address(dialect, user, password, parts.hostname, port, unquote(parts.path.removeprefix("/")), given)


@dataclass(frozen=True)
class ServerColumn:
    """`declared` is SQLite's, `read` the expression that gives its values, `native` the server's type."""

    name: str
    declared: str
    read: str
    native: str
    comment: str = ""
    values: tuple[str, ...] = ()


@dataclass(frozen=True)
class ServerTable:
    """`source` is how the server's SQL spells it; `readable` is False where only its schema may be seen."""

    name: str
    source: str
    columns: tuple[ServerColumn, ...]
    primary_key: tuple[str, ...] = ()
    unique: tuple[tuple[str, ...], ...] = ()
    keys: tuple[Key, ...] = ()
    readable: bool = True


@dataclass(frozen=True)
class View:
    name: str
    columns: tuple[str, ...]
    query: str


@dataclass(frozen=True)
class Catalogue:
    """One schema's tables and views, and what is not among them."""

    schema: str
    tables: tuple[ServerTable, ...]
    views: tuple[View, ...]
    notes: tuple[str, ...]


class Server(Protocol):
    """An open connection, in one read-only transaction."""

    @property
    def failures(self) -> tuple[type[Exception], ...]:
        """What the driver raises."""

    def catalogue(self, schema: str | None) -> Catalogue: ...

    def rows(self, table: ServerTable, most: int) -> Iterator[Row]:
        """The first rows, by primary key."""

    def matching(self, table: ServerTable, columns: Sequence[str], keys: Sequence[Row]) -> Iterator[Row]:
        """The rows whose columns have one of these values."""

    def select(self, query: str) -> tuple[list[str], Iterator[Row]]:
        """The columns of any query, and its rows as the driver has them."""

    def close(self) -> None: ...


def grouped(rows: Sequence[Row]) -> dict[Any, list[Row]]:
    """Rows by their first field, without it."""
    groups: dict[Any, list[Row]] = defaultdict(list)
    for first, *rest in rows:
        groups[first].append(tuple(rest))
    return groups


def plain_text(value: str | bytes) -> str:
    return value.decode("utf-8", errors="replace") if isinstance(value, bytes) else value


def allowed_values(clauses: Sequence[str | bytes], dialect: Dialect) -> dict[str, tuple[str, ...]]:
    """The allowed values by column, of checks that say `column IN (...)` of one column and no more."""
    found = {}
    for clause in clauses:
        text = re.sub(r"^CHECK\s*|\s+NO INHERIT$|\s+NOT VALID$", "", plain_text(clause)).replace("\\'", "'")
        try:
            tree = parse_statement(f"SELECT {text}", dialect).expressions[0].unnest()
        except (*REFUSED, IndexError):
            continue
        found.update(listed_values(tree))
    return found


def listed_values(check: exp.Expr) -> dict[str, tuple[str, ...]]:
    """The column and the values of a condition `column IN (...)`, also as PostgreSQL keeps it; else nothing."""
    tree = _uncast(check)
    if not isinstance(tree, exp.In | exp.EQ):
        return {}
    listed = tree.expressions if isinstance(tree, exp.In) else []
    if isinstance(tree, exp.EQ) and isinstance(tree.expression, exp.Any):
        array = tree.expression.find(exp.Array)
        listed = array.expressions if array else []
    column, *values = (_uncast(item) for item in (tree.this, *listed) if isinstance(item, exp.Expr))
    if isinstance(column, exp.Column) and values and all(isinstance(value, exp.Literal) for value in values):
        return {column.name: tuple(value.name for value in values)}
    return {}


def column_meaning(table: str, column: str, comment: str, values: Sequence[str]) -> Meaning:
    """What a database says of a column, of which anything may be long."""
    kept = tuple(one_line(value, MAX_CHARACTERS) for value in values[:MAX_VALUES])
    return Meaning(table, column, one_line(comment, CLIPPED), values=kept)


def _uncast(tree: exp.Expr) -> exp.Expr:
    """What is inside brackets, casts and introducers of character sets."""
    while isinstance(tree, exp.Paren | exp.Cast | exp.Introducer):
        tree = tree.expression if isinstance(tree, exp.Introducer) else tree.this
    return tree
