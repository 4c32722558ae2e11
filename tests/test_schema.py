"""Schemas as SQLite files and `tables.json` describe them."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from data.errors import UserError
from data.schema import Column, ForeignKey, Schema, open_read_only, read_sqlite, read_tables_json, stored_columns


def build(folder: Path, script: str, name: str = "made.sqlite") -> Path:
    path = folder / name
    connection = sqlite3.connect(path)
    connection.executescript(script)
    connection.close()
    return path


def read(folder: Path, script: str) -> Schema:
    return read_sqlite(build(folder, script))


def test_tables_and_columns_keep_their_order_and_their_letter_case(tmp_path: Path) -> None:
    schema = read(tmp_path, "CREATE TABLE Zebra (zB INT, Aa INT); CREATE TABLE ape (X INT);")
    assert [table.name for table in schema.tables] == ["Zebra", "ape"]
    assert [column.name for column in schema.tables[0].columns] == ["zB", "Aa"]


def test_types_are_as_declared_and_empty_where_there_is_none(tmp_path: Path) -> None:
    (table,) = read(tmp_path, "CREATE TABLE t (a INTEGER, b varchar(20), c DECIMAL(5, 2), d, e TIME STAMP)").tables
    assert [column.type for column in table.columns] == ["INTEGER", "varchar(20)", "DECIMAL(5, 2)", "", "TIME STAMP"]


@pytest.mark.parametrize(
    ("body", "key"),
    [
        ("a INT, b INT", ()),
        ("a INT PRIMARY KEY, b INT", ("a",)),
        ("a INT, b INT, PRIMARY KEY (a, b)", ("a", "b")),
        ("a INT, b INT, PRIMARY KEY (b, a)", ("b", "a")),
        ('"first name" TEXT PRIMARY KEY', ("first name",)),
    ],
)
def test_the_primary_key_has_its_columns_in_the_order_of_the_key(
    tmp_path: Path, body: str, key: tuple[str, ...]
) -> None:
    assert read(tmp_path, f"CREATE TABLE t ({body})").tables[0].primary_key == key


PARENT = "CREATE TABLE Parent (Id INT, Code TEXT, PRIMARY KEY (Id, Code));"


@pytest.mark.parametrize(
    ("child", "keys"),
    [
        ("a INT REFERENCES Parent(Id)", [("a", "Parent", "Id")]),
        ("a INT REFERENCES pArent(iD)", [("a", "Parent", "Id")]),  # the parent's own spelling
        ("a INT REFERENCES Parent", [("a", "Parent", "Id")]),  # its primary key is meant
        ("a INT, b TEXT, FOREIGN KEY (a, b) REFERENCES Parent", [("a", "Parent", "Id"), ("b", "Parent", "Code")]),
        ("a INT, b TEXT, FOREIGN KEY (A, B) REFERENCES Parent(Id, Code)", [("a", "Parent", "Id"), ("b", "Parent", "Code")]),
        ("a INT, b INT, c INT, FOREIGN KEY (c) REFERENCES Parent(Id), FOREIGN KEY (a) REFERENCES Parent(Id), FOREIGN KEY (b) REFERENCES Parent(Id)", [("c", "Parent", "Id"), ("a", "Parent", "Id"), ("b", "Parent", "Id")]),
        ("a INT REFERENCES nowhere(x)", [("a", "nowhere", "x")]),
        ("a INT REFERENCES nowhere", [("a", "nowhere", "a")]),
        ("a INT REFERENCES child(b), b INT", [("a", "child", "b")]),
    ],
    ids=["named", "other case", "implied", "composite implied", "composite", "declared order", "no parent", "no parent, implied", "itself"],
)  # fmt: skip
def test_foreign_keys_name_both_ends_as_their_tables_do(
    tmp_path: Path, child: str, keys: list[tuple[str, str, str]]
) -> None:
    schema = read(tmp_path, f"{PARENT} CREATE TABLE child ({child});")
    assert schema.tables[1].foreign_keys == tuple(ForeignKey(*key) for key in keys)


def test_names_with_spaces_and_quotes_are_read(tmp_path: Path) -> None:
    schema = read(tmp_path, """CREATE TABLE "my ""odd"" table" ("Home Town" TEXT, "50%" INT)""")
    assert schema.tables[0].name == 'my "odd" table'
    assert [column.name for column in schema.tables[0].columns] == ["Home Town", "50%"]


def test_sqlite_s_own_tables_are_skipped(tmp_path: Path) -> None:
    schema = read(tmp_path, "CREATE TABLE t (a INTEGER PRIMARY KEY AUTOINCREMENT); INSERT INTO t VALUES (1); ANALYZE;")
    assert [table.name for table in schema.tables] == ["t"]


def test_views_come_after_tables(tmp_path: Path) -> None:
    schema = read(tmp_path, "CREATE TABLE t (a INT); CREATE VIEW v AS SELECT a AS b, a + 1 FROM t; CREATE TABLE u (c);")
    assert [(table.name, [column.name for column in table.columns]) for table in schema.tables] == [
        ("t", ["a"]),
        ("u", ["c"]),
        ("v", ["b", "a + 1"]),
    ]


def test_generated_columns_are_columns_that_are_not_stored(tmp_path: Path) -> None:
    script = "CREATE TABLE t (a INT, b INT GENERATED ALWAYS AS (a * 2) STORED, c TEXT AS (a || 'x'));"
    (table,) = read(tmp_path, script + "CREATE VIEW v AS SELECT a FROM t; DROP VIEW v;").tables
    assert [(column.name, column.type) for column in table.columns] == [("a", "INT"), ("b", "INT"), ("c", "TEXT")]
    with closing(open_read_only(tmp_path / "made.sqlite")) as connection:
        assert stored_columns(connection) == {("t", "a")}


def test_what_no_query_could_use_is_left_out(tmp_path: Path) -> None:
    script = """CREATE TABLE t (a INT); CREATE TABLE gone (b); CREATE VIEW v AS SELECT b FROM gone; DROP TABLE gone;
    PRAGMA writable_schema = 1; INSERT INTO sqlite_master (type, name, tbl_name, rootpage, sql)
    VALUES ('table', 'vec', 'vec', 0, 'CREATE VIRTUAL TABLE vec USING vec0(a)');"""
    assert [table.name for table in read(tmp_path, script).tables] == ["t"]


def test_the_parts_of_virtual_tables_are_skipped(tmp_path: Path) -> None:
    schema = read(tmp_path, "CREATE TABLE page (id INT); CREATE VIRTUAL TABLE words USING fts5(title, body);")
    assert [table.name for table in schema.tables] == ["page", "words"]
    assert [column.name for column in schema.tables[1].columns] == ["title", "body"]


def test_a_database_without_tables_is_an_empty_schema(tmp_path: Path) -> None:
    assert read(tmp_path, "PRAGMA user_version = 1").tables == ()


def test_a_path_with_url_characters_is_opened(tmp_path: Path) -> None:
    path = build(tmp_path, "CREATE TABLE t (a INT)", "odd ?mode=rwc&x=%41#.sqlite")
    assert read_sqlite(path).db_id == "odd ?mode=rwc&x=%41#"
    assert read_sqlite(path, "other").db_id == "other"


def test_reading_changes_nothing(tmp_path: Path) -> None:
    path = build(tmp_path, "CREATE TABLE t (a INT)")
    before = path.read_bytes()
    read_sqlite(path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "no such database file"),
        (b"", "not an SQLite database"),
        (b"CREATE TABLE t (a INT);\n", "not an SQLite database"),
        (b"SQLite format 3\x00" + b"rubbish" * 100, "cannot read the schema"),
    ],
    ids=["missing", "empty", "script", "broken"],
)
def test_an_unreadable_database_is_a_one_line_error_that_names_the_file(
    tmp_path: Path, content: bytes | None, words: str
) -> None:
    path = tmp_path / "shop.sqlite"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match=words) as caught:
        read_sqlite(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def entry(primary_keys: list[object]) -> dict[str, object]:
    """As Spider's tables.json has it: column 0 is the star, columns name their table by its place."""
    return {
        "db_id": "pets",
        "table_names_original": ["Owner", "Pet"],
        "column_names_original": [[-1, "*"], [0, "Id"], [0, "Home Town"], [1, "Owner_id"], [1, "No"]],
        "column_types": ["text", "number", "text", "number", "number"],
        "primary_keys": primary_keys,
        "foreign_keys": [[3, 1]],
    }


