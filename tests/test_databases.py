"""Databases as people keep them: SQLite files, scripts, tables in files."""

import sqlite3
import subprocess
import sys
from contextlib import closing
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from data.errors import UsageError, UserError
from data.imports import scripts
from data.imports.databases import Imported, import_databases
from data.schema import Column, ForeignKey, read_sqlite


def sqlite_file(path: Path, script: str = "CREATE TABLE t (a); INSERT INTO t VALUES (1)") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(script)
    return path


def file(path: Path, content: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def ask(path: Path, query: str) -> list[Any]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(query).fetchall()


def run(tmp_path: Path, script: str | bytes) -> Imported:
    (imported,) = import_databases(file(tmp_path / "in" / "made.sql", script), tmp_path / "out")
    return imported


def refused(tmp_path: Path, source: Path, name: str | None = None) -> str:
    """The one line with which an import fails, having left nothing."""
    with pytest.raises(UserError) as caught:
        import_databases(source, tmp_path / "out", name)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists() or list((tmp_path / "out").iterdir()) == []
    return str(caught.value)


def test_an_sqlite_file_is_copied_under_its_name_or_the_one_given(tmp_path: Path) -> None:
    source = sqlite_file(tmp_path / "shop.db")
    (imported,) = import_databases(source, tmp_path / "out")
    assert imported == Imported("shop", tmp_path / "out" / "shop" / "shop.sqlite", source)
    assert ask(imported.path, "SELECT a FROM t") == [(1,)]
    (other,) = import_databases(source, tmp_path / "out", "store")
    assert other.path == tmp_path / "out" / "store" / "store.sqlite"
    assert sorted(path.name for path in (tmp_path / "out").rglob("*")) == [
        "shop", "shop.sqlite", "store", "store.sqlite",
    ]  # fmt: skip


@pytest.mark.parametrize("has_index", [False, True])
def test_what_only_the_log_beside_a_file_holds_is_copied_too(tmp_path: Path, has_index: bool) -> None:
    source = tmp_path / "in" / "shop.sqlite"
    source.parent.mkdir()
    # A process that ends before it can put its log into the file.
    code = "import os, sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute('PRAGMA journal_mode = WAL');"
    code += "c.execute('CREATE TABLE t (a)'); c.execute('INSERT INTO t VALUES (7)'); c.commit(); os._exit(0)"
    subprocess.run([sys.executable, "-c", code, str(source)], check=True)
    if not has_index:
        (source.parent / "shop.sqlite-shm").unlink()
    before = {path.name: path.read_bytes() for path in source.parent.iterdir() if path.suffix != ".sqlite-shm"}
    (imported,) = import_databases(source, tmp_path / "out")
    assert {path.name: path.read_bytes() for path in source.parent.iterdir() if path.suffix != ".sqlite-shm"} == before
    assert (source.parent / "shop.sqlite-shm").exists() is has_index
    assert list(imported.path.parent.iterdir()) == [imported.path]
    with closing(sqlite3.connect(f"file:{imported.path}?immutable=1&mode=ro", uri=True)) as connection:
        assert connection.execute("SELECT a FROM t").fetchall() == [(7,)]


def test_a_damaged_or_false_sqlite_file_is_refused(tmp_path: Path) -> None:
    script = "CREATE TABLE t (a); WITH n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 3000) INSERT INTO t SELECT 'text' || i FROM n"
    content = sqlite_file(tmp_path / "whole.db", script).read_bytes()
    damaged = file(tmp_path / "damaged.db", content[:8192] + b"\xff" * 4096 + content[12288:])
    assert "damaged" in refused(tmp_path, damaged)
    assert "cannot be read as an SQLite database" in refused(tmp_path, file(tmp_path / "cut.db", content[:5000]))
    assert "not an SQLite database" in refused(tmp_path, file(tmp_path / "false.sqlite", "CREATE TABLE t (a);"))
    assert "holds no table" in refused(tmp_path, sqlite_file(tmp_path / "empty.db", "PRAGMA user_version = 1"))


def test_a_folder_gives_its_files_flat_or_as_spider_keeps_them(tmp_path: Path) -> None:
    for name in ("b.sqlite", "a.db", "c.sqlite3", "d/d.sqlite", "e/other.sqlite", ".f.db"):
        sqlite_file(tmp_path / "in" / name)
    file(tmp_path / "in" / "README.txt", "hello")
    assert [imported.name for imported in import_databases(tmp_path / "in", tmp_path / "out")] == ["a", "b", "c", "d"]


def test_a_folder_that_leaves_doubt_is_refused(tmp_path: Path) -> None:
    sqlite_file(tmp_path / "twice" / "a.db")
    sqlite_file(tmp_path / "twice" / "A.sqlite")
    assert "several files would be the database" in refused(tmp_path, tmp_path / "twice")
    sqlite_file(tmp_path / "mixed" / "a.db")
    file(tmp_path / "mixed" / "b.csv", "x\n1\n")
    assert "holds SQLite files and files of tables" in refused(tmp_path, tmp_path / "mixed")
    (tmp_path / "none").mkdir()
    assert "holds no database" in refused(tmp_path, tmp_path / "none")
    assert "no such file or folder" in refused(tmp_path, tmp_path / "gone")
    assert "not a kind that can be imported" in refused(tmp_path, file(tmp_path / "a.xlsx", "PK"))
    sqlite_file(tmp_path / "two" / "a.db")
    sqlite_file(tmp_path / "two" / "b.db")
    with pytest.raises(UsageError, match="holds 2 databases"):
        import_databases(tmp_path / "two", tmp_path / "out", "x")


@pytest.mark.parametrize("name", ["", "..", "../x", "a/b", ".hidden", "a\tb", "a\nb", " a", "x" * 101, "a\\b"])
def test_a_name_that_is_no_plain_name_is_refused(tmp_path: Path, name: str) -> None:
    assert "is not a plain name" in refused(tmp_path, sqlite_file(tmp_path / "a.db"), name)


def test_a_name_that_is_taken_is_refused_and_what_is_there_stays(tmp_path: Path) -> None:
    kept = file(tmp_path / "out" / "a" / "a.sqlite", "kept")
    with pytest.raises(UserError, match="is there already"):
        import_databases(sqlite_file(tmp_path / "a.db"), tmp_path / "out")
    assert kept.read_text() == "kept"


def test_one_bad_database_leaves_none_of_a_folder(tmp_path: Path) -> None:
    sqlite_file(tmp_path / "in" / "a.db")
    file(tmp_path / "in" / "b.db", "no database")
    assert "b.db: not an SQLite database" in refused(tmp_path, tmp_path / "in")


def test_a_script_of_sqlite_is_run_as_it_stands(tmp_path: Path) -> None:
    imported = run(
        tmp_path,
        """PRAGMA foreign_keys = OFF; BEGIN TRANSACTION;
        -- a comment; with a semicolon
        CREATE TABLE "a;b" (id INTEGER PRIMARY KEY, [x;y] TEXT DEFAULT 'it''s; fine' -- what it is
        );
        INSERT INTO "a;b" (id) VALUES (1); /* ; */
        CREATE TABLE log (n);
        CREATE TRIGGER grow AFTER INSERT ON "a;b" BEGIN INSERT INTO log VALUES (1); INSERT INTO log VALUES (2); END;
        INSERT INTO "a;b" VALUES (2, 'back\\slash');
        CREATE VIEW v AS SELECT * FROM "a;b"; CREATE INDEX i ON log (n); COMMIT; VACUUM; ANALYZE""",
    )
    assert ask(imported.path, "SELECT * FROM v") == [(1, "it's; fine"), (2, "back\\slash")]
    assert ask(imported.path, "SELECT n FROM log") == [(1,), (2,)]
    assert "-- what it is" in ask(imported.path, "SELECT sql FROM sqlite_master")[0][0]
    assert imported.notes == ()


def test_a_dump_of_mysql_is_respelled(tmp_path: Path) -> None:
    imported = run(
        tmp_path,
        r"""/*!40101 SET NAMES utf8 */; # what; it is
        DROP TABLE IF EXISTS `city`; LOCK TABLES `city` WRITE;
        CREATE TABLE `city` (`id` int(10) unsigned NOT NULL AUTO_INCREMENT, `name` varchar(9) COLLATE utf8_bin DEFAULT NULL
            COMMENT 'its; name', `kind` enum('a','b') DEFAULT 'a', `made` year(4), `at` timestamp NULL DEFAULT CURRENT_TIMESTAMP
            ON UPDATE CURRENT_TIMESTAMP, `spot` point, PRIMARY KEY (`id`), UNIQUE KEY `u` (`name`), KEY `k` (`kind`)
        ) ENGINE=InnoDB AUTO_INCREMENT=3 DEFAULT CHARSET=utf8;
        INSERT INTO `city` (name, made) VALUES ('it\'s\n"x"', 1999), ("dou\"ble; 'q'", 0x41);
        INSERT IGNORE INTO `city` VALUES (1, 'again', 'a', 1, NULL, NULL);
        CREATE TABLE `street` (`id` int NOT NULL, `city_id` int unsigned, `raw` blob);
        INSERT INTO `street` VALUES (1, 2, _binary 'a\0b');
        ALTER TABLE `street` ADD PRIMARY KEY (`id`), ADD KEY `c` (`city_id`);
        ALTER TABLE `street` MODIFY `id` int NOT NULL AUTO_INCREMENT;
        ALTER TABLE `street` ADD CONSTRAINT `f` FOREIGN KEY (`city_id`) REFERENCES `city` (`id`) ON DELETE CASCADE;
DELIMITER ;;
CREATE TRIGGER `t` BEFORE INSERT ON `city` FOR EACH ROW BEGIN SET NEW.kind = 'b'; END ;;
DELIMITER ;
        UNLOCK TABLES;""",
    )
    assert ask(imported.path, "SELECT id, name, kind, made FROM city ORDER BY id") == [
        (1, 'it\'s\n"x"', "a", 1999),
        (2, "dou\"ble; 'q'", "a", b"A"),
    ]
    assert ask(imported.path, "SELECT * FROM street") == [(1, 2, b"a\0b")]
    city, street = read_sqlite(imported.path).tables
    assert [column.type for column in city.columns] == ["INTEGER", "TEXT", "TEXT", "INTEGER", "TIMESTAMP", "TEXT"]
    assert street.primary_key == ("id",)
    assert street.foreign_keys == (ForeignKey("city_id", "city", "id"),)
    assert imported.notes == ("read as MySQL", "statements passed over: 1 ALTER TABLE")


def test_a_dump_of_postgres_is_respelled(tmp_path: Path) -> None:
    imported = run(
        tmp_path,
        r"""-- PostgreSQL database dump
\restrict x;y
SET search_path = ''; CREATE TYPE public.mood AS ENUM ('a;b'); CREATE SEQUENCE public.city_id_seq START WITH 1;
CREATE FUNCTION public.f() RETURNS integer LANGUAGE sql AS $_$ SELECT 1; SELECT 2; $_$;
CREATE TABLE public.city (id integer DEFAULT nextval('public.city_id_seq'::regclass) NOT NULL,
    name character varying(9) DEFAULT 'x'::character varying, m public.mood, tags text[], at timestamp with time zone,
    ok boolean, bits bit varying(5), CONSTRAINT c CHECK ((id > 0)));
INSERT INTO public.city (id, name, m, at, ok) VALUES (1, E'it\'s\n', 'a;b', '2020-01-01 00:00:00+00', true);
INSERT INTO public.city (id, name, at) VALUES (2, $$dol;lar$$, '2021-01-01'::timestamp);
CREATE TABLE street (id serial PRIMARY KEY, city_id integer);
INSERT INTO street (city_id) VALUES (1);
ALTER TABLE ONLY public.city ADD CONSTRAINT city_pkey PRIMARY KEY (id);
ALTER TABLE ONLY street ADD CONSTRAINT f FOREIGN KEY (city_id) REFERENCES public.city(id);
ALTER TABLE public.city OWNER TO someone; CREATE INDEX i ON public.city USING btree (name);
SELECT pg_catalog.setval('public.city_id_seq', 2, true);""",
    )
    assert ask(imported.path, "SELECT id, name, m, at, ok FROM city") == [
        (1, "it's\n", "a;b", "2020-01-01 00:00:00+00", 1),
        (2, "dol;lar", None, "2021-01-01", None),
    ]
    assert ask(imported.path, "SELECT * FROM street") == [(1, 1)]
    city, street = read_sqlite(imported.path).tables
    assert (city.primary_key, street.primary_key) == (("id",), ("id",))
    assert street.foreign_keys == (ForeignKey("city_id", "city", "id"),)
    assert "1 CREATE FUNCTION" in imported.notes[1]


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("CREATE TABLE t (a);\n\nINSERT INTO t VALUES (1,;", "line 3: incomplete input"),
        ("CREATE TABLE t (a);\nINSERT INTO u VALUES (1);", "line 2: no such table: u"),
        ("CREATE TABLE t (a);\nATTACH 'other.db' AS o;", "line 2: not allowed in a script: ATTACH"),
        ("CREATE TABLE t (a);\nDETACH main;", "line 2: not allowed in a script"),
        ("CREATE VIRTUAL TABLE t USING fts5(a);", "line 1: not allowed in a script"),
        ("CREATE TABLE t (a);\nINSERT INTO t VALUES (load_extension('x'));", "line 2: not allowed in a script"),
        ("CREATE TABLE t (a); INSERT INTO t SELECT * FROM pragma_journal_mode('off')", "line 1:"),
        ("CREATE TABLE t (a); INSERT INTO t VALUES (zeroblob(1000000000))", "line 1: string or blob too big"),
        (
            "CREATE TABLE t AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i FROM n) SELECT * FROM n",
            "line 1: not",
        ),
        ("COPY t FROM stdin;\n1\n\\.\n", "line 1: COPY is not supported"),
        ("CREATE TABLE t (a);\nINSERT INTO t VALUES ('x", "line 2: "),
        ("CREATE TRIGGER t AFTER INSERT ON x BEGIN " + "SELECT 1; " * 30_000, "line 1: "),
        ("SELECT 1; -- nothing", "holds no table"),
        ("", "holds no table"),
        ("UPDATE sqlite_master SET sql = ''", "line 1: table sqlite_master may not be modified"),
        ("CREATE TABLE t (a int) ENGINE=InnoDB;\nCREATE TABLE u (" + "(" * 9000, "line 2: "),
    ],
)
def test_a_script_that_cannot_be_run_is_one_line_with_its_place(tmp_path: Path, script: str, said: str) -> None:
    source = file(tmp_path / "made.sql", script)
    message = refused(tmp_path, source)
    assert message.startswith(str(source))
    assert said in message
    assert len(message) < len(str(source)) + 400


