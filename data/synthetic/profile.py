"""What a database holds, as far as questions about it need: the kind of each column, and its values.

Reads an SQLite file through `data/schema.py`, its rows read-only and no more than the first ROWS of a
table. Kinds are guessed from declared type, name and values: an id is not added up, a year is not averaged.
"""

import math
import re
import sqlite3
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from data.errors import UserError
from data.imports.building import quoted
from data.meanings import describe_columns
from data.schema import Column, ForeignKey, Schema, Table, open_read_only, read_sqlite, stored_columns
from data.synthetic import nouns
from data.synthetic.columns import as_noun, is_truth, role_of, with_unit
from data.synthetic.kinds import KEY_WORDS, LONGEST_READ, Kind, Value, is_few, kind_of, last_word

ROWS = 50_000
VALUES = 400  # of a column, the most frequent
LONGEST_VALUE = 60
TELLING = 0.7  # share of different texts from which on they are what rows are called by
MEANING = re.compile(r"[A-Za-z]+( [A-Za-z]+){0,3}")
PERSON_WORDS = {"age", "birth", "birthday", "gender", "sex", "nationality", "salary", "surname"}
PEOPLE = {"person", "people", "patient", "student", "guest", "member", "client", "staff", "guide", "friend", "pilot"}
NOISE = {"data", "table", "tbl", "list", "info", "ref", "details", "records"}
NOTHING = {"null", "none", "n/a", "na", "nan", "unknown", "-", "?"}


@dataclass(frozen=True)
class Field:
    """One column. `phrase` is what people call it, singular; `values` the most frequent first, for filters.

    `rows` counts values, `repeats` is whether any comes twice, `whole` whether all are integers, `truth`
    whether they say yes and no.
    """

    table: str
    name: str
    kind: Kind
    phrase: str
    values: tuple[Value, ...] = ()
    distinct: int = 0
    rows: int = 0
    nulls: int = 0
    whole: bool = False
    truth: bool = False

    @property
    def repeats(self) -> bool:
        return self.distinct < self.rows

    @property
    def ordered(self) -> bool:
        """Whether more and less mean something."""
        return self.kind in ("number", "rank", "year", "date") and self.distinct > 1

    @property
    def groups(self) -> bool:
        """Whether rows can be told by it in a few groups."""
        return self.kind in ("category", "year", "flag", "rank") and is_few(self.distinct, self.rows) and not self.nulls


@dataclass(frozen=True)
class Entity:
    """One table with rows. `noun` is singular; `key` its single key column; `label` what its rows are called by.

    `ends`, of a table that only links two others and bears both their names: each of the two, by its table,
    with what the other is called.
    """

    table: str
    noun: str
    fields: tuple[Field, ...]
    key: Field | None
    label: tuple[Field, ...]
    rows: int
    is_person: bool
    ends: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Link:
    """A foreign key of one column. `role` is what the child calls the parent: "family doctor".

    `plain`: no other key leads from this child to this parent, so that "artists that have artworks" is clear.
    """

    child: str
    column: Field
    parent: str
    parent_column: Field
    role: str
    plain: bool


@dataclass(frozen=True)
class Profile:
    """The tables that hold rows, by name, in schema order, and the keys between them."""

    db_id: str
    entities: Mapping[str, Entity]
    links: tuple[Link, ...]


def read_profile(path: Path, shown: str = "") -> Profile:
    """`shown` is what the user calls the file. Raises UserError for a file that cannot be read, has no tables, or no rows in any."""
    schema = describe_columns(read_sqlite(path), path)
    if not schema.tables:
        raise UserError(f"{shown or path}: has no tables; give a database with tables and rows")
    vocabulary = _vocabulary(schema)
    connection = open_read_only(path)
    connection.text_factory = lambda content: content.decode("utf-8", "replace")
    try:
        stored = stored_columns(connection)
        read = [
            _read_table(connection, table, vocabulary, stored) for table in schema.tables if table.name.isprintable()
        ]
    finally:
        connection.close()
    entities = {entity.table: entity for entity in _told_apart(read) if entity.rows and entity.fields}
    if not entities:
        raise UserError(
            f"{shown or path}: all {len(schema.tables)} tables are empty or unreadable; questions need rows"
        )
    links = [link for table in schema.tables if table.name in entities for link in _links(table, entities)]
    for table in schema.tables:
        if table.name in entities:
            entities[table.name] = _with_ends(entities[table.name], table, links, entities)
    return Profile(schema.db_id, entities, tuple(links))


