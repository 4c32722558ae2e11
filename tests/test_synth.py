"""Synthetic pairs run, return something, differ, and come out the same for the same seed."""

import json
import re
import shutil
import sqlite3
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest
import sqlglot
from sqlglot import exp

from data import embedded
from data.errors import UsageError, UserError
from data.imports.databases import import_databases
from data.imports.servers import ServerCopy
from data.schema import read_sqlite
from data.synthetic.grammar import draw
from data.synthetic.places import shown, source_name
from data.synthetic.plan import Condition, Having, Item, Order, Plan, Ref, Step, skeleton, to_sql
from data.synthetic.profile import read_profile
from eval.pool import Sandbox
from eval.query import Names
from eval.reading import hardness
from eval.sensible import refusals
from eval.spider_sql import parse
from pipeline import generation
from pipeline.generation import Generation
from pipeline.reword import clean, holds
from pipeline.synth import LEVELS, parse_mix, synth

SAMPLE = [name for names in embedded.SPLITS.values() for name in names]


@pytest.fixture(scope="module")
def databases(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sample")
    embedded.build(folder)
    return folder / "database"


@pytest.fixture(scope="module")
def museum(databases: Path) -> Path:
    return databases / "museum" / "museum.sqlite"


@pytest.fixture(scope="module")
def made(databases: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[dict[str, Any]]]:
    """Pairs over each database of the sample."""
    folder = tmp_path_factory.mktemp("made")
    return {
        name: rows(synth(databases / name / f"{name}.sqlite", folder / f"{name}.jsonl", count=60, workers=2))
        for name in SAMPLE
    }


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def build(path: Path, script: str) -> Path:
    with sqlite3.connect(path) as connection:
        connection.executescript(script)
    connection.close()
    return path


def test_every_pair_runs_and_returns_rows(databases: Path, made: dict[str, list[dict[str, Any]]]) -> None:
    with Sandbox(workers=2) as sandbox:
        for name, pairs in made.items():
            assert len(pairs) == 60
            for pair in pairs:
                outcome = sandbox.run(databases / name / f"{name}.sqlite", pair["query"])
                assert outcome.category == "ok", pair["query"]
                assert outcome.repeatable
                assert any(cell is not None for row in outcome.rows for cell in row), pair["query"]


def test_every_line_has_its_marks(made: dict[str, list[dict[str, Any]]]) -> None:
    for name, pairs in made.items():
        for pair in pairs:
            assert list(pair) == ["question", "query", "db_id", "hardness", "synthetic", "reworded"]
            assert (pair["db_id"], pair["synthetic"], pair["reworded"]) == (name, True, False)
            assert pair["question"].endswith(("?", "."))


def test_every_query_parses_and_is_as_hard_as_it_says(databases: Path, made: dict[str, list[dict[str, Any]]]) -> None:
    for name, pairs in made.items():
        names = Names(read_sqlite(databases / name / f"{name}.sqlite"))
        for pair in pairs:
            assert isinstance(sqlglot.parse_one(pair["query"], read="sqlite"), exp.Query)
            assert pair["hardness"] == hardness(pair["query"], names) != "unknown"


def test_most_queries_are_in_the_official_grammar(databases: Path) -> None:
    """All but IN lists, IS NULL, and names in quotes."""
    for name in ("clinic", "university"):
        path = databases / name / f"{name}.sqlite"
        profile, names = read_profile(path), Names(read_sqlite(path))
        for number in range(300):
            plan = draw(profile, Random(number))
            sql = to_sql(plan) if plan else ""
            if sql and not re.search(r"\"| IN \('| IN \(\d| IS (NOT )?NULL", sql):
                assert parse(sql, names).whole, sql


def test_no_query_and_no_question_comes_twice(made: dict[str, list[dict[str, Any]]]) -> None:
    for pairs in made.values():
        for key in ("question", "query"):
            assert len({pair[key] for pair in pairs}) == len(pairs)


def test_the_mix_is_that_of_spider_unless_another_is_given(
    museum: Path, made: dict[str, list[dict[str, Any]]], tmp_path: Path
) -> None:
    wanted = {"easy": 14, "medium": 21, "hard": 13, "extra": 12}
    assert all(Counter(pair["hardness"] for pair in pairs) == wanted for pairs in made.values())
    out = synth(museum, tmp_path / "out.jsonl", count=20, mix=parse_mix("easy=1, extra=3"), workers=2)
    assert Counter(pair["hardness"] for pair in rows(out)) == {"easy": 5, "extra": 15}


def test_all_kinds_of_queries_come_up(made: dict[str, list[dict[str, Any]]]) -> None:
    text = "\n".join(pair["query"] for pairs in made.values() for pair in pairs)
    for part in (
        "DISTINCT", "WHERE", " != ", " > ", " < ", "BETWEEN", "LIKE", " AND ", " OR ", "count(*)", "count(DISTINCT",
        "avg(", "sum(", "max(", "min(", "GROUP BY", "HAVING", "ORDER BY", "LIMIT", "JOIN", "T3.", "NOT IN (SELECT",
        " IN (SELECT", " > (SELECT avg", "INTERSECT", "UNION", "EXCEPT",
    ):  # fmt: skip
        assert part in text, part


def test_no_figure_is_taken_of_ids_and_years(databases: Path) -> None:
    for name in SAMPLE:
        profile = read_profile(databases / name / f"{name}.sqlite")
        for number in range(300):
            plan = draw(profile, Random(number))
            for item in (*plan.select, *([plan.order.item] if plan.order else [])) if plan else ():
                if item.ref and item.aggregate in ("avg", "sum"):
                    assert item.ref.field.kind == "number", to_sql(plan)  # type: ignore[arg-type]
            for condition in plan.where if plan else ():
                assert condition.nested or condition.ref.field.kind != "key"


def test_text_values_come_from_the_database(databases: Path, made: dict[str, list[dict[str, Any]]]) -> None:
    for name, pairs in made.items():
        connection = sqlite3.connect(databases / name / f"{name}.sqlite")
        held: set[str] = set()
        for table in read_sqlite(databases / name / f"{name}.sqlite").tables:
            for row in connection.execute(f'SELECT * FROM "{table.name}"'):
                held |= {str(cell) for cell in row}
        connection.close()
        for pair in pairs:
            tree = sqlglot.parse_one(pair["query"], read="sqlite")
            for literal in tree.find_all(exp.Literal):
                value = literal.this.strip("%")
                if literal.is_string:
                    assert any(value in one for one in held), pair["query"]
                    assert value in pair["question"], pair


def test_the_same_seed_gives_the_same_bytes_whatever_the_workers(museum: Path, tmp_path: Path) -> None:
    files = [
        synth(museum, tmp_path / f"{place}.jsonl", count=40, seed=seed, workers=workers).read_bytes()
        for place, (seed, workers) in enumerate([(3, 1), (3, 2), (4, 1)])
    ]
    assert files[0] == files[1] != files[2]


def test_one_query_may_have_several_questions(museum: Path, tmp_path: Path) -> None:
    pairs = rows(synth(museum, tmp_path / "out.jsonl", count=60, wordings=3, workers=2))
    counts = Counter(pair["query"] for pair in pairs)
    assert len(pairs) == 60
    assert max(counts.values()) == 3
    assert len({pair["question"] for pair in pairs}) == 60


def test_no_skeleton_takes_over(museum: Path, tmp_path: Path) -> None:
    profile = read_profile(museum)
    plan = next(plan for number in range(50) if (plan := draw(profile, Random(number))))
    assert "museum" not in skeleton(plan)
    pairs = rows(synth(museum, tmp_path / "out.jsonl", count=200, workers=2))
    masked = Counter(
        re.sub(r"'[^']*'|\b\d+\b|\"[^\"]*\"|\b(?!T\d)[a-z_]+\b(?!\()", "_", pair["query"]) for pair in pairs
    )
    assert max(masked.values()) <= 8


def test_what_a_level_lacks_the_others_make(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    values = ", ".join(f"('{name}')" for name in ("Ada", "Bo", "Cy", "Di", "Eve", "Flo"))
    path = build(tmp_path / "one.sqlite", f"CREATE TABLE person (name TEXT); INSERT INTO person VALUES {values};")
    pairs = rows(synth(path, tmp_path / "out.jsonl", count=300, workers=1))
    assert 3 < len(pairs) < 300
    shown = capsys.readouterr().out
    assert f"only {len(pairs)} of 300" in shown


HOSTILE = """
CREATE TABLE "order" ("select" TEXT, "group by" INTEGER, "we""ird" REAL, "[square]" TEXT, "таблица" TEXT, "o'name" TEXT);
INSERT INTO "order" VALUES ('O''Brien', 1, 1.5, '100%', 'Привет', 'a"b'), ('say "hi"', 2, 2.5, 'a_b', 'Мир', 'c''d');
INSERT INTO "order" VALUES ('Robert''); DROP TABLE x;--', 3, -0.5, '', 'Да', char(10)), (NULL, 4, 1e300, NULL, NULL, NULL);
INSERT INTO "order" VALUES ('x', 9223372036854775807, 9e999, x'00ff', CAST(x'ff' AS TEXT), '{question}');
CREATE TABLE "nothing" (id INTEGER PRIMARY KEY, name TEXT);
CREATE TABLE empty_values (a TEXT, b INTEGER);
INSERT INTO empty_values VALUES (NULL, NULL), (NULL, NULL), (NULL, NULL);
CREATE TABLE pictures (id INTEGER PRIMARY KEY, picture BLOB, text TEXT);
INSERT INTO pictures VALUES (1, zeroblob(100000), printf('%.100000c', 'x')), (2, x'00', printf('%.100000c', 'y'));
CREATE TABLE employee (id INTEGER PRIMARY KEY, name TEXT, age INTEGER, boss_id INTEGER REFERENCES employee (id));
INSERT INTO employee VALUES (1, 'Ann', 50, NULL), (2, 'Ben', 40, 1), (3, 'Cat', 30, 1), (4, 'Dan', 35, 2);
CREATE TABLE visit (employee_id INTEGER REFERENCES employee, room_id INTEGER REFERENCES gone (id), n);
INSERT INTO visit VALUES (1, 1, 'a'), (1, 2, 2), (2, 2, NULL), (7, 1, 3.5);
CREATE TABLE pair (a INTEGER, b INTEGER, title TEXT, PRIMARY KEY (a, b)) WITHOUT ROWID;
INSERT INTO pair VALUES (1, 1, 'one'), (1, 2, 'two'), (2, 1, 'three');
CREATE TABLE half (a INTEGER, b INTEGER, size INTEGER, FOREIGN KEY (a, b) REFERENCES pair (a, b));
INSERT INTO half VALUES (1, 1, 5), (1, 2, 6), (1, 2, 7), (2, 1, 8);
CREATE TABLE "T1" (T2 INTEGER PRIMARY KEY, name TEXT); INSERT INTO "T1" VALUES (1, 'u'), (2, 'v');
CREATE TABLE "T2" (id INTEGER PRIMARY KEY, T1 INTEGER REFERENCES "T1" (T2), note TEXT);
INSERT INTO "T2" VALUES (1, 1, 'p'), (2, 1, 'q'), (3, 2, 'r');
CREATE TABLE "line
break" (a TEXT); INSERT INTO "line
break" VALUES ('a'), ('b');
CREATE TABLE tabbed ("a	b" TEXT, plain TEXT); INSERT INTO tabbed VALUES ('a', 'b'), ('c', 'd'), ('e', 'f');
CREATE VIEW everything AS SELECT * FROM employee, pair;
CREATE VIEW broken AS SELECT * FROM not_there;
"""


def test_hostile_schemas_give_pairs_that_run(tmp_path: Path) -> None:
    path = build(tmp_path / "ho'st ile.sqlite", HOSTILE)
    pairs = rows(synth(path, tmp_path / "out.jsonl", count=150, workers=2))
    assert len(pairs) > 60
    names = Names(read_sqlite(path))
    with Sandbox(workers=2) as sandbox:
        for pair in pairs:
            outcome = sandbox.run(path, pair["query"])
            assert outcome.category == "ok", pair["query"]
            assert outcome.rows
            assert hardness(pair["query"], names) != "unknown"
            assert pair["question"].isprintable() and pair["query"].isprintable()
            sqlglot.parse_one(pair["query"], read="sqlite")
            # A composite key is not half a key, and one to a table that is not there is none.
            assert not ("half" in pair["query"] and "JOIN" in pair["query"])
            assert "gone" not in pair["query"]


def test_what_returns_nothing_sensible_is_refused_with_a_reason(tmp_path: Path) -> None:
    rows_of = "('Ada', 'a', 1, NULL), ('Bo', 'b', 2, NULL), ('Cy', 'b', 2, 7), ('Di', 'b', 3, NULL)"
    path = build(tmp_path / "t.sqlite", f"CREATE TABLE t (name, kind, size, gap); INSERT INTO t VALUES {rows_of};")
    entity = read_profile(path).entities["t"]
    name, kind, size, gap = (Item("", Ref(0, field)) for field in entity.fields)
    steps, number = (Step(entity),), Item("count", None)
    plain = Plan("list", steps, (name,))

    def where(ref: Ref | None, operator: str, *values: str | int) -> tuple[Condition, ...]:
        assert ref
        return (Condition(ref, operator, values),)

    big, small = where(size.ref, ">", 1), where(size.ref, "<", 2)
    plans = {
        None: plain,
        "no rows": replace(plain, where=where(size.ref, ">", 3)),
        "a count of zero or a single group": Plan("count", steps, (number,), where=where(name.ref, "=", "Eve")),
        "NULLs": Plan("list", steps, (gap,)),
        "a filter that changes nothing": replace(plain, where=where(size.ref, ">", 0)),
        "a DISTINCT that changes nothing": replace(plain, distinct=True),
        "a tie at LIMIT": replace(plain, order=Order(size, True), limit=2),
        "a set operation that changes nothing": replace(plain, where=big, combine=("union", replace(plain, where=big))),
        "did not run: no_such_column": Plan(
            "list", steps, (Item("", Ref(0, replace(entity.fields[0], name="missing"))),)
        ),
    }
    good = [
        replace(plain, where=big),
        replace(plain, distinct=True, select=(kind,)),
        replace(plain, order=Order(size, True), limit=1),
        replace(plain, where=small, combine=("union", replace(plain, where=where(size.ref, ">", 2)))),
        Plan("groups", steps, (kind, number), group=kind.ref, having=Having(number, ">", 1)),
    ]
    with Sandbox(workers=1) as sandbox:
        found = list(refusals(sandbox, path, [*plans.values(), *good]))
    assert found[: len(plans)] == list(plans)
    assert found[len(plans) :] == [None] * len(good)


def test_only_tables_with_something_to_ask_make_pairs(tmp_path: Path) -> None:
    path = build(
        tmp_path / "keys.sqlite", "CREATE TABLE t (id INTEGER PRIMARY KEY, x BLOB); INSERT INTO t VALUES (1, x'00');"
    )
    with pytest.raises(UserError, match=r"keys\.sqlite: no query over its rows"):
        synth(path, tmp_path / "out.jsonl", count=5, workers=1)


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("", "not an SQLite"),
        ("CREATE TABLE t (a);", "empty or unreadable"),
        ("CREATE TABLE t (a); DROP TABLE t;", "holds no table"),
    ],
)
def test_a_database_without_rows_is_refused_in_one_line(tmp_path: Path, script: str, message: str) -> None:
    path = build(tmp_path / "void.sqlite", script)
    with pytest.raises(UserError, match=message) as caught:
        synth(path, tmp_path / "out.jsonl")
    assert "void.sqlite" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out.jsonl").exists()


