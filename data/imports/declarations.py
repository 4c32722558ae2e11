"""A table of PostgreSQL or MySQL as SQLite declares it, and what its CREATE TABLE says beyond that.

Reads parsed statements; engines, indexes and checks are left out. Comments stay where `data/comments.py` finds them.
Generated columns become plain ones: some dumps hold their values, and else `data/imports/dumps.py` computes them.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlglot import exp
from sqlglot.errors import ErrorLevel

from data.imports.catalogue import column_meaning, listed_values
from data.imports.dialects import Dialect, parse_statement, sqlite_type
from data.meanings import Meaning, one_line

MINDS_CASE = re.compile(r"(?:_bin|_cs|^binary)\Z", re.IGNORECASE)  # collations of MySQL
OWN_NAME = r"(?:\"[^\"]*\"|[^\s\"])+"
# An enumeration, or a domain without what is said after its type.
MADE_TYPE = re.compile(
    rf"CREATE\s+(?:TYPE\s+(?P<type>{OWN_NAME})\s+AS\s+(?P<values>ENUM\b.*)|DOMAIN\s+(?P<domain>{OWN_NAME})\s+(?:AS\s+)?"
    r"(?P<kind>.+?)(?:\s(?:NOT|NULL|DEFAULT|CHECK|CONSTRAINT|COLLATE)\b.*)?)\Z",
    re.IGNORECASE | re.DOTALL,
)
FOLDED = {*exp.DataType.TEXT_TYPES, exp.DType.ENUM, exp.DType.SET}


@dataclass(frozen=True)
class Declared:
    """A table as its script declares it, with the columns that it inherits; `sql` declares it in SQLite.

    `meanings` are those of columns with allowed values, which SQLite's own declaration does not hold.
    """

    name: str
    columns: tuple[exp.ColumnDef, ...]
    sql: str
    meanings: tuple[Meaning, ...] = ()

    @property
    def names(self) -> list[str]:
        return [column.name for column in self.columns]

    @property
    def generated(self) -> dict[str, exp.Expr]:
        """The expressions of generated columns."""
        found = ((column.name, column.find(exp.ComputedColumnConstraint)) for column in self.columns)
        return {name: constraint.this for name, constraint in found if constraint}


class MadeTypes:
    """The enumerations and domains that a script makes, by their names with and without a schema."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self._kinds: dict[str, exp.DataType] = {}

    def add(self, made: re.Match[str]) -> None:
        """What MADE_TYPE found. Raises one of REFUSED."""
        name, kind = made["type"] or made["domain"], made["values"] or made["kind"]
        tree = parse_statement(f"CREATE TABLE {name} (c {kind})", self._dialect)
        table, column = tree.find(exp.Table), tree.find(exp.ColumnDef)
        if table and column and column.kind:
            known = self.known(column.kind)
            self._kinds[f"{table.db}.{table.name}".lower()] = known
            self._kinds.setdefault(table.name.lower(), known)

    def known(self, kind: exp.DataType) -> exp.DataType:
        """The type itself, or what the script made it of."""
        name = kind.args.get("kind")
        if not isinstance(name, exp.Expr):
            return kind
        parts = [part.name.lower() for part in name.find_all(exp.Identifier, bfs=False)]
        known = self._kinds.get(".".join(parts[-2:])) or self._kinds.get(parts[-1])
        return known.copy() if known else kind


def declare(
    create: exp.Create,
    dialect: Dialect,
    more: Sequence[exp.Expr] = (),
    inherited: Sequence[exp.ColumnDef] = (),
    comments: Mapping[str, str] | None = None,
) -> Declared:
    """The table of a CREATE TABLE. Raises ValueError for one without a list of columns.

    `more` are keys, and `comments` those of columns, that the script adds later; SQLite cannot add them.
    """
    if not isinstance(create.this, exp.Schema):
        raise ValueError("a CREATE TABLE without a list of columns")
    own = [item for item in create.this.expressions if isinstance(item, exp.ColumnDef)]
    names = {column.name for column in own}
    columns = [*(column for column in inherited if column.name not in names), *own]
    if not columns:
        raise ValueError("a CREATE TABLE without types")
    keys = [key for item in (*create.this.expressions, *more) for key in _table_keys(item)]
    if any(column.find(exp.PrimaryKeyColumnConstraint) for column in columns):
        keys = [key for key in keys if not isinstance(key, exp.PrimaryKey)]
    collates = create.find(exp.CollateProperty)
    collation = (collates.name if collates else "") if dialect == "mysql" else None
    body = ", ".join(
        [*(_column(column, comments or {}, collation) for column in columns), *(_sql(key) for key in keys)]
    )
    exists = "IF NOT EXISTS " if create.args.get("exists") else ""
    name = create.this.this.name
    checks = [check for item in (create.this, *more) for check in item.find_all(exp.CheckColumnConstraint)]
    listed = {column: values for check in checks for column, values in listed_values(check.this).items()}
    allowed = {column.name: _enumerated(column.kind) or listed.get(column.name, ()) for column in columns}
    return Declared(
        name,
        tuple(columns),
        f"CREATE TABLE {exists}{_sql(exp.to_identifier(name, quoted=True))} ({body})",
        tuple(
            column_meaning(name, column.name, _comment(column, comments or {}), allowed[column.name])
            for column in columns
            if allowed[column.name]
        ),
    )