def test_pragmas_and_vacuum_of_a_script_do_nothing(tmp_path: Path) -> None:
    target = tmp_path / "stolen.db"
    script = (
        f"PRAGMA writable_schema = ON; PRAGMA journal_mode = WAL; CREATE TABLE t (a); VACUUM INTO '{target}'; SELECT 1"
    )
    imported = run(tmp_path, script)
    assert not target.exists()
    assert imported.path.read_bytes()[18:20] == b"\x01\x01"


def test_a_script_has_limits_of_time_and_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = ", ".join("(1)" for _ in range(1000))
    start = f"CREATE TABLE t (a); INSERT INTO t VALUES {rows};\n"
    endless = file(tmp_path / "endless.sql", start + "UPDATE t SET a = (SELECT count(*) FROM t x, t y, t z, t w)")
    monkeypatch.setattr(scripts, "SECONDS", 0.2)
    assert "line 2: the script takes longer than 0 s" in refused(tmp_path, endless)
    monkeypatch.setattr(scripts, "SECONDS", 600.0)
    monkeypatch.setattr(scripts, "MAX_PAGES", 50)
    large = file(tmp_path / "large.sql", start + "INSERT INTO t SELECT zeroblob(1000) FROM t")
    assert "line 2: the database grows larger than" in refused(tmp_path, large)
    monkeypatch.setattr(scripts, "MAX_BYTES", 10)
    assert "larger than" in refused(tmp_path, large)