@pytest.mark.parametrize(
    ("primary_keys", "of_pet"), [([1, 3], ("Owner_id",)), ([1, [3, 4]], ("Owner_id", "No")), ([], ())]
)
def test_tables_json_describes_the_same_things(
    tmp_path: Path, primary_keys: list[object], of_pet: tuple[str, ...]
) -> None:
    path = tmp_path / "tables.json"
    path.write_text(json.dumps([entry(primary_keys)]))
    owner, pet = read_tables_json(path)["pets"].tables
    assert owner.name == "Owner"
    assert owner.columns == (Column("Id", "number"), Column("Home Town", "text"))
    assert pet.primary_key == of_pet
    assert (owner.foreign_keys, pet.foreign_keys) == ((), (ForeignKey("Owner_id", "Owner", "Id"),))


@pytest.mark.parametrize(
    "text",
    ["not JSON", "5", '[{"db_id": "pets"}]', "[7]", json.dumps([entry([99])]), json.dumps([entry([]) | {"column_types": []}])],
    ids=["text", "number", "incomplete", "entry is a number", "key out of range", "types missing"],
)  # fmt: skip
def test_another_layout_of_tables_json_is_a_one_line_error(tmp_path: Path, text: str) -> None:
    path = tmp_path / "tables.json"
    path.write_text(text)
    with pytest.raises(UserError, match="not in the layout"):
        read_tables_json(path)


class TestSubset:
    SCRIPT = """CREATE TABLE a (x INT, y INT, z INT, PRIMARY KEY (x, y));
                CREATE TABLE b (p INT PRIMARY KEY, q INT REFERENCES a(x), r INT REFERENCES c(s));
                CREATE TABLE c (s INT PRIMARY KEY);"""

    def test_tables_stay_in_schema_order(self, tmp_path: Path) -> None:
        shown = read(tmp_path, self.SCRIPT).subset({"c": None, "a": None})
        assert [table.name for table in shown.tables] == ["a", "c"]

    def test_none_shows_every_column(self, tmp_path: Path) -> None:
        schema = read(tmp_path, self.SCRIPT)
        assert schema.subset(dict.fromkeys("abc")) == schema

    @pytest.mark.parametrize(
        ("columns", "key"), [({"x", "y"}, ("x", "y")), ({"x", "z"}, ()), ({"z", "y", "x"}, ("x", "y"))]
    )
    def test_a_primary_key_stays_only_where_all_its_columns_do(
        self, tmp_path: Path, columns: set[str], key: tuple[str, ...]
    ) -> None:
        (table,) = read(tmp_path, self.SCRIPT).subset({"a": columns}).tables
        assert {column.name for column in table.columns} == columns
        assert table.primary_key == key

    def test_a_foreign_key_stays_where_its_column_does(self, tmp_path: Path) -> None:
        (table,) = read(tmp_path, self.SCRIPT).subset({"b": {"p", "r"}}).tables
        assert table.foreign_keys == (ForeignKey("r", "c", "s"),)
