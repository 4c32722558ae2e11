"""Scripts: SQLite's as they stand, dumps of others respelled, and none that can do harm."""

import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from test_databases import ask, file, refused

from data.errors import UserError
from data.imports import guard, scripts
from data.imports.databases import Imported, import_databases
from data.imports.statements import dialect_of
from data.meanings import from_comments
from data.schema import ForeignKey, read_sqlite
from eval import sandbox


def run(tmp_path: Path, script: str | bytes) -> Imported:
    (imported,) = import_databases(file(tmp_path / "in" / "made.sql", script), tmp_path / "out")
    return imported


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
    assert [(meaning.column, meaning.description) for meaning in from_comments(imported.path)] == [
        ("name", "its; name")
    ]
    assert imported.dialect == "mysql"
    assert imported.notes == ("read as MySQL", "statements passed over: 1 CREATE TRIGGER")


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
        (1, "it's\n", "a;b", "2020-01-01 00:00:00", 1),
        (2, "dol;lar", None, "2021-01-01", None),
    ]
    assert ask(imported.path, "SELECT * FROM street") == [(1, 1)]
    city, street = read_sqlite(imported.path).tables
    assert (city.primary_key, street.primary_key) == (("id",), ("id",))
    assert street.foreign_keys == (ForeignKey("city_id", "city", "id"),)
    assert "1 CREATE FUNCTION" in imported.notes[1]


def test_tables_of_a_dump_are_changed_as_far_as_sqlite_can(tmp_path: Path) -> None:
    imported = run(
        tmp_path,
        """-- MySQL dump
CREATE TABLE t (id int, owner varchar(9), old int) ENGINE=InnoDB;
ALTER TABLE t RENAME COLUMN owner TO holder, ADD extra varchar(5) DEFAULT 'x', DROP COLUMN old;
ALTER TABLE t MODIFY id bigint NOT NULL;
INSERT INTO t (id, holder) VALUES (1, 'SELECT'), (2, 'Bob'), (3, 'Cy');
UPDATE t SET extra = 'y' WHERE id = 2;
DELETE FROM t WHERE holder = 'CY';
CREATE TABLE u (id int);
INSERT INTO u (id) SELECT id FROM t;
ALTER TABLE u RENAME TO v;""",
    )
    assert ask(imported.path, "SELECT id, holder, extra FROM t") == [(1, "SELECT", "x"), (2, "Bob", "y")]
    assert [column.name for column in read_sqlite(imported.path).tables[0].columns] == ["id", "holder", "extra"]
    assert ask(imported.path, "SELECT * FROM v") == [(1,), (2,)]
    assert imported.notes == (
        "read as MySQL",
        "statements passed over: 1 ALTER TABLE t",
        "statements run as SQLite reads them, not as the server does: 1 DELETE, 1 INSERT, 1 UPDATE",
    )


@pytest.mark.parametrize(
    ("declared", "table", "folds"),
    [
        ("varchar(9)", "", True),
        ("varchar(9) CHARACTER SET latin1 COLLATE latin1_general_ci", "COLLATE=utf8mb4_bin", True),
        ("enum('Ann')", "DEFAULT CHARSET=utf8mb4", True),
        ("varchar(9) COLLATE utf8mb4_bin", "", False),
        ("varchar(9) COLLATE latin1_general_cs", "", False),
        ("text", "DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin", False),
    ],
)
def test_texts_of_a_mysql_dump_are_equal_as_their_collation_has_it(
    tmp_path: Path, declared: str, table: str, folds: bool
) -> None:
    script = f"CREATE TABLE t (name {declared}) ENGINE=InnoDB {table}; INSERT INTO t VALUES ('Ann');"
    assert ask(run(tmp_path, script).path, "SELECT count(*) FROM t WHERE name = 'ANN'") == [(int(folds),)]


def test_a_long_script_of_copy_without_an_end_is_cut_in_time(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="line 2: "):
        run(tmp_path, "-- PostgreSQL database dump\n" + "COPY a\n" * 200_000)