def added_column(column: exp.ColumnDef, dialect: Dialect) -> str:
    """A column that an ALTER TABLE adds. SQLite adds none that must be filled or be a key."""
    plain = column.copy()
    left_out = exp.NotNullColumnConstraint | exp.PrimaryKeyColumnConstraint | exp.UniqueColumnConstraint
    kept = [constraint for constraint in plain.constraints if not isinstance(constraint.kind, left_out)]
    plain.set("constraints", kept)
    return _column(plain, {}, "" if dialect == "mysql" else None)


def _enumerated(kind: exp.DataType | None) -> tuple[str, ...]:
    """The values of an enumeration or a set."""
    is_listed = kind is not None and kind.this in (exp.DType.ENUM, exp.DType.SET)
    return tuple(value.name for value in kind.expressions) if kind and is_listed else ()


def _comment(column: exp.ColumnDef, comments: Mapping[str, str]) -> str:
    """What is said of the column, later or where it is declared."""
    own = column.find(exp.CommentColumnConstraint)
    return comments.get(column.name, "") or (own.name if own else "")


def _column(column: exp.ColumnDef, comments: Mapping[str, str], collation: str | None) -> str:
    """`collation` is the table's in MySQL, where texts are equal whatever their letter case unless it says otherwise."""
    words = [_sql(exp.to_identifier(column.name, quoted=True)), sqlite_type(column.kind)]
    if collation is not None and column.kind and column.kind.this in FOLDED:
        own = column.find(exp.CollateColumnConstraint)
        is_binary = column.find(exp.BinaryColumnConstraint) is not None
        if not is_binary and not MINDS_CASE.search(own.this.name if own else collation):
            words.append("COLLATE NOCASE")
    is_generated = column.find(exp.ComputedColumnConstraint) is not None
    comment = _comment(column, comments)
    for constraint in column.constraints:
        kind = constraint.kind
        if isinstance(kind, exp.PrimaryKeyColumnConstraint):
            words.append("PRIMARY KEY")
        elif isinstance(kind, exp.NotNullColumnConstraint) and not kind.args.get("allow_null") and not is_generated:
            words.append("NOT NULL")
        elif isinstance(kind, exp.UniqueColumnConstraint) and kind.this is None:
            words.append("UNIQUE")
        elif isinstance(kind, exp.DefaultColumnConstraint):
            value = kind.this.this if isinstance(kind.this, exp.Cast) else kind.this
            if isinstance(
                value, exp.Literal | exp.Boolean | exp.Neg | exp.Null | exp.CurrentTimestamp | exp.CurrentDate
            ):
                words.append(f"DEFAULT {value.sql('sqlite')}")
        elif isinstance(kind, exp.Reference):
            words.append(_sql(_bare_reference(kind)))
    words.append(f"-- {one_line(comment)}\n" if comment.strip() else "")
    return " ".join(filter(None, words))


def _table_keys(item: exp.Expr) -> list[exp.Expr]:
    """The keys in an entry of a table's body, without the names of constraints, which may clash."""
    if isinstance(item, exp.Constraint | exp.AddConstraint):
        return [key for inner in item.expressions for key in _table_keys(inner)]
    if isinstance(item, exp.PrimaryKey):
        return [exp.PrimaryKey(expressions=[_plain(column) for column in item.expressions])]
    if isinstance(item, exp.UniqueColumnConstraint) and isinstance(item.this, exp.Schema):
        prefixed = any(isinstance(column, exp.ColumnPrefix) for column in item.this.expressions)
        columns = [_plain(column) for column in item.this.expressions]
        # Unique in its first letters is not unique to SQLite, nor the other way round.
        return [] if prefixed else [exp.UniqueColumnConstraint(this=exp.Schema(expressions=columns))]
    if isinstance(item, exp.ForeignKey) and isinstance(item.args.get("reference"), exp.Reference):
        columns = [_plain(column) for column in item.expressions]
        return [exp.ForeignKey(expressions=columns, reference=_bare_reference(item.args["reference"]))]
    return []


def _plain(column: exp.Expr) -> exp.Identifier:
    """The name alone, of a column that may come with an order or a length."""
    found = column if isinstance(column, exp.Identifier) else column.find(exp.Identifier)
    if found is None:
        raise ValueError("a key on something that is no column")
    return exp.to_identifier(found.name, quoted=True)


def _bare_reference(reference: exp.Reference) -> exp.Reference:
    """The parent without its schema, and without what happens on deletion."""
    parent = reference.this
    table = parent.this if isinstance(parent, exp.Schema) else parent
    columns = [_plain(column) for column in parent.expressions] if isinstance(parent, exp.Schema) else []
    name = exp.to_table(_sql(exp.to_identifier(table.name, quoted=True)), dialect="sqlite")
    return exp.Reference(this=exp.Schema(this=name, expressions=columns) if columns else name)


def _sql(tree: exp.Expr) -> str:
    return str(tree.sql("sqlite", unsupported_level=ErrorLevel.RAISE))