def _vocabulary(schema: Schema) -> frozenset[str]:
    names = [name for table in schema.tables for name in (table.name, *(column.name for column in table.columns))]
    found = {word for name in names for word in nouns.words(name).split() if len(word) > nouns.SMALLEST_PART}
    return frozenset(found | {nouns.singular(word) for word in found})


def _read_table(
    connection: sqlite3.Connection, table: Table, vocabulary: frozenset[str], stored: Collection[tuple[str, str]]
) -> Entity:
    noun = nouns.words(table.name, vocabulary - {table.name.lower()})
    short = " ".join(word for word in noun.split() if word not in NOISE) or noun
    noun = nouns.singular(short)
    foreign = {key.column for key in table.foreign_keys}
    phrases = {column.name: _phrase(column, vocabulary) for column in table.columns}
    rows, fields, taken = 0, [], {*phrases.values()}
    for column in table.columns:
        if not column.name.isprintable() or (table.name, column.name) not in stored:
            continue
        try:
            found = _read_values(connection, table.name, column.name)
        except sqlite3.Error:  # an unknown collation, a missing module: a column that cannot be asked about
            continue
        rows = max(rows, sum(count for _, _, count in found))
        phrase = phrases[column.name]
        if column.name in foreign:
            kind: Kind | None = "key"
        else:
            is_key = column.name in table.primary_key and last_word(phrase) in KEY_WORDS
            kind = "key" if is_key or last_word(phrase) in ("id", "ids") else None
        if kind is None and column.name in table.primary_key and len(table.primary_key) == 1:
            kind = "key" if all(kind == "integer" for kind, _, _ in found) else None
        fields.append(_field(table.name, column, phrase, found, kind, taken))
        taken.add(fields[-1].phrase)
    fields = [_without_owner(field, noun, fields) for field in fields]
    by_name = {field.name: field for field in fields}
    key = by_name.get(table.primary_key[0]) if len(table.primary_key) == 1 else None
    told = {word for field in fields for word in field.phrase.split()}
    is_person = noun.split()[-1] in PEOPLE or (
        bool(told & PERSON_WORDS or {"first", "last"} <= told) and bool(re.search(r"(er|or|ist|ee|ian)$", noun))
    )
    return Entity(table.name, noun, tuple(fields), key, _label(fields, key), rows, is_person)


def _read_values(connection: sqlite3.Connection, table: str, column: str) -> list[tuple[str, Value | None, int]]:
    """Storage class, value and count; long text cut, blobs not read."""
    value = f"CASE typeof(v) WHEN 'text' THEN substr(v, 1, {LONGEST_READ}) WHEN 'blob' THEN NULL ELSE v END"
    rows = f"SELECT {quoted(column)} AS v FROM {quoted(table)} LIMIT {ROWS}"
    query = f"SELECT typeof(v), {value}, count(*) FROM ({rows}) GROUP BY 1, 2 ORDER BY 3 DESC, 1, 2"
    return connection.execute(query).fetchall()


def _field(
    table: str,
    column: Column,
    phrase: str,
    found: list[tuple[str, Value | None, int]],
    kind: Kind | None,
    taken: Collection[str],
) -> Field:
    held = [(storage, value, count) for storage, value, count in found if storage != "null"]
    rows, nulls = (
        sum(count for storage, _, count in found if (storage == "null") is is_null) for is_null in (False, True)
    )
    storages = {storage for storage, _, _ in held}
    values = [_short(value) for _, value, _ in held if value is not None]
    whole = storages == {"integer"}
    if kind is None:
        kind = kind_of(phrase, storages, values, rows)
    phrase, kind = as_noun(phrase, kind, values, taken)
    if kind in ("date", "year") and phrase.endswith("ed") and " " not in phrase:
        phrase = f"{kind} {phrase}"
    usable = tuple(value for value in values if _is_plain(value))[:VALUES]
    truth = kind == "flag" and is_truth(phrase, column.type, values)
    return Field(table, column.name, kind, phrase, usable, len(held), rows, nulls, whole, truth)