def test_virtual_tables_of_a_dump_are_left_out_with_their_parts(tmp_path: Path) -> None:
    source = sqlite3.connect(":memory:")
    source.executescript(
        """CREATE TABLE t (a); INSERT INTO t VALUES (1); CREATE VIRTUAL TABLE "my search" USING fts5(txt);
        INSERT INTO "my search" VALUES ('x'); CREATE TABLE "my search_own" (b); CREATE INDEX i ON t (a); ANALYZE;"""
    )
    imported = run(tmp_path, "\n".join(source.iterdump()))
    source.close()
    assert {table.name for table in read_sqlite(imported.path).tables} == {"t", "my search_own"}
    assert imported.notes == ("the virtual table my search is left out",)
    assert imported.dialect is None
    script = "CREATE TABLE t (a); CREATE VIRTUAL TABLE s USING fts5(a); INSERT INTO s(a) VALUES ('x'); INSERT INTO t VALUES (2);"
    again = import_databases(file(tmp_path / "again.sql", script), tmp_path / "out")[0]
    assert ask(again.path, "SELECT a FROM t") == [(2,)]
    assert again.notes == ("the virtual table s is left out",)


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("CREATE TABLE t (a);\n\nINSERT INTO t VALUES (1,;", "line 3: incomplete input"),
        ("CREATE TABLE t (a);\nINSERT INTO u VALUES (1);", "line 2: no such table: u"),
        ("CREATE TABLE t (a);\nATTACH 'other.db' AS o;", "line 2: not allowed in a script: ATTACH"),
        ("CREATE TABLE t (a);\nDETACH main;", "line 2: not allowed in a script"),
        ("CREATE TABLE t (a);\nINSERT INTO t VALUES (load_extension('x'));", "line 2: not allowed in a script"),
        ("CREATE TABLE t (a); INSERT INTO t SELECT * FROM pragma_journal_mode('off')", "line 1:"),
        (
            "CREATE TABLE t (a); INSERT INTO t VALUES (zeroblob(1000000000))",
            "line 1: has a value or a row of more than 16 MB",
        ),
        (
            "CREATE TABLE t AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i FROM n) SELECT * FROM n",
            "line 1: not",
        ),
        ("COPY t FROM stdin;\n1\n\\.\n", "line 1: no such table: t"),
        ("CREATE TABLE t (a text);\nCOPY t (a) FROM stdin;\nx\n", "line 2: its rows have no end; the file is cut off"),
        ("CREATE TABLE t (a text);\nCOPY t (a) FROM stdin WITH (FORMAT csv);\nx\n\\.\n", "line 2: only COPY"),
        ("CREATE TABLE t (a text, b text);\nCOPY t (a, b) FROM stdin;\nx\n\\.\n", "line 2: 1 values for 2 columns"),
        ("CREATE TABLE t (a text);\nCOPY t (a) FROM stdin;\nx\nx\ty\n\\.\n", "line 2: "),
        (
            "CREATE TYPE x;\nCREATE TABLE t (a serial);\nCREATE TABLE u (b int)\nINHERITS (v);",
            "line 3: inherits from v",
        ),
        (
            "CREATE TYPE x; ALTER TABLE a ATTACH PARTITION b DEFAULT; ALTER TABLE b ATTACH PARTITION a DEFAULT; INSERT INTO a VALUES (1)",
            "no such table",
        ),
        ("CREATE TABLE t (a serial, b int);\nINSERT INTO t VALUES (1, DEFAULT)", "line 2: "),
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


@pytest.mark.parametrize(
    ("script", "is_cut"),
    [
        ("CREATE TABLE t (a int);\nAL", True),
        ("CREATE TABLE t (a int);\nINSERT INTO t VALUES (1), (2,", True),
        ("CREATE TABLE t (a int);\nINSERT INTO t VALUES ('x; y", True),
        ("CREATE TABLE t (a serial);\nCREATE TABLE u (b integer,", True),
        ("CREATE TABLE t (a serial);\nCOPY t (a) FR", True),
        ("CREATE TABLE t (a int) ENGINE=InnoDB;\nINSERT INTO t VALUES (1),('a", True),
        ("CREATE TABLE t (a int);\nAL; -- the end", False),
        ("CREATE TABLE t (a int);\nAL;\nSELECT 1", False),
        ("CREATE TABLE t (a int);\nINSERT INTO u VALUES (1)", False),
    ],
)
def test_a_script_that_ends_inside_a_statement_is_said_to_be_cut_off(tmp_path: Path, script: str, is_cut: bool) -> None:
    message = refused(tmp_path, file(tmp_path / "made.sql", script))
    assert "made.sql: line 2: " in message
    assert ("the file seems to be cut off: its last statement has no semicolon" in message) == is_cut


def test_a_script_that_ends_inside_a_statement_that_is_passed_over_may_be_cut_off(tmp_path: Path) -> None:
    script = "CREATE TABLE t (a serial);\nALTER TABLE t ADD CONSTRAINT k PRIMARY KEY (a"
    assert "the last statement has no semicolon; the file may be cut off in line 2" in run(tmp_path, script).notes


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
    assert "line 2: takes longer than 0 s" in refused(tmp_path, endless)
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