def test_scripts_in_other_encodings_are_read(tmp_path: Path) -> None:
    script = "CREATE TABLE t (a); INSERT INTO t VALUES ('café');"
    for name, content in [
        ("latin", script.encode("latin-1")),
        ("wide", script.encode("utf-16")),
        ("bom", script.encode("utf-8-sig")),
    ]:
        (imported,) = import_databases(file(tmp_path / f"{name}.sql", content), tmp_path / "out")
        assert ask(imported.path, "SELECT a FROM t") == [("café",)]
        assert bool(imported.notes) is (name == "latin")


def test_files_of_tables_become_one_database_with_types_and_keys(tmp_path: Path) -> None:
    folder = tmp_path / "shop"
    file(folder / "cities.csv", '\ufeffid,name,zip,share\n1,Ulm,01234,0.5\n2,"Bonn, old",,1\n\n')
    file(folder / "people.tsv", "person_id\tcity_id\tborn\n10\t2\t1e3\n11\t\t-5\n12\t2\tabout\n")
    file(folder / "visits.csv", "city_id;PersonId;n\n1;10;9223372036854775808\n3;11;1\n")
    (imported,) = import_databases(folder, tmp_path / "out")
    assert imported.name == "shop"
    cities, people, visits = read_sqlite(imported.path).tables
    assert [column.type for column in cities.columns] == ["INTEGER", "TEXT", "TEXT", "REAL"]
    assert (cities.primary_key, people.primary_key, visits.primary_key) == (("id",), (), ())
    assert people.foreign_keys == (ForeignKey("city_id", "cities", "id"),)
    assert visits.foreign_keys == ()  # 3 is no city
    assert [column.type for column in visits.columns] == ["INTEGER", "INTEGER", "TEXT"]
    assert ask(imported.path, "SELECT * FROM cities") == [(1, "Ulm", "01234", 0.5), (2, "Bonn, old", None, 1.0)]
    assert ask(imported.path, "SELECT * FROM people")[1:] == [(11, None, "-5"), (12, 2, "about")]
    assert imported.notes == (
        "cities: primary key id (inferred)",
        "people: foreign key city_id -> cities.id (inferred)",
    )
    assert list(imported.path.parent.iterdir()) == [imported.path]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("a,b\n1,2\n1\n", "row 3 has 1 cells, the first row has 2"),
        ("a,b\n1,2,3\n", "row 2 has 3 cells, the first row has 2"),
        ("", "is empty"),
        ("a,A\n1,2\n", "has the column a more than once"),
        ("a,,c\n1,2,3\n", "column 2 has no name"),
        (b"a\nx\n\xff\n", "not valid UTF-8"),
        ('a,b\n"x"y,2\n', "row 2: "),
        ("a,b\n1," + "x" * 200_000 + "\n", "row 2: field larger than"),
        (",".join(f"c{place}" for place in range(2001)) + "\n", "has 2,001 columns"),
        ('a,b\n1,"never closed\n', "row 2: unexpected end of data"),
    ],
)
def test_a_table_that_cannot_be_read_is_one_line_with_file_and_row(
    tmp_path: Path, content: str | bytes, said: str
) -> None:
    message = refused(tmp_path, file(tmp_path / "in" / "made.csv", content))
    assert message.startswith(str(tmp_path / "in" / "made.csv"))
    assert said in message


