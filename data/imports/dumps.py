"""What a dump of PostgreSQL or MySQL says of its tables in several statements, put together for SQLite.

Reads statements; makes tables with the keys and comments that are added later, puts the rows of partitions into the
tables that they are parts of, and computes generated columns and makes views in the end, when all rows are there.
"""

import contextlib
import re
import sqlite3
from collections import defaultdict
from collections.abc import Iterator, Sequence

from sqlglot import exp
from sqlglot.errors import ErrorLevel

from data.imports.building import create_view, listed, quoted
from data.imports.declarations import MADE_TYPE, Declared, MadeTypes, added_column, declare
from data.imports.dialects import REFUSED, Dialect, one_line, parse_statement, transpile_query
from data.imports.rewriting import rewritten
from data.imports.spellings import conversion, copied
from data.imports.statements import Statement
from data.meanings import Meaning

QUOTED = r'"(?:[^"]|"")+"|`[^`]+`'
NAME = rf"(?:\w+|{QUOTED})"
COLUMNS = rf"(?P<columns>\((?:[^()\"`]|{QUOTED})*+\))?"
TABLE = rf"(?:{NAME}\.)*(?P<name>{NAME})"
ATTACHED = re.compile(
    rf"ALTER\s+TABLE\s+(?:ONLY\s+)?(?:{NAME}\.)*(?P<parent>{NAME})\s+ATTACH\s+PARTITION\s+{TABLE}\s", re.IGNORECASE
)
PART_OF = re.compile(
    rf"CREATE\s+TABLE\s+(?:IF\s+NOT\s+EXISTS\s+)?{TABLE}\s+PARTITION\s+OF\s+(?:{NAME}\.)*(?P<parent>{NAME})\s",
    re.IGNORECASE,
)
INSERT = re.compile(
    rf"INSERT\s+(?:IGNORE\s+)?INTO\s+{TABLE}\s*{COLUMNS}\s*(?:OVERRIDING\s+(?:SYSTEM|USER)\s+VALUE\s+)?",
    re.IGNORECASE,
)
COPY = re.compile(rf"COPY\s+{TABLE}\s*{COLUMNS}\s*FROM\s+stdin\s*;[ \t]*(?:\n|\Z)", re.IGNORECASE)
MATERIALIZED = re.compile(r"\A(CREATE\s+)MATERIALIZED\s+(?=VIEW\b)|\bWITH\s+(?:NO\s+)?DATA\s*\Z", re.IGNORECASE)
ENGINE = re.compile(r"^\) ENGINE\b.*\Z", re.DOTALL | re.MULTILINE)  # with partitions, which are no tables there


