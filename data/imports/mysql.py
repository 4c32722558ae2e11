"""MySQL and MariaDB: their catalogue in terms of SQLite, and their rows.

Reads `information_schema` and tables, in one read-only transaction; writes nothing. Values are converted
by the server, so that they arrive as SQLite keeps them: dates as ISO text (UTC), decimals as digits,
nothing endless.
"""

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import groupby
from typing import Any

from data.errors import UserError
from data.imports.building import Key
from data.imports.catalogue import (
    CONNECT_SECONDS,
    MAX_CELL,
    Address,
    Catalogue,
    Query,
    Row,
    ServerColumn,
    ServerTable,
    View,
    allowed_values,
    grouped,
    plain_text,
)

OPTIONS = ("unix_socket", "ssl_ca")
BATCH = 100
TYPES = {
    "INTEGER": ("tinyint", "smallint", "mediumint", "int", "bigint", "year", "bit"),
    "REAL": ("float", "double"),
    "NUMERIC": ("decimal",),
    "DATE": ("date",),
    "TIMESTAMP": ("datetime", "timestamp"),
    "TIME": ("time",),
    "BLOB": ("binary", "varbinary", "tinyblob", "blob", "mediumblob", "longblob"),
}
GEOMETRIES = re.compile(r"geometry|.*(?:point|linestring|polygon|collection)", re.IGNORECASE)
RELATIONS = "SELECT table_name, table_type FROM information_schema.tables WHERE table_schema = %s ORDER BY table_name"
VIEWS = "SELECT table_name, view_definition FROM information_schema.views WHERE table_schema = %s ORDER BY table_name"
COLUMNS = """
    SELECT table_name, column_name, data_type, column_type, is_nullable, column_comment, collation_name
    FROM information_schema.columns WHERE table_schema = %s ORDER BY table_name, ordinal_position"""
KEYS = """
    SELECT k.table_name, k.constraint_name, c.constraint_type, k.column_name, k.referenced_table_schema,
        k.referenced_table_name, k.referenced_column_name
    FROM information_schema.key_column_usage k JOIN information_schema.table_constraints c
        ON c.table_schema = k.table_schema AND c.table_name = k.table_name AND c.constraint_name = k.constraint_name
    WHERE k.table_schema = %s ORDER BY k.table_name, k.constraint_name, c.constraint_type, k.ordinal_position"""
CHECKS = """
    SELECT t.table_name, c.check_clause FROM information_schema.table_constraints t
        JOIN information_schema.check_constraints c
        ON c.constraint_schema = t.constraint_schema AND c.constraint_name = t.constraint_name {same_table}
    WHERE t.table_schema = %s AND t.constraint_type = 'CHECK'"""


class MySQL:
    """A connection in one read-only transaction with a limit on the time of a statement."""

    def __init__(self, address: Address, seconds: float) -> None:
        """Raises UserError where the driver is missing or the server does not let us in."""
        try:
            import pymysql
            from pymysql.cursors import SSCursor
        except ImportError as error:
            raise UserError('MySQL needs its driver: pip install "loraql[mysql]"') from error
        self._stream_cursor = SSCursor
        self._selected: Any = None
        self._database = address.database or None
        options: dict[str, Any] = dict(address.options)
        if "ssl_ca" in options:
            options["ssl"] = {"ca": options.pop("ssl_ca")}
        try:
            self._connection = pymysql.connect(
                user=address.user,
                password=address.password or os.environ.get("MYSQL_PWD", ""),  # as MySQL's own client does
                host=address.host or "localhost",
                port=address.port or 3306,
                database=self._database,
                charset="utf8mb4",
                connect_timeout=CONNECT_SECONDS,
                read_timeout=seconds + CONNECT_SECONDS,  # where the server knows no limit of its own
                **options,
            )
            ((version,),) = self.query("SELECT version()")
            self._is_mariadb = "mariadb" in version.lower()
            self._major = int(version.partition(".")[0])
            limit = (
                f"max_statement_time = {seconds}" if self._is_mariadb else f"max_execution_time = {int(1000 * seconds)}"
            )
            # Backslashes escape and || is OR, as our reading of views has it.
            for statement in (
                f"SET SESSION {limit}, lock_wait_timeout = {max(1, int(seconds))}, time_zone = '+00:00', sql_mode = ''",
                "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ",
                "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY",
            ):
                self.query(statement)
        except (pymysql.Error, RuntimeError, OSError) as error:
            raise address.error("cannot connect", error) from error
        self.failures: tuple[type[Exception], ...] = (pymysql.Error, UnicodeDecodeError)

    def close(self) -> None:
        with suppress(*self.failures):  # rows that nobody took are passed over, or cannot be
            if self._selected:
                self._selected.close()
        self._connection.close()

    def catalogue(self, schema: str | None) -> Catalogue:
        checks = ""
        if self._is_mariadb:  # its names of checks repeat from table to table
            checks = CHECKS.format(same_table="AND c.table_name = t.table_name")
        elif self._major >= 8:  # before that, checks are not kept
            checks = CHECKS.format(same_table="")
        return _catalogue(self.query, schema or self._database, checks)

    def rows(self, table: ServerTable, most: int) -> Iterator[Row]:
        order = f" ORDER BY {', '.join(map(_backticks, table.primary_key))}" if table.primary_key else ""
        yield from self._stream(f"{_select(table)}{order} LIMIT {most:d}".replace("%", "%%"), ())

    def matching(self, table: ServerTable, columns: Sequence[str], keys: Sequence[Row]) -> Iterator[Row]:
        start = f"{_select(table)} WHERE ({', '.join(map(_backticks, columns))})".replace("%", "%%")
        one = f"({', '.join(['%s'] * len(columns))})"
        yield from self._stream(
            f"{start} IN ({', '.join([one] * len(keys))})", [value for key in keys for value in key]
        )

    def query(self, query: str, parameters: Sequence[Any] = ()) -> list[Row]:
        with self._connection.cursor() as cursor:
            cursor.execute(query, tuple(parameters))
            return list(cursor.fetchall())

    def select(self, query: str) -> tuple[list[str], Iterator[Row]]:
        cursor = self._selected = self._connection.cursor(self._stream_cursor)
        cursor.execute(query)
        return [column[0] for column in cursor.description or ()], iter(cursor)

    def _stream(self, query: str, parameters: Sequence[Any]) -> Iterator[Row]:
        with self._connection.cursor(self._stream_cursor) as cursor:
            cursor.execute(query, tuple(parameters))
            while rows := cursor.fetchmany(BATCH):
                yield from rows