@pytest.mark.parametrize(
    ("dialect", "script"),
    [
        (None, "CREATE TABLE t (a TEXT); INSERT INTO t VALUES ('use auto_increment here'), ('C:\\new\\table');"),
        (None, "CREATE TABLE t ([id] INTEGER PRIMARY KEY AUTOINCREMENT, serial TEXT CHECK (serial > ''), b)"),
        (None, "CREATE TABLE t (id INTEGER, serial, bigserial INTEGER); INSERT INTO t (id, serial) VALUES (1, 2)"),
        (None, "-- was: ) ENGINE=InnoDB\nCREATE TABLE t (id INTEGER /* id serial */)"),
        (None, "CREATE TABLE t (auto_increment TEXT, b INT); CREATE VIEW v AS SELECT auto_increment FROM t"),
        (None, "CREATE TABLE t (a); INSERT INTO t VALUES ('\n-- MySQL dump\nCOPY x FROM stdin;\nDELIMITER ;;\n')"),
        (None, 'CREATE TABLE "x serial" ("a serial" TEXT, `id serial` TEXT, [nextval(] TEXT)'),
        ("mysql", "-- MySQL dump 10.13\n"),
        ("mysql", "/*M!999999\\- enable the sandbox mode */ \n-- MariaDB dump 10.19\n"),
        ("mysql", "CREATE TABLE t (id INT AUTO_INCREMENT PRIMARY KEY, n VARCHAR(3));"),
        ("mysql", "CREATE TABLE `t` (`n` text, `id` int(10) unsigned NOT NULL AUTO_INCREMENT)"),
        ("mysql", "# Bob's shop\nCREATE TABLE t (a int)\nENGINE=InnoDB;"),
        ("postgres", "--\n-- PostgreSQL database dump\n--\n"),
        ("postgres", 'CREATE TABLE t ("id" bigserial PRIMARY KEY, b int)'),
        ("postgres", "CREATE TABLE t (b int, id serial);"),
        ("postgres", "INSERT INTO t VALUES ('2020-01-01'::date)"),
        ("postgres", "CREATE TABLE t (a int);\nCOPY t (a) FROM stdin;\n"),
        ("postgres", "ALTER TABLE ONLY t\n    ADD CONSTRAINT x PRIMARY KEY (a);"),
    ],
)
def test_what_strings_names_and_comments_say_does_not_make_a_script_anothers(dialect: str | None, script: str) -> None:
    assert dialect_of(script) == dialect


def test_texts_and_rules_of_sqlite_stay_though_they_sound_like_others(tmp_path: Path) -> None:
    script = "CREATE TABLE t ([id] INTEGER PRIMARY KEY AUTOINCREMENT, serial TEXT DEFAULT (upper('x')) CHECK (serial <> ''));"
    script += (
        "INSERT INTO t (serial) VALUES ('use auto_increment here'), ('C:\\new\\table'); INSERT INTO t (id) VALUES (9);"
    )
    imported = run(tmp_path, script)
    assert imported.notes == ()
    assert ask(imported.path, "SELECT * FROM t") == [(1, "use auto_increment here"), (2, "C:\\new\\table"), (9, "X")]
    assert "CHECK" in ask(imported.path, "SELECT sql FROM sqlite_master")[0][0]


WIDE = ", ".join(f"hex(zeroblob({3_000_000 + place}))" for place in range(40))


@pytest.mark.parametrize(
    "script",
    [
        f"CREATE TABLE t AS SELECT {WIDE}",
        "CREATE TABLE t (a); INSERT INTO t VALUES (1), (2), (3), (4), (5), (6), (7), (8), (9); CREATE TABLE u AS"
        " SELECT count(DISTINCT hex(zeroblob(100000)) || t.a || x.a || y.a) FROM t, t AS x, t AS y",
    ],
    ids=["values", "temporary tables"],
)
def test_a_script_has_a_limit_of_memory(tmp_path: Path, script: str) -> None:
    # In a process of its own: the limit can only be lowered, and would stay.
    code = (
        "import sys; from pathlib import Path; from data.errors import UserError; from data.imports import databases, guard;"
        "guard.MAX_HEAP = 64 * 2**20\n"
        "try: databases.import_databases(Path(sys.argv[1]), Path(sys.argv[2]))\n"
        "except UserError as error: print(error)"
    )
    arguments = [sys.executable, "-c", code, str(file(tmp_path / "made.sql", script)), str(tmp_path / "out")]
    said = subprocess.run(arguments, check=True, capture_output=True, text=True).stdout
    assert "line 1: needs more than 64 MB of memory" in said
    assert list((tmp_path / "out").iterdir()) == []


def test_functions_are_forbidden_as_in_the_sandbox() -> None:
    assert guard.FORBIDDEN_FUNCTIONS == sandbox.FORBIDDEN_FUNCTIONS
