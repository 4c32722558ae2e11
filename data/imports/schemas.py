"""A script that holds tables of several schemas or databases, as one of them: SQLite has no more.

Reads the statements of a script, and tells by the names in them whose tables they are about. Of PostgreSQL's schemas one
is taken, as of a server; MySQL's databases are put together, unless they have a name in common.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from data.errors import UserError
from data.imports.dialects import Dialect
from data.imports.dumps import NAME
from data.imports.statements import Statement

PUBLIC = "public"
PATH = rf"{NAME}(?:\s*\.\s*{NAME})*"
EXISTS = r"(?:IF\s+(?:NOT\s+)?EXISTS\s+|ONLY\s+)*"
SUBJECT = re.compile(
    r"(?:CREATE\s+(?:(?:OR\s+REPLACE|GLOBAL|LOCAL|TEMP|TEMPORARY|UNLOGGED|MATERIALIZED|RECURSIVE|ALGORITHM\s*=\s*\w+"
    r"|DEFINER\s*=\s*\S+|SQL\s+SECURITY\s+\w+)\s+)*(?P<made>TABLE|VIEW)|(?:ALTER|DROP|REFRESH)\s+(?:MATERIALIZED\s+)?"
    r"(?:TABLE|VIEW)|TRUNCATE(?:\s+TABLE)?|COPY|INSERT\s+(?:IGNORE\s+)?INTO|UPDATE|DELETE\s+FROM"
    rf"|COMMENT\s+ON\s+(?:TABLE|VIEW|(?P<column>COLUMN)))\s+{EXISTS}(?P<path>{PATH})",
    re.IGNORECASE,
)
PARTITION = re.compile(
    rf"ALTER\s+TABLE\s+{EXISTS}(?P<whole>{PATH})\s+ATTACH\s+PARTITION\s+(?P<part>{PATH})"
    rf"|CREATE\s+TABLE\s+{EXISTS}(?P<new>{PATH})\s+PARTITION\s+OF\s+(?P<of>{PATH})",
    re.IGNORECASE,
)
# What a name without a schema belongs to from then on.
ENTERED = re.compile(
    rf"SET\s+(?:SESSION\s+|LOCAL\s+)?search_path\s*(?:=|TO)\s*(?P<path>.*)|USE\s+(?P<database>{NAME})\s*\Z"
    r"|SELECT\s+(?:pg_catalog\s*\.\s*)?set_config\s*\(\s*'search_path'\s*,\s*'(?P<config>[^']*)'",
    re.IGNORECASE | re.DOTALL,
)
NO_SCHEMA = {"", "$user", "pg_catalog", "default"}

Relation = tuple[str, str]  # its schema, "" where none is named, and its name


@dataclass(frozen=True)
class OneSchema:
    """The statements about it; its name, "" where the script holds no table of PostgreSQL; what is left out."""

    statements: list[Statement]
    schema: str = ""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class _About:
    """A statement, the table or view that it is about, and whether it makes one: TABLE, VIEW or ""."""

    statement: Statement
    relation: Relation | None
    made: str = ""
    whole: Relation | None = None  # of a partition
    part: Relation | None = None


def of_one_schema(statements: Sequence[Statement], dialect: Dialect) -> OneSchema:
    """What a script says of one schema. Raises UserError for databases of MySQL that have a table's name in common."""
    found = list(_subjects(statements, dialect))
    return _of_databases(found) if dialect == "mysql" else _of_schemas(found)


def _of_schemas(found: Sequence[_About]) -> OneSchema:
    """`public` if it holds tables, else the first schema that does."""
    named = dict.fromkeys(one.relation[0] for one in found if one.relation and one.made == "TABLE")
    # A script that names one schema for its tables means that one everywhere.
    default = PUBLIC if "" in named or len(named) != 1 else next(iter(named))
    wholes = {_in(one.part, default): _in(one.whole, default) for one in found if one.part and one.whole}

    def schema_of(relation: Relation) -> str:
        """Partitions go with the table that they are parts of, whose rows they hold."""
        relation = _in(relation, default)
        for _ in wholes:  # so it ends even where they are parts of each other
            relation = wholes.get(relation, relation)
        return relation[0]

    schemas = {made: dict.fromkeys(schema_of(one.relation) for one in found if one.relation and one.made == made)
               for made in ("TABLE", "VIEW")}  # fmt: skip
    tables = schemas["TABLE"]
    chosen = PUBLIC if PUBLIC in tables else next(iter(tables), "")
    others = sorted({*tables, *schemas["VIEW"]} - {chosen})
    if not chosen or not others:
        return OneSchema([one.statement for one in found], chosen)
    kept = [one.statement for one in found if one.relation is None or schema_of(one.relation) == chosen]
    note = f"only the schema {chosen} is copied; there are also: {', '.join(others)}"
    return OneSchema(kept, chosen, (note,))


def _of_databases(found: Sequence[_About]) -> OneSchema:
    made: dict[str, str] = {}
    for one in found:
        if one.made and one.relation and one.relation[0]:
            database, name = one.relation
            first = made.setdefault(name.lower(), database)
            if first != database:
                raise UserError(
                    f"line {one.statement.line}: {name} is in the databases {first} and {database}; "
                    f"give a dump of one of them, as `mysqldump {database}` makes it"
                )
    databases = ", ".join(sorted(set(made.values())))
    notes = (f"the tables of several databases are put together: {databases}",) if "," in databases else ()
    return OneSchema([one.statement for one in found], notes=notes)


def _subjects(statements: Sequence[Statement], dialect: Dialect) -> Iterator[_About]:
    schema = ""
    for statement in statements:
        if entered := ENTERED.match(statement.text):
            schema = _entered(entered)
            yield _About(statement, None)
            continue
        subject = SUBJECT.match(statement.text)
        if subject is None:
            yield _About(statement, None)
            continue
        path = subject["path"]
        relation = _relation(path, schema, dialect, left_out=1 if subject["column"] else 0)
        partition = PARTITION.match(statement.text) if dialect == "postgres" else None
        ends = [_relation(end, schema, dialect) for end in partition.groups() if end] if partition else []
        if partition and partition["new"]:
            ends.reverse()
        whole, part = ends or (None, None)
        yield _About(statement, relation, (subject["made"] or "").upper(), whole, part)


def _entered(entered: re.Match[str]) -> str:
    """The first schema that counts."""
    if entered["database"]:
        return _spelled(entered["database"], "mysql")
    names = (
        _spelled(name.strip().strip("'"), "postgres") for name in (entered["path"] or entered["config"]).split(",")
    )
    return next((name for name in names if name not in NO_SCHEMA), "")


def _relation(path: str, schema: str, dialect: Dialect, left_out: int = 0) -> Relation:
    names = [_spelled(name, dialect) for name in re.findall(NAME, path)]
    names = names[: len(names) - left_out] or names
    return (names[-2] if len(names) > 1 else schema, names[-1])


def _spelled(name: str, dialect: Dialect) -> str:
    """A name as the server keeps it."""
    if name[:1] in ('"', "`"):
        return name[1:-1].replace(name[0] * 2, name[0])
    return name.lower() if dialect == "postgres" else name


def _in(relation: Relation, schema: str) -> Relation:
    return (relation[0] or schema, relation[1])