def test_a_database_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file or folder"):
        synth(tmp_path / "none.sqlite")


def test_only_synthetic_pairs_are_written_over(museum: Path, tmp_path: Path) -> None:
    out = synth(museum, tmp_path / "deep" / "out.jsonl", count=4, workers=1)
    first = out.read_bytes()
    assert synth(museum, out, count=4, seed=1, workers=1).read_bytes() != first
    for content in ('{"question": "q", "query": "SELECT 1"}\n', "hello", '{"synthetic": true}\n{"synthetic": "yes"}\n'):
        out.write_text(content, encoding="utf-8")
        with pytest.raises(UserError, match="is not a synthetic pair"):
            synth(museum, out, count=4)
        assert out.read_text(encoding="utf-8") == content
    with pytest.raises(UsageError, match="is a folder"):
        synth(museum, tmp_path, count=4)
    with pytest.raises(UsageError, match="is a file"):
        synth(museum, museum / "out.jsonl", count=4)
    with pytest.raises(UserError, match="is not a synthetic pair"):
        synth(museum, museum, count=4)


def test_the_file_is_named_after_the_database(museum: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert synth(museum, count=3, workers=1) == Path("museum-synthetic.jsonl")
    assert len(rows(tmp_path / "museum-synthetic.jsonl")) == 3
    assert [path.name for path in tmp_path.iterdir()] == ["museum-synthetic.jsonl"]


def test_a_mix_is_read_or_refused() -> None:
    assert parse_mix("easy=25,medium=40,hard=20,extra=15") == dict(zip(LEVELS, (25, 40, 20, 15), strict=True))
    assert parse_mix("hard=1") == {"easy": 0, "medium": 0, "hard": 1, "extra": 0}
    for text in ("", "easy", "easy=-1", "easy=x", "simple=3", "easy=0", "easy=1;hard=2", "unknown=1"):
        with pytest.raises(UsageError, match="--mix"):
            parse_mix(text)


def test_numbers_that_cannot_be_are_refused(museum: Path) -> None:
    for settings in ({"count": 0}, {"wordings": 0}):
        with pytest.raises(UsageError, match="give 1 or more"):
            synth(museum, **settings)


def test_what_columns_mean_is_what_they_are_called(museum: Path, tmp_path: Path) -> None:
    path = tmp_path / "museum.sqlite"
    path.write_bytes(museum.read_bytes())
    lines = [
        "table,column,description,unit,values",
        "artist,birth_year,Year of birth,,",
        "tour,visitors,Is not counted in; see below,,",
    ]
    path.with_suffix(".columns.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    phrases = {field.name: field.phrase for entity in read_profile(path).entities.values() for field in entity.fields}
    assert phrases["birth_year"] == "year of birth"
    assert phrases["visitors"] == "visitors"


def test_junk_of_a_random_model_is_refused(
    museum: Path, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.reword.MAX_NEW_TOKENS", 24)
    plain = rows(synth(museum, tmp_path / "plain.jsonl", count=6, workers=1))
    assert rows(synth(museum, tmp_path / "out.jsonl", count=6, workers=1, reword=str(tiny_model))) == plain


@pytest.fixture
def answering(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[str], str]], None]:
    """Puts a function from question to rewording in the place of a model."""

    def put(answer: Callable[[str], str]) -> None:
        def generate(_: Any, tokenizer: Any, prompts: Sequence[list[int]], **__: Any) -> list[Generation]:
            texts = [tokenizer.decode(ids) for ids in prompts]
            asked = [re.findall(r"Question: (.*)\nIn other words:", text)[-1] for text in texts]
            return [Generation(answer(question), 9, ended=True) for question in asked]

        monkeypatch.setattr(generation, "generate", generate)

    return put


def test_good_rewordings_are_kept_and_marked(
    museum: Path, tiny_model: Path, tmp_path: Path, answering: Callable[[Callable[[str], str]], None]
) -> None:
    answering(lambda question: f"I would like to see this: {question[0].lower()}{question[1:]}")
    pairs = rows(synth(museum, tmp_path / "out.jsonl", count=8, workers=1, reword=str(tiny_model)))
    kept = [pair for pair in pairs if pair["reworded"]]
    assert len(kept) >= 6
    assert all(pair["question"].startswith("I would like") is pair["reworded"] for pair in pairs)


def test_no_two_pairs_get_one_rewording(
    museum: Path, tiny_model: Path, tmp_path: Path, answering: Callable[[Callable[[str], str]], None]
) -> None:
    answering(lambda _: "How many artists do we have?")
    pairs = rows(synth(museum, tmp_path / "out.jsonl", count=30, workers=1, reword=str(tiny_model)))
    assert sum(pair["reworded"] for pair in pairs) <= 1


@pytest.mark.parametrize(
    ("question", "text", "needed", "is_kept"),
    [
        ("How many artists are there?", "What is the number of artists?", [], True),
        ("How many artists are there?", "How many artists are there?", [], False),
        ("How many artists are there?", "how many artists are there.", [], False),
        ("How many artists are there?", "How many artists\nare there in all?", [], False),
        ("How many artists are there?", "How many?", [], False),
        ("How many artists are there?", "Number?", [], False),
        ("How many artists are there?", "How many paintings and rooms can be seen?", [], False),
        ("List the names of artists older than 30.", "Which artists are over 30? Give their names.", ["30"], True),
        ("List the names of artists older than 30.", "Which artists are over 31? Give their names.", ["30"], False),
        ("List the names of artists older than 30.", "Which artists are under 30? Give their names.", ["30"], False),
        ("List the names of artists older than 30.", "Which 5 artists are over 30? Give their names.", ["30"], False),
        ("Count the artists from Italy.", "How many artists come from Italy?", ["Italy"], True),
        ("Count the artists from Italy.", "How many artists come from italy?", ["Italy"], False),
        ("Which artists have no artworks?", "Which artists have artworks?", [], False),
        ("Which artists have no artworks?", "Which artists do not have any artworks?", [], True),
        ("List the different countries of artists.", "Which countries do the artists come from?", [], False),
        ("List the countries of artists.", "Which different countries do the artists have?", [], False),
        ("What is the highest price?", "What is the lowest price?", [], False),
        ("What is the room with the greatest floor?", "The room with the greatest floor is the hotel.", [], False),
        ("What is the room with the greatest floor?", "Which room has the greatest floor in Hotel?", [], False),
        ("What is the room with the greatest floor?", "Name the room that has the greatest floor.", [], True),
        ("What is the average price?", "<|x|> price average ???", [], False),
    ],
)
def test_a_rewording_must_hold_what_the_question_says(
    question: str, text: str, needed: list[str], is_kept: bool
) -> None:
    assert holds(question, text, needed) is is_kept


def test_labels_and_quotes_around_a_rewording_are_taken_off() -> None:
    assert clean('In other words: "How many are there?"\n') == "How many are there?"
    assert clean('Which rooms are called "A"?') == 'Which rooms are called "A"?'


def test_a_model_that_is_not_there_is_named_with_its_option(museum: Path, tmp_path: Path) -> None:
    (tmp_path / "no-model").mkdir()
    with pytest.raises(UserError, match="--reword"):
        synth(museum, tmp_path / "out.jsonl", count=2, workers=1, reword=str(tmp_path / "no-model"))
    assert not (tmp_path / "out.jsonl").exists()


def test_what_a_group_shares_is_not_its_figure(databases: Path, made: dict[str, list[dict[str, Any]]]) -> None:
    for name in SAMPLE:
        profile = read_profile(databases / name / f"{name}.sqlite")
        rng = Random(name)
        plans = [plan for plan in (draw(profile, rng) for _ in range(400)) if plan and plan.group]
        assert plans
        for plan in plans:
            assert not any(item.aggregate not in ("", "count") and item.ref == plan.group for item in plan.select)


SHOP = """
CREATE TABLE product (sku TEXT PRIMARY KEY, title TEXT, category TEXT, price_eur REAL);
CREATE TABLE sale (id INTEGER PRIMARY KEY, sku TEXT REFERENCES product (sku), sold_at TEXT, quantity INTEGER);
"""


def shop(path: Path, name: str) -> str:
    """A script that makes a small shop; `path` gets it as an SQLite file, if it is one."""
    rng = Random(name)
    script = SHOP
    for place in range(30):
        category, price = rng.choice(("Books", "Toys", "Garden")), rng.randrange(100, 9000) / 100
        script += f"INSERT INTO product VALUES ('{name}-{place}', '{name} {place}', '{category}', {price});\n"
    for place in range(80):
        moment = f"2024-0{1 + place % 9}-1{place % 7} 0{place % 8}:15:00"
        script += f"INSERT INTO sale VALUES ({place}, '{name}-{rng.randrange(30)}', '{moment}', {1 + place % 6});\n"
    build(path, script) if path.suffix == ".sqlite" else path.write_text(script, encoding="utf-8")
    return script


def tables(folder: Path, database: Path) -> Path:
    """The tables of a database as CSV files."""
    folder.mkdir()
    connection = sqlite3.connect(database)
    for name in ("product", "sale"):
        found = connection.execute(f"SELECT * FROM {name}")
        lines = [[column[0] for column in found.description], *found.fetchall()]
        text = "\n".join(",".join(map(str, line)) for line in lines)
        (folder / f"{name}.csv").write_text(text + "\n", encoding="utf-8")
    connection.close()
    return folder


@pytest.mark.parametrize("kind", ["SQLite file without its ending", "script", "CSV files", "one CSV file"])
def test_what_an_import_takes_gets_pairs(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    shop(tmp_path / "shop.sqlite", "Item")
    made = {
        "SQLite file without its ending": lambda: shutil.copy("shop.sqlite", "store"),
        "script": lambda: shop(tmp_path / "store.sql", "Item"),
        "CSV files": lambda: tables(tmp_path / "store", tmp_path / "shop.sqlite"),
        "one CSV file": lambda: tables(tmp_path / "folder", tmp_path / "shop.sqlite"),
    }
    made[kind]()
    source = {"script": "store.sql", "one CSV file": "folder/product.csv"}.get(kind, "store")
    out = synth(source, count=20, workers=1)
    name = "product" if kind == "one CSV file" else "store"
    assert out == Path(f"{name}-synthetic.jsonl")
    pairs = rows(out)
    assert len(pairs) == 20
    assert {pair["db_id"] for pair in pairs} == {name}
    assert f"loraql import PAIRS {out} --db {source} --name my-{name}" in capsys.readouterr().out
    # An import names the database as the pairs do, and there they run.
    (item,) = import_databases(Path(source), tmp_path / "imported")
    assert item.name == name
    with Sandbox(workers=1) as sandbox:
        assert all(sandbox.run(item.path, pair["query"]).rows for pair in pairs)


def test_a_file_and_its_copy_of_a_folder_give_the_same_pairs(tmp_path: Path) -> None:
    shop(tmp_path / "shop.sqlite", "Item")
    (tmp_path / "folder").mkdir()
    shutil.copy(tmp_path / "shop.sqlite", tmp_path / "folder")
    one = synth(tmp_path / "shop.sqlite", tmp_path / "one.jsonl", count=30, workers=1)
    assert synth(tmp_path / "folder", tmp_path / "two.jsonl", count=30, workers=1).read_bytes() == one.read_bytes()
    assert sorted(path.name for path in (tmp_path / "folder").iterdir()) == ["shop.sqlite"]


def test_several_databases_share_the_pairs_evenly(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "shops"
    folder.mkdir()
    for name in ("east", "north", "west"):
        shop(folder / f"{name}.sqlite", name)
    build(folder / "bare.sqlite", "CREATE TABLE t (a);")
    files = [synth(folder, tmp_path / f"{place}.jsonl", count=26, workers=place).read_bytes() for place in (1, 2)]
    assert files[0] == files[1]
    pairs = rows(tmp_path / "1.jsonl")
    counts = Counter(pair["db_id"] for pair in pairs)
    assert sorted(counts.values()) == [8, 9, 9]
    assert set(counts) == {"east", "north", "west"}
    assert Counter(pair["hardness"] for pair in pairs) == {"easy": 6, "medium": 9, "hard": 6, "extra": 5}
    for name in counts:
        levels = Counter(pair["hardness"] for pair in pairs if pair["db_id"] == name)
        assert len(levels) == 4
    for pair in pairs:
        outcome_of = folder / f"{pair['db_id']}.sqlite"
        connection = sqlite3.connect(outcome_of)
        assert connection.execute(pair["query"]).fetchall(), pair
        connection.close()
    shown_lines = capsys.readouterr().out
    assert f"left out: {folder / 'bare.sqlite'}: all 1 tables are empty" in " ".join(shown_lines.split())
    assert "databases: 3, with 8 to 9 pairs each" in shown_lines


def test_what_one_database_lacks_the_next_ones_make(tmp_path: Path) -> None:
    folder = tmp_path / "shops"
    folder.mkdir()
    build(folder / "a.sqlite", "CREATE TABLE t (name TEXT); INSERT INTO t VALUES ('Ada'), ('Bo');")
    shop(folder / "b.sqlite", "b")
    pairs = rows(synth(folder, tmp_path / "out.jsonl", count=80, workers=2))
    counts = Counter(pair["db_id"] for pair in pairs)
    assert len(pairs) == 80
    assert 0 < counts["a"] < 40 < counts["b"]


def test_a_damaged_file_is_refused_as_an_import_refuses_it(tmp_path: Path) -> None:
    shop(tmp_path / "shop.sqlite", "Item")
    content = bytearray((tmp_path / "shop.sqlite").read_bytes())
    content[4096:8192] = b"\xff" * 4096
    damaged = tmp_path / "damaged.sqlite"
    damaged.write_bytes(content)
    with pytest.raises(UserError) as imported:
        import_databases(damaged, tmp_path / "imported")
    with pytest.raises(UserError) as made:
        synth(damaged, tmp_path / "out.jsonl", count=5, workers=1)
    assert str(made.value) == str(imported.value)
    assert str(damaged) in str(made.value)
    assert "damaged" in str(made.value).removeprefix(str(damaged)) or "malformed" in str(made.value)


def test_a_server_without_sampled_rows_has_nothing_to_ask_about(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--rows 1000") as caught:
        synth("postgresql://me:geheim@localhost/shop", tmp_path / "out.jsonl")
    assert "geheim" not in str(caught.value)


def test_rows_and_schema_are_for_servers(museum: Path, tmp_path: Path) -> None:
    for options in ({"rows": 5}, {"schema": "public"}):
        with pytest.raises(UsageError, match="is for a server"):
            synth(museum, tmp_path / "out.jsonl", **options)


def test_a_server_is_sampled_and_its_password_never_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = []

    def copied(url: str, path: Path, rows: int = 0, schema: str | None = None) -> ServerCopy:
        asked.append((url, rows, schema))
        path.parent.mkdir(parents=True)
        build(path, shop(tmp_path / "shop.sql", "Item"))
        return ServerCopy(path, "postgres", schema or "public", (), ())

    monkeypatch.setattr("pipeline.import_sources.copy_server", copied)
    monkeypatch.chdir(tmp_path)
    url = "postgresql://me:geheim@localhost/shop"
    out = synth(url, count=10, rows=100, schema="sales", workers=1)
    assert asked == [(url, 100, "sales")]
    assert out == Path("shop-synthetic.jsonl")
    assert {pair["db_id"] for pair in rows(out)} == {"shop"}
    text = capsys.readouterr().out
    assert "geheim" not in text
    # Pairs in SQLite's words are not for an import from a server, which would translate them.
    assert "loraql import PAIRS --db postgresql://me@localhost/shop --rows 100 --schema sales --name my-shop" in text
    assert f"loraql run my-shop.yaml data.synthetic={out}" in text


@pytest.mark.parametrize(
    ("source", "name", "text"),
    [
        ("postgresql://me:se:cr@et@host:5432/shop?sslmode=require", "shop", "postgresql://me@host:5432/shop?sslmode=require"),
        ("mysql://host/shop", "shop", "mysql://host/shop"),
        ("postgresql://me@host/my%20shop", "my shop", "postgresql://me@host/my%20shop"),
        ("postgresql://[bad/shop", "shop", "postgresql://[bad/shop"),
        ("postgresql://host", "server", "postgresql://host"),
    ],
)  # fmt: skip
def test_a_url_is_shown_as_it_was_given_but_for_its_password(source: str, name: str, text: str) -> None:
    assert (source_name(source), shown(source)) == (name, text)