class Dump:
    """What is known of the tables of one script. Its methods raise one of REFUSED, or sqlite3.Error."""

    def __init__(self, dialect: Dialect, schema: str = "") -> None:
        self._dialect = dialect
        self._schema = schema  # that the tables are in, if that is known
        self._tables: dict[str, Declared] = {}  # all names are in lower case
        self._keys: defaultdict[str, list[exp.Expr]] = defaultdict(list)
        self._comments: defaultdict[str, dict[str, str]] = defaultdict(dict)
        self._parents: dict[str, str] = {}  # of partitions
        self._heirs: list[tuple[str, str]] = []
        self._types = MadeTypes(dialect)
        self._notes: list[str] = []
        self._views: dict[str, exp.Create] = {}

    def gather(self, statements: Sequence[Statement]) -> list[Statement]:
        """The statements without those that only add to tables, which are kept for these."""
        return [statement for statement in statements if not self._is_kept(statement.text)]

    def _is_kept(self, text: str) -> bool:
        if part := ATTACHED.match(text) or PART_OF.match(text):
            self._parents[_plain(part["name"])] = _plain(part["parent"])
            return True
        if made := MADE_TYPE.match(text):
            with contextlib.suppress(*REFUSED):
                self._types.add(made)
            return False
        if not re.match(r"ALTER\s+TABLE\b|COMMENT\s+ON\s+COLUMN\b", text, re.IGNORECASE):
            return False
        with contextlib.suppress(*REFUSED):
            tree = self._tree(text)
            if isinstance(tree, exp.Comment) and isinstance(tree.this, exp.Column):
                self._comments[tree.this.table.lower()][tree.this.name] = tree.expression.name
                return True
            actions = tree.args.get("actions") or [] if isinstance(tree, exp.Alter) else []
            if actions and all(isinstance(action, exp.AddConstraint) for action in actions):
                self._keys[tree.this.name.lower()] += actions
                return True
        return False

    def _tree(self, text: str) -> exp.Expr:
        """The tree of a statement whose strings are spelled as SQLite's: without escapes."""
        tree = parse_statement(text.replace("\\", "\\\\") if self._dialect == "mysql" else text, self._dialect)
        for reference in list(tree.find_all(exp.Reference)) if self._schema else ():
            other = reference.find(exp.Table)
            place = other.args.get("db") if other else None
            if place and self._schema != (place.name if place.quoted else place.name.lower()) and reference.parent:
                reference.parent.pop()
                table = tree.find(exp.Table)
                self._notes.append(
                    f"{table.name if table else ''}: a foreign key to a table of another schema is left out"
                )
        return tree

    def translated(self, text: str) -> str | None:
        """A statement in SQLite's words; None where there is nothing to run now."""
        tree = self._tree(MATERIALIZED.sub(r"\1", text))
        if isinstance(tree, exp.Command) and self._dialect == "mysql":
            tree = self._tree(ENGINE.sub(")", text))
        if isinstance(tree, exp.Command):
            raise ValueError("this statement can be read neither by SQLite nor by us")
        if isinstance(tree, exp.Create) and tree.kind == "VIEW":
            named = tree.this.this if isinstance(tree.this, exp.Schema) else tree.this
            self._views[named.name] = tree
            return None
        if isinstance(tree, exp.Create) and tree.kind == "TABLE" and isinstance(tree.this, exp.Schema):
            return self._table(tree)
        if isinstance(tree, exp.Insert):
            self._without_defaults(tree)
        return str(rewritten(tree, self._dialect)[0].sql("sqlite", unsupported_level=ErrorLevel.RAISE))

    def changes(self, text: str) -> list[str] | None:
        """The changes of an ALTER TABLE, each as a statement of SQLite; None where it has no words for one."""
        with contextlib.suppress(*REFUSED):
            tree = self._tree(text)
            actions = tree.args.get("actions") or [] if isinstance(tree, exp.Alter) else []
            changes = [self._change(action) for action in actions]
            if changes and all(changes):
                return [f"ALTER TABLE {quoted(tree.this.name)} {change}" for change in changes]
        return None

    def _change(self, action: exp.Expr) -> str:
        """One change in SQLite's words; "" where it has none, as for the place of a column."""
        if isinstance(action, exp.ColumnDef) and not action.args.get("position"):
            return f"ADD COLUMN {added_column(action, self._dialect)}"
        if isinstance(action, exp.Drop) and action.args["kind"] == "COLUMN":
            return f"DROP COLUMN {listed(column.name for column in action.find_all(exp.Column))}"
        if isinstance(action, exp.RenameColumn):
            return f"RENAME COLUMN {quoted(action.this.name)} TO {quoted(action.args['to'].name)}"
        return f"RENAME TO {quoted(action.this.name)}" if isinstance(action, exp.AlterRename) else ""

    def _table(self, tree: exp.Create) -> str | None:
        name = tree.this.this.name.lower()
        for column in tree.find_all(exp.ColumnDef):
            if column.kind:
                column.set("kind", self._types.known(column.kind))
        inherits = tree.find(exp.InheritsProperty)
        parents = [parent.name.lower() for parent in inherits.expressions] if inherits else []
        unknown = next((parent for parent in parents if parent not in self._tables), None)
        if unknown:
            raise ValueError(f"inherits from {unknown}, which is not made before")
        inherited = {column.name: column for parent in parents for column in self._tables[parent].columns}
        self._heirs += [(name, parent) for parent in parents]
        self._tables[name] = declare(
            tree, self._dialect, self._keys[name], list(inherited.values()), self._comments[name]
        )
        return None if name in self._parents else self._tables[name].sql

    def _whole(self, name: str) -> str:
        """The table that holds the rows: of a partition, the one that it is a part of."""
        for _ in self._parents:  # so it ends even where they are parts of each other
            name = self._parents.get(name, name)
        return name

    def insert(self, text: str) -> str:
        """An INSERT into the right table, without what SQLite has no words for before the values."""
        found = INSERT.match(text)
        if found is None:
            return text
        name = _plain(found["name"])
        if name not in self._parents:
            ignore = "OR IGNORE " if re.match(r"INSERT\s+IGNORE", text, re.IGNORECASE) else ""
            return f"INSERT {ignore}INTO {found['name']} {found['columns'] or ''} {text[found.end() :]}"
        columns = found["columns"] or (f"({listed(self._tables[name].names)})" if name in self._tables else "")
        return f"INSERT INTO {quoted(self._named(name))} {columns} {text[found.end() :]}"

    def _named(self, name: str) -> str:
        whole = self._whole(name)
        return self._tables[whole].name if whole in self._tables else whole

    def _without_defaults(self, tree: exp.Insert) -> None:
        """DEFAULT for generated columns, which are computed later; SQLite has no word for it."""
        target = tree.this.this if isinstance(tree.this, exp.Schema) else tree.this
        table = self._tables.get(target.name.lower())
        names = [column.name for column in tree.this.expressions] if isinstance(tree.this, exp.Schema) else None
        for row in tree.find_all(exp.Tuple):
            for name, value in zip(names or (table.names if table else []), row.expressions, strict=False):
                if isinstance(value, exp.Var) and value.name.upper() == "DEFAULT" and table and name in table.generated:
                    value.replace(exp.null())

    def copy(self, text: str, connection: sqlite3.Connection) -> None:
        """The rows of a COPY into their table."""
        found = COPY.match(text)
        if found is None:
            raise ValueError("only COPY ... FROM stdin in its plain format, as pg_dump writes it, can be read")
        name = _plain(found["name"])
        table = self._tables.get(name)
        columns = found["columns"] or (f"({listed(table.names)})" if table else "")
        rows = text[found.end() :].rstrip(" \t")
        if not rows.endswith("\\."):
            raise ValueError("its rows have no end; the file is cut off")
        lines = rows.removesuffix("\\.").split("\n")[:-1]
        if not lines:
            return
        places = ", ".join("?" * len(copied(lines[0])))
        query = f"INSERT INTO {quoted(self._named(name))} {columns} VALUES ({places})"
        connection.executemany(query, map(copied, lines))

    def finish(self, connection: sqlite3.Connection) -> Iterator[str]:
        """Values as they are meant, what is computed of them, and views; notes on what is not as it was."""
        yield from self._notes
        there = {name.lower() for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        tables = {name: table for name, table in self._tables.items() if name in there}
        if self._dialect == "postgres":
            for table in tables.values():
                _convert(table, connection)
        for child, parent in reversed(self._heirs):
            names = listed(self._tables[parent].names)
            of, into = self._tables[child].name, self._tables[parent].name
            connection.execute(f"INSERT INTO {quoted(into)} ({names}) SELECT {names} FROM {quoted(of)}")
            yield f"{into}: holds the rows of {of} too, which inherits from it"
        for whole in dict.fromkeys(map(self._whole, self._parents)):
            parts = ", ".join(name for name in self._parents if self._whole(name) == whole)
            yield f"{self._named(whole)}: holds the rows of its partitions, which are no tables here: {parts}"
        for table in tables.values():
            yield from self._generate(table, connection)
        yield from self._add_views(connection)

    @property
    def meanings(self) -> list[Meaning]:
        """The columns with allowed values, of tables that are no partitions."""
        tables = [table for name, table in self._tables.items() if name not in self._parents]
        return [meaning for table in tables for meaning in table.meanings]

    def _generate(self, table: Declared, connection: sqlite3.Connection) -> Iterator[str]:
        """Fills generated columns, unless the dump did; those that SQLite cannot compute are left out."""
        connection.create_function("upper", 1, lambda text: text if text is None else str(text).upper())
        connection.create_function("lower", 1, lambda text: text if text is None else str(text).lower())
        for name, expression in table.generated.items():
            column, of = quoted(name), quoted(table.name)
            if connection.execute(f"SELECT 1 FROM {of} WHERE {column} IS NOT NULL LIMIT 1").fetchone():
                continue
            try:
                selected = exp.select(expression.copy()).from_(of, dialect="sqlite")
                query, notes = rewritten(selected, self._dialect, connection)
                value = query.expressions[0].unalias().sql("sqlite", unsupported_level=ErrorLevel.RAISE)
                connection.execute(f"UPDATE {of} SET {column} = {value}")
            except (sqlite3.Error, *REFUSED) as error:
                connection.execute(f"ALTER TABLE {of} DROP COLUMN {column}")
                notes = ()
                yield f"{table.name}: the generated column {name} is left out: {one_line(error)}"
            for note in notes:
                yield f"{table.name}: the generated column {name}: {note}"

    def _add_views(self, connection: sqlite3.Connection) -> Iterator[str]:
        """The views that SQLite can run; one may read another that comes after it."""
        left = dict(self._views)
        reasons: dict[str, str] = {}
        found = True
        while found:
            found = False
            for name, tree in list(left.items()):
                columns = [column.name for column in tree.this.expressions] if isinstance(tree.this, exp.Schema) else []
                made = transpile_query(
                    tree.expression.sql(self._dialect), self._dialect, self._schema or None, connection
                )
                reasons[name] = create_view(connection, name, columns, made.query) if made.query else made.reason
                if not reasons[name]:
                    found = True
                    del left[name]
                    for note in made.notes:
                        yield f"the view {name}: {note}"
        for name in left:
            yield f"the view {name} is left out: {reasons[name]}"


def _convert(table: Declared, connection: sqlite3.Connection) -> None:
    """Texts as PostgreSQL spells values of other types -> these values."""
    for column in table.columns:
        convert = conversion(column.kind)
        if convert:
            name = quoted(column.name)
            connection.create_function("value_of", 1, convert)
            connection.execute(
                f"UPDATE {quoted(table.name)} SET {name} = value_of({name}) WHERE typeof({name}) = 'text'"
            )


def _plain(name: str) -> str:
    """A name without quotation marks, in lower case."""
    return (name[1:-1].replace(name[0] * 2, name[0]) if name[0] in '"`' else name).lower()