def _phrase(column: Column, vocabulary: frozenset[str]) -> str:
    """What its meaning calls it if that is a few plain words, else the words of its name."""
    text = column.meaning.rstrip(".")
    is_few_words = MEANING.fullmatch(text) and text.split()[0].lower() not in ("a", "an", "the", "if", "whether")
    return with_unit(nouns.words(text if is_few_words else column.name, vocabulary))


def _short(value: Value) -> Value:
    """68.0 as 68, which is the same to SQLite."""
    return int(value) if isinstance(value, float) and value.is_integer() and abs(value) < 2**53 else value


def _is_plain(value: Value) -> bool:
    """Whether people would put it into a question."""
    if not isinstance(value, str):
        return math.isfinite(value)
    sound = value == value.strip() and value.isprintable() and "�" not in value and "\\" not in value
    return sound and 0 < len(value) <= LONGEST_VALUE and value.lower() not in NOTHING


def _without_owner(field: Field, noun: str, fields: Sequence[Field]) -> Field:
    """ "concert name" of a concert is its name, "date of treatment" of a treatment its date, if it has no other."""
    rest = field.phrase.removeprefix(f"{noun} ").removesuffix(f" of {noun}")
    if rest in (noun, noun.split()[-1]) and field.kind in ("name", "category", "text"):  # a continent called continent
        rest = "name"
    is_taken = rest in {"time", *(other.phrase for other in fields)}  # "orders whose time" is not clear
    if is_taken or rest.split()[0] in nouns.PREPOSITIONS or last_word(rest) in KEY_WORDS:
        return field
    return replace(field, phrase=rest)


def _label(fields: Sequence[Field], key: Field | None) -> tuple[Field, ...]:
    """The names if there are any, a first with a last name; else unique text, else the key."""
    named = [field for field in fields if field.kind == "name" or (last_word(field.phrase) == "name" and field.rows)]
    named = [field for field in named if field.kind in ("name", "category", "text")]
    parts = [
        field for field in named if field.phrase.split()[0] in ("first", "last") and len(field.phrase.split()) == 2
    ]
    if len(parts) == 2:
        return tuple(parts)
    texts = [
        field for field in fields if field.kind == "text" and TELLING * field.rows <= field.distinct and not field.nulls
    ]
    return tuple([*named, *texts, *([key] if key else [])][:1])


def _told_apart(entities: Sequence[Entity]) -> list[Entity]:
    """Two tables that would be called alike get all the words of their names."""
    names = [entity.noun for entity in entities]
    return [
        replace(entity, noun=nouns.words(entity.table)) if names.count(entity.noun) > 1 else entity
        for entity in entities
    ]


def _links(table: Table, entities: Mapping[str, Entity]) -> list[Link]:
    """The keys of one column. Several columns of one parent make a composite key, which is left out."""
    keys = list(dict.fromkeys(table.foreign_keys))
    links = []
    for key in keys:
        rivals = [other for other in keys if other.parent_table == key.parent_table]
        link = _link(table.name, key, entities, plain=len(rivals) == 1 and key.parent_table != table.name)
        if link and all(other.parent_column == key.parent_column for other in rivals):
            links.append(link)
    return links


def _link(child: str, key: ForeignKey, entities: Mapping[str, Entity], plain: bool) -> Link | None:
    columns = {(field.table, field.name): field for entity in entities.values() for field in entity.fields}
    own, other = columns.get((child, key.column)), columns.get((key.parent_table, key.parent_column))
    if own is None or other is None or other.repeats or own == other:
        return None
    role = role_of(own.phrase, other.phrase, entities[key.parent_table].noun, plain)
    return Link(child, own, key.parent_table, other, role, plain) if role else None


def _with_ends(entity: Entity, table: Table, links: Sequence[Link], entities: Mapping[str, Entity]) -> Entity:
    own = [link for link in links if link.child == table.name]
    parents = [entities[link.parent] for link in own]
    if len(own) != 2 or {link.column.name for link in own} != set(table.primary_key):
        return entity
    one, two = parents
    if one == two or not all(
        set(parent.noun.split()) & set(map(nouns.singular, entity.noun.split())) for parent in parents
    ):
        return entity
    return replace(entity, ends=((one.table, two.noun), (two.table, one.noun)))