def test_two_files_of_one_table_name_are_refused(tmp_path: Path) -> None:
    file(tmp_path / "in" / "a.csv", "x\n1\n")
    file(tmp_path / "in" / "A.tsv", "x\n1\n")
    assert "several files would be the table" in refused(tmp_path, tmp_path / "in")


def test_values_that_look_like_numbers_but_are_not_stay_text(tmp_path: Path) -> None:
    rows = [("007", "+49", "nan", "1_000", "٣", "1e999", "0x1", "1.5"), ("1", "1", "1", "1", "1", "1", "1", "-0.25e-3")]
    text = "a,b,c,d,e,f,g,h\n" + "".join(",".join(row) + "\n" for row in rows)
    (imported,) = import_databases(file(tmp_path / "t.csv", text), tmp_path / "out")
    kinds = [column.type for column in read_sqlite(imported.path).tables[0].columns]
    assert kinds == ["TEXT"] * 5 + ["REAL", "TEXT", "REAL"]
    assert ask(imported.path, "SELECT a, h FROM t") == [("007", 1.5), ("1", -0.00025)]


def test_parquet_keeps_its_types(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    table = pyarrow.table(
        {
            "id": [1, 2],
            "day": [date(2020, 1, 2), None],
            "at": [datetime(2020, 1, 2, 3, 4, 5), None],
            "price": [Decimal("1.50"), None],
            "tags": [["a", "b"], None],
            "more": [{"k": 1}, None],
            "ok": [True, False],
            "raw": [b"\x00", None],
            "share": [0.5, float("nan")],
            "large": pyarrow.array([2**64 - 1, 0], pyarrow.uint64()),
        }
    )
    parquet.write_table(table, tmp_path / "event.parquet")
    (imported,) = import_databases(tmp_path / "event.parquet", tmp_path / "out")
    (made,) = read_sqlite(imported.path).tables
    assert made.columns[:4] == (
        Column("id", "INTEGER"),
        Column("day", "DATE"),
        Column("at", "TIMESTAMP"),
        Column("price", "NUMERIC"),
    )
    assert made.primary_key == ("id",)
    first, second = ask(imported.path, "SELECT * FROM event")
    assert first[:9] == (1, "2020-01-02", "2020-01-02 03:04:05", 1.5, '["a", "b"]', '{"k": 1}', 1, b"\x00", 0.5)
    assert second == (2, None, None, None, None, None, 0, None, None, 0)
    assert "not a Parquet file" in refused_again(tmp_path, file(tmp_path / "bad.parquet", "PAR1 no"))


def refused_again(tmp_path: Path, source: Path) -> str:
    before = sorted((tmp_path / "out").iterdir())
    with pytest.raises(UserError) as caught:
        import_databases(source, tmp_path / "out")
    assert sorted((tmp_path / "out").iterdir()) == before
    return str(caught.value)