def _select(table: ServerTable) -> str:
    return f"SELECT {', '.join(column.read for column in table.columns)} FROM {table.source}"


def _catalogue(query: Query, schema: str | None, query_of_checks: str) -> Catalogue:
    """A database, which is a schema there. Raises UserError where there is none, or nothing in it."""
    if not schema:
        raise UserError("the URL names no database; put it after the slash")
    found = query(RELATIONS, (schema,))
    if not found:
        raise UserError(f"the database {schema} is not there or empty, or this user may see nothing of it")
    columns = grouped(query(COLUMNS, (schema,)))
    keys = grouped(query(KEYS, (schema,)))
    checks = grouped(query(query_of_checks, (schema,)) if query_of_checks else [])
    names = [name for name, kind in found if kind == "BASE TABLE"]
    tables, notes = [], []
    for name in names:
        allowed = allowed_values([clause for (clause,) in checks[name]], "mysql")
        made = tuple(_column(row, allowed) for row in columns[name])
        groups = [(kind, list(rows)) for (_, kind), rows in groupby(keys[name], key=lambda row: row[:2])]
        foreign = [rows for kind, rows in groups if kind == "FOREIGN KEY"]
        # A key to a table of another database would point nowhere.
        own = [rows for rows in foreign if rows[0][3] == schema and rows[0][4] in names]
        notes += [f"{name}: a foreign key to a table of another database is left out"] * (len(foreign) - len(own))
        tables.append(
            ServerTable(
                name,
                f"{_backticks(schema)}.{_backticks(name)}",
                made,
                primary_key=tuple(row[2] for kind, rows in groups if kind == "PRIMARY KEY" for row in rows),
                unique=tuple(tuple(row[2] for row in rows) for kind, rows in groups if kind == "UNIQUE"),
                keys=tuple(
                    Key(tuple(row[2] for row in rows), rows[0][4], tuple(row[5] for row in rows)) for rows in own
                ),
            )
        )
    views = [
        View(name, tuple(row[0] for row in columns[name]), plain_text(text)) for name, text in query(VIEWS, (schema,))
    ]
    return Catalogue(schema, tuple(tables), tuple(views), tuple(notes))


def _backticks(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"


def _column(row: Row, checks: dict[str, tuple[str, ...]]) -> ServerColumn:
    name, kind, full, nullable, comment, collation = row
    kind, full = kind.lower(), plain_text(full)
    declared = next((sqlite for sqlite, names in TYPES.items() if kind in names), "TEXT")
    if full.lower() in ("tinyint(1)", "bit(1)"):
        declared = "BOOLEAN"
    column = _backticks(name)
    if kind in ("bit", "year"):
        read = f"{column} + 0"
    elif declared in ("INTEGER", "REAL", "BOOLEAN"):
        read = column
    elif declared == "BLOB":
        read = f"SUBSTRING({column}, 1, {MAX_CELL})"
    elif GEOMETRIES.fullmatch(kind):
        read = f"LEFT(ST_AsText({column}), {MAX_CELL})"
    else:
        read = f"LEFT(CAST({column} AS CHAR), {MAX_CELL})"
    values = (
        tuple(_unescaped(text) for text in re.findall(r"'((?:[^'\\]|''|\\.)*)'", full))
        if kind in ("enum", "set")
        else ()
    )
    declared += " COLLATE NOCASE" if declared == "TEXT" and (collation or "").endswith("_ci") else ""
    declared += " NOT NULL" if nullable == "NO" else ""
    return ServerColumn(name, declared, read, full, plain_text(comment or ""), values or checks.get(name, ()))


def _unescaped(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text.replace("''", "'"))
