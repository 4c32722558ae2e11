"""PostgreSQL: its catalogue in terms of SQLite, and its rows.

Reads `pg_catalog` and tables, in one read-only transaction; writes nothing. Values are converted by the
server, so that they arrive as SQLite keeps them: dates as ISO text (UTC), decimals as digits, arrays and
structures as JSON, nothing endless.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from data.errors import UserError
from data.imports.building import Key, listed, quoted
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
)

OPTIONS = ("host", "sslmode", "sslrootcert", "sslcert", "sslkey")
BATCH = 100
TABLES, VIEWS = "rp", "vm"  # pg_class.relkind: plain and partitioned; plain and materialized
TYPES = {
    "INTEGER": ("int2", "int4", "int8", "oid"),
    "REAL": ("float4", "float8"),
    "NUMERIC": ("numeric", "money"),
    "BOOLEAN": ("bool",),
    "DATE": ("date",),
    "TIMESTAMP": ("timestamp", "timestamptz"),
    "TIME": ("time", "timetz"),
    "BLOB": ("bytea",),
}
RELATIONS = """
    SELECT c.oid, c.relname, c.relkind::text, has_table_privilege(c.oid, 'SELECT')
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = %s AND c.relkind IN ('r', 'p', 'v', 'm', 'f') AND NOT c.relispartition ORDER BY c.oid"""
COLUMNS = """
    SELECT a.attrelid, a.attnum, a.attname, b.oid, b.typname, b.typcategory::text, format_type(a.atttypid, -1),
        a.attnotnull, col_description(a.attrelid, a.attnum)
    FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
        JOIN pg_type b ON b.oid = CASE t.typtype WHEN 'd' THEN t.typbasetype ELSE t.oid END
    WHERE a.attrelid = ANY(%s::oid[]) AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attrelid, a.attnum"""
CONSTRAINTS = """
    SELECT conrelid, contype::text, conkey, confrelid, confkey, pg_get_constraintdef(oid)
    FROM pg_constraint WHERE conrelid = ANY(%s::oid[]) AND conparentid = 0 ORDER BY oid"""
SCHEMAS = """
    SELECT nspname FROM pg_namespace n WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'
        AND EXISTS (SELECT 1 FROM pg_class c WHERE c.relnamespace = n.oid AND c.relkind IN ('r', 'p', 'v', 'm'))
    ORDER BY 1"""


class Postgres:
    """A connection in one read-only transaction with a limit on the time of a statement."""

    def __init__(self, address: Address, seconds: float) -> None:
        """Raises UserError where the driver is missing or the server does not let us in."""
        try:
            import psycopg
        except ImportError as error:
            raise UserError('PostgreSQL needs its driver: pip install "loraql[postgres]"') from error
        milliseconds = int(1000 * seconds)
        settings = {
            "statement_timeout": milliseconds,
            "lock_timeout": milliseconds,
            "timezone": "UTC",
            "datestyle": "ISO",
            "extra_float_digits": 1,
            "standard_conforming_strings": "on",  # a backslash is no escape, as our reading of queries has it
        }
        given: dict[str, Any] = {
            "user": address.user,
            "password": address.password,
            "host": address.host,
            "port": address.port,
        }
        try:
            self._connection = psycopg.connect(
                dbname=address.database or None,
                connect_timeout=CONNECT_SECONDS,
                client_encoding="utf8",
                options=" ".join(f"-c {name}={value}" for name, value in settings.items()),
                **{name: value for name, value in (given | dict(address.options)).items() if value is not None},
            )
            self._connection.read_only = True
            self._connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        except psycopg.Error as error:
            raise address.error("cannot connect", error) from error
        self.failures: tuple[type[Exception], ...] = (psycopg.Error, UnicodeDecodeError)

    def close(self) -> None:
        self._connection.close()

    def catalogue(self, schema: str | None) -> Catalogue:
        return _catalogue(self.query, schema)

    def rows(self, table: ServerTable, most: int) -> Iterator[Row]:
        order = f" ORDER BY {listed(table.primary_key)}" if table.primary_key else ""
        yield from self._stream(f"{_select(table)}{order} LIMIT {most:d}", ())

    def matching(self, table: ServerTable, columns: Sequence[str], keys: Sequence[Row]) -> Iterator[Row]:
        natives = {column.name: column.native for column in table.columns}
        # A name may hold the mark of a parameter.
        arrays = ", ".join(f"%s::{natives[column].replace('%', '%%')}[]" for column in columns)
        start = f"{_select(table)} WHERE ({listed(columns)})".replace("%", "%%")
        values = [
            [value if isinstance(value, bytes) else str(value) for value in column]
            for column in zip(*keys, strict=True)
        ]
        yield from self._stream(f"{start} IN (SELECT * FROM unnest({arrays}))", values)

    def query(self, query: str, parameters: Sequence[Any] = ()) -> list[Row]:
        return self._connection.execute(query.encode(), parameters or None).fetchall()

    def select(self, query: str) -> tuple[list[str], Iterator[Row]]:
        # Only a query can be read a few rows at a time.
        cursor = self._connection.cursor(*([] if query.startswith("EXPLAIN") else ["selected"]))
        cursor.execute(query.encode())
        return [column.name for column in cursor.description or ()], iter(cursor)

    def _stream(self, query: str, parameters: Sequence[Any]) -> Iterator[Row]:
        with self._connection.cursor(name="rows") as cursor:
            cursor.itersize = BATCH
            cursor.execute(query.encode(), parameters or None)
            yield from cursor


def _select(table: ServerTable) -> str:
    return f"SELECT {', '.join(column.read for column in table.columns)} FROM {table.source}"


def _catalogue(query: Query, schema: str | None) -> Catalogue:
    """The schema named, else the one that a new connection is in. Raises UserError where there is none."""
    schemas = [name for (name,) in query(SCHEMAS, ())]
    schema = schema or query("SELECT current_schema()", ())[0][0] or "public"
    if schema not in schemas:
        raise UserError(f"the schema {schema} is not there or empty; there are: {', '.join(schemas) or 'none'}")
    # Names in the definitions of views are then qualified only if they are another schema's.
    query("SELECT set_config('search_path', quote_ident(%s), true)", (schema,))
    relations = query(RELATIONS, (schema,))
    ids = [row[0] for row in relations]
    columns = grouped(query(COLUMNS, (ids,)))
    constraints = grouped(query(CONSTRAINTS, (ids,)))
    labels = grouped(query("SELECT enumtypid, enumlabel FROM pg_enum ORDER BY enumtypid, enumsortorder", ()))
    names = {oid: name for oid, name, kind, _ in relations if kind in TABLES}
    places = {oid: {row[0]: row[1] for row in columns[oid]} for oid in names}
    tables, views, notes = [], [], []
    for oid, name, kind, readable in relations:
        if kind in TABLES:
            allowed = allowed_values([row[4] for row in constraints[oid] if row[0] == "c"], "postgres")
            made = tuple(_column(row, labels, allowed) for row in columns[oid])
            bare = ServerTable(name, f"{quoted(schema)}.{quoted(name)}", made, readable=readable)
            tables.append(_with_keys(bare, oid, constraints[oid], names, places))
        elif kind in VIEWS:
            ((definition,),) = query("SELECT pg_get_viewdef(%s::oid)", (oid,))
            views.append(View(name, tuple(row[1] for row in columns[oid]), definition))
        else:
            notes.append(f"the foreign table {name} is left out")
        elsewhere = [row for row in constraints[oid] if row[0] == "f" and row[2] not in names]
        notes += [f"{name}: a foreign key to a table of another schema is left out"] * len(elsewhere)
    others = [other for other in schemas if other != schema]
    notes += [f"only the schema {schema} is copied; there are also: {', '.join(others)}"] if others else []
    return Catalogue(schema, tuple(tables), tuple(views), tuple(notes))


def _column(row: Row, labels: dict[Any, list[Row]], checks: dict[str, tuple[str, ...]]) -> ServerColumn:
    _, name, kind, type_name, category, native, not_null, comment = row
    declared = next((sqlite for sqlite, names in TYPES.items() if type_name in names), "TEXT")
    column = quoted(name)
    special = {
        "bool": f"{column}::int",
        "money": f"{column}::numeric::text",
        "timestamptz": f"({column} AT TIME ZONE 'UTC')::text",
        "bytea": f"substring({column} from 1 for {MAX_CELL})",
    }
    if declared in ("INTEGER", "REAL"):
        read = column
    elif category in "AC":  # arrays and composites
        read = f"left(to_json({column})::text, {MAX_CELL})"
    else:
        read = special.get(type_name) or f"left({column}::text, {MAX_CELL})"
    values = tuple(label for (label,) in labels[kind]) if kind in labels else checks.get(name, ())
    declared += " NOT NULL" if not_null else ""
    return ServerColumn(name, declared, read, native, comment or "", values)


def _with_keys(
    table: ServerTable, oid: int, constraints: Sequence[Row], names: dict[int, str], places: dict[int, dict[int, str]]
) -> ServerTable:
    primary: tuple[str, ...] = ()
    unique: list[tuple[str, ...]] = []
    keys: list[Key] = []
    for kind, numbers, parent, parent_numbers, _ in constraints:
        columns = tuple(places[oid][number] for number in numbers or ())
        if kind == "p":
            primary = columns
        elif kind == "u":
            unique.append(columns)
        elif kind == "f" and parent in names:
            keys.append(Key(columns, names[parent], tuple(places[parent][number] for number in parent_numbers)))
    return replace(table, primary_key=primary, unique=tuple(unique), keys=tuple(keys))
