"""The texts of prompts, what a context shows, and which examples are chosen."""

import dataclasses
import random

import pytest

from data.errors import UserError
from data.examples import Example
from data.schema import Column, ForeignKey, Schema, Table
from prompts.context import ContextKind, choose_context, used_columns
from prompts.render import Order, Preset, PromptStyle, Shot, preset_style
from prompts.select import Choice, make_chooser

QUESTION, CONTEXT = (
    "How many heads are there?",
    "There are tables such as head\nTable head contains columns such as age",
)
SHOTS = (Shot("Q1?", "C1a\nC1b", "SELECT 1"), Shot("Q2?", "C2", "SELECT 2"))

SEED = f"""\
# Instruction
You are a power-full text-to-sql model. Your job is to answer question about a database. You are given question and context regarding on or more tables.
You only output the SQL query that answer the question.

### Input:
{QUESTION}

### Context:
{CONTEXT}

### Response:"""

SEED_SHOTS = f"""\
# Instruction
You are a power-full text-to-sql model. Your job is to answer question about a database. You are given question and context regarding one or more tables.
You only output the SQL query that answer the question.
First, I will show you few examples of question, context followed by correct SQL query.
Then, I will give you a new question and context, you should write the SQL query that appropiately completes the question.
### Example 1 Input:
Q1?
### Example 1 Context:
C1a
C1b
### Example 1 Response:
SELECT 1
### Example 2 Input:
Q2?
### Example 2 Context:
C2
### Example 2 Response:
SELECT 2
### New Input:
{QUESTION}
### New Context:
{CONTEXT}
### New Response:"""

CORRECTED_HEAD = """\
# Instruction
You are a powerful text-to-sql model. Your job is to answer questions about a database. You are given question and context regarding one or more tables.
You only output the SQL query that answers the question.
"""
CORRECTED = CORRECTED_HEAD + SEED.split("question.\n", 1)[1]
CORRECTED_SCHEMA_FIRST = f"""\
{CORRECTED_HEAD}
### Context:
{CONTEXT}

### Input:
{QUESTION}

### Response:"""
CORRECTED_SHOTS_HEAD = f"""\
{CORRECTED_HEAD}First, I will show you a few examples of question, context followed by correct SQL query.
Then, I will give you a new question and context, you should write the SQL query that appropriately completes the question.
"""
CORRECTED_SHOTS = CORRECTED_SHOTS_HEAD + SEED_SHOTS.split("completes the question.\n", 1)[1]
CORRECTED_SHOTS_SCHEMA_FIRST = f"""\
{CORRECTED_SHOTS_HEAD}### Example 1 Context:
C1a
C1b
### Example 1 Input:
Q1?
### Example 1 Response:
SELECT 1
### Example 2 Context:
C2
### Example 2 Input:
Q2?
### Example 2 Response:
SELECT 2
### New Context:
{CONTEXT}
### New Input:
{QUESTION}
### New Response:"""

DDL_HEAD = """\
# Instruction
You are a powerful text-to-SQL model. Your job is to answer questions about a database based on the provided SCHEMA. You must output the SQL query that answers the question.
"""
DDL = f"{DDL_HEAD}# SCHEMA\n{CONTEXT}\n# Input\n{QUESTION}\n# Response"
DDL_SHOTS = f"""\
{DDL_HEAD}# Example 1 SCHEMA
C1a
C1b
# Example 1 Input
Q1?
# Example 1 Response
SELECT 1
# Example 2 SCHEMA
C2
# Example 2 Input
Q2?
# Example 2 Response
SELECT 2
# SCHEMA
{CONTEXT}
# Input
{QUESTION}
# Response"""


@pytest.mark.parametrize(
    ("preset", "order", "shots", "text"),
    [
        ("seed", None, (), SEED),
        ("seed", "question-first", SHOTS, SEED_SHOTS),
        ("corrected", None, (), CORRECTED),
        ("corrected", "question-first", SHOTS, CORRECTED_SHOTS),
        ("corrected", "schema-first", (), CORRECTED_SCHEMA_FIRST),
        ("corrected", "schema-first", SHOTS, CORRECTED_SHOTS_SCHEMA_FIRST),
        ("ddl", None, (), DDL),
        ("ddl", "schema-first", SHOTS, DDL_SHOTS),
    ],
)
def test_a_preset_is_rendered_word_for_word(
    preset: Preset, order: Order | None, shots: tuple[Shot, ...], text: str
) -> None:
    assert preset_style(preset, order, shots=bool(shots)).text(QUESTION, CONTEXT, shots) == text


@pytest.mark.parametrize(
    "odd", ["{{ question }}", "{% raw %}", "{# gone #}", "100%s %(x)s %", "{0} {", "</b> & <", "\\1 \\n", "a\n\n# b"]
)
@pytest.mark.parametrize("with_shots", [False, True])
@pytest.mark.parametrize("preset", ["seed", "corrected", "ddl"])
def test_values_are_put_in_literally(preset: Preset, with_shots: bool, odd: str) -> None:
    style = preset_style(preset, shots=with_shots)
    shots = (Shot("Qs", "Cs", "Ss"),) if with_shots else ()
    plain = style.text("Qq", "Cc", shots)
    expected = plain
    for mark in ("Qs", "Cs", "Ss", "Qq", "Cc"):
        expected = expected.replace(mark, odd)
    odd_shots = [Shot(odd, odd, odd)] if with_shots else []
    assert plain.count("Qq") == plain.count("Cc") == 1
    assert style.text(odd, odd, odd_shots) == expected


@pytest.mark.parametrize(("preset", "order"), [("seed", "schema-first"), ("ddl", "question-first")])
def test_an_order_that_the_preset_does_not_have_is_refused(preset: Preset, order: Order) -> None:
    with pytest.raises(UserError, match=f"prompt.order: the preset '{preset}' has only"):
        preset_style(preset, order)


def test_schema_first_prompts_of_one_database_share_their_beginning() -> None:
    style = preset_style("corrected", "schema-first")
    first, second = style.text("Abc?", CONTEXT), style.text("Xyz?", CONTEXT)
    assert first.split("Abc?")[0] == second.split("Xyz?")[0]
    assert CONTEXT in first.split("Abc?")[0]


def test_a_broken_template_is_a_one_line_error() -> None:
    style = PromptStyle("corrected", "question-first", "both", "fine\n{% if %}")
    with pytest.raises(UserError, match="prompt template, line 2"):
        style.text(QUESTION, CONTEXT)


@pytest.mark.parametrize("source", ["{{ question.__class__.__mro__ }}", "{{ ''.__class__.__base__.__subclasses__() }}"])
def test_a_foreign_template_reaches_no_insides(source: str) -> None:
    style = PromptStyle("corrected", "question-first", "both", source)
    with pytest.raises(Exception, match="unsafe|undefined"):
        style.text(QUESTION, CONTEXT)


def table(name: str, columns: str, key: str = "", *foreign: ForeignKey) -> Table:
    return Table(name, tuple(Column(column, "int") for column in columns.split()), tuple(key.split()), foreign)


SCHEMA = Schema(
    "music",
    (
        table("Singer", "Singer_ID Name Age", "Singer_ID"),
        table("concert", "Concert_ID Name Year", "Concert_ID"),
        table("singer_in_concert", "Concert_ID Singer_ID", "Concert_ID Singer_ID", ForeignKey("Singer_ID", "Singer", "Singer_ID")),
        table("log", "line note"),
    ),
)  # fmt: skip


def test_ddl_shows_create_table_and_the_others_show_sentences() -> None:
    assert preset_style("ddl").context(SCHEMA).startswith("CREATE TABLE Singer ( Singer_ID int PRIMARY KEY")
    assert preset_style("corrected").context(SCHEMA).startswith("There are tables such as Singer, concert")


def test_a_style_shows_foreign_keys_as_it_is_told() -> None:
    shown = SCHEMA.subset({"singer_in_concert": None})
    assert "foreign key" not in preset_style("corrected").context(shown)
    assert "foreign key of Singer_ID of Singer" in preset_style("corrected", foreign_keys="child").context(shown)


@pytest.mark.parametrize(
    ("query", "used"),
    [
        ("SELECT name FROM singer", {"Singer": "Name"}),
        ("SELECT T1.NAME FROM Singer AS T1 WHERE t1.age > 1", {"Singer": "Name Age"}),
        ("SELECT T1.Name FROM Singer T1 JOIN concert T2 ON T1.Singer_ID = T2.Concert_ID", {"Singer": "Name Singer_ID", "concert": "Concert_ID"}),
        ("SELECT Name FROM Singer JOIN concert", {"Singer": "Name", "concert": "Name"}),  # of both, since either may be meant
        ("SELECT * FROM log", {"log": "line note"}),
        ("SELECT T1.* FROM log AS T1 JOIN concert AS T2 ON T1.line = T2.Year", {"log": "line note", "concert": "Year"}),
        ("SELECT count(*) FROM concert WHERE Year > 1", {"concert": "Year"}),
        ("SELECT count(*) FROM log", {"log": ""}),
        ("SELECT Age FROM Singer WHERE Name = \"Joe\" ", {"Singer": "Age Name"}),
        ("SELECT Age FROM Singer WHERE Singer_ID NOT IN (SELECT Singer_ID FROM singer_in_concert)", {"Singer": "Age Singer_ID", "singer_in_concert": "Singer_ID"}),
        ("SELECT Age FROM Singer UNION SELECT Year FROM concert", {"Singer": "Age", "concert": "Year"}),
        ("WITH x AS (SELECT Age FROM Singer) SELECT Age FROM x", {"Singer": "Age"}),
        ("SELECT T1.Name FROM Singer AS T1 JOIN singer_in_concert USING (Singer_ID)", {"Singer": "Name Singer_ID", "singer_in_concert": "Singer_ID"}),
        ("SELECT x FROM nowhere", {}),
        ("SELEC FROM (", {}),
        ("", {}),
    ],
)  # fmt: skip
def test_used_columns_are_those_that_the_query_names(query: str, used: dict[str, str]) -> None:
    assert used_columns(SCHEMA, query) == {name: set(columns.split()) for name, columns in used.items()}


JOIN = "SELECT T1.Name FROM Singer AS T1 JOIN singer_in_concert AS T2 ON T1.Singer_ID = T2.Singer_ID"


def shown(kind: ContextKind, query: str, seed: int = 0) -> dict[str, list[str]]:
    schema = choose_context(SCHEMA, query, kind, random.Random(seed))
    return {table.name: [column.name for column in table.columns] for table in schema.tables}


WHOLE = {table.name: [column.name for column in table.columns] for table in SCHEMA.tables}


def test_full_shows_everything() -> None:
    assert shown("full", JOIN) == WHOLE


def test_needed_shows_only_the_tables_and_columns_used() -> None:
    assert shown("needed", JOIN) == {"Singer": ["Singer_ID", "Name"], "singer_in_concert": ["Singer_ID"]}


@pytest.mark.parametrize(("name", "columns"), [("singer", ["Singer_ID"]), ("log", ["line"])])
def test_needed_shows_a_key_or_the_first_column_where_none_is_named(name: str, columns: list[str]) -> None:
    assert list(shown("needed", f"SELECT count(*) FROM {name}").values()) == [columns]


def test_distract_adds_at_least_one_other_table_and_shows_tables_whole() -> None:
    counts = set()
    for seed in range(30):
        tables = shown("distract", JOIN, seed)
        assert {"Singer", "singer_in_concert"} < set(tables)
        assert tables == {name: WHOLE[name] for name in WHOLE if name in tables}
        counts.add(len(tables))
    assert counts == {3, 4}


def test_distract_shows_all_where_there_is_no_other_table() -> None:
    query = "SELECT 1 FROM Singer, concert, singer_in_concert, log"
    assert shown("distract", query) == WHOLE


def test_mixed_shows_contexts_of_the_three_kinds() -> None:
    sizes = [len(shown("mixed", JOIN, seed)) for seed in range(60)]
    assert {2, 3, 4} == set(sizes)
    assert sizes.count(2) in range(10, 31)  # needed: a third


@pytest.mark.parametrize("kind", ["distract", "mixed"])
def test_the_same_seed_shows_the_same(kind: ContextKind) -> None:
    runs = [[shown(kind, JOIN, seed) for seed in range(20)] for _ in range(2)]
    assert runs[0] == runs[1]


@pytest.mark.parametrize("kind", ["needed", "distract", "mixed"])
def test_a_query_that_cannot_be_parsed_is_shown_everything(kind: ContextKind) -> None:
    assert shown(kind, "SELEC FROM (") == WHOLE


def example(place: int, db_id: str, question: str) -> Example:
    return Example(question, "-", "SELECT 1", db_id, "train", "easy", "ok", f"train-{place}")


POOL = [
    example(0, "pets", "How many dogs are there?"),
    example(1, "pets", "Which owner has the oldest dog?"),
    example(2, "shops", "How many   customers live in Paris?"),
    example(3, "shops", "List the names of all customers."),
    example(4, "trains", "Which train is the fastest?"),
    example(5, "trains", "How many trains leave Paris every day?"),
    example(6, "bands", "What is the oldest band?"),
]
ASKED = example(9, "music", "How many trains leave Paris?")
CHOICES: tuple[Choice, ...] = ("random", "keyword")


@pytest.mark.parametrize("choice", CHOICES)
def test_no_example_is_of_the_database_asked_about(choice: Choice) -> None:
    chosen = make_chooser(choice, POOL, 0)(dataclasses.replace(ASKED, db_id="trains"), 99)
    assert sorted(item.id for item in chosen) == [f"train-{place}" for place in (0, 1, 2, 3, 6)]


@pytest.mark.parametrize("choice", CHOICES)
def test_the_database_asked_about_is_used_where_that_is_wanted(choice: Choice) -> None:
    chosen = make_chooser(choice, POOL, 0, same_database=True)(dataclasses.replace(ASKED, db_id="trains"), 99)
    assert len(chosen) == len(POOL)


@pytest.mark.parametrize("same_database", [False, True])
@pytest.mark.parametrize("choice", CHOICES)
def test_the_same_question_is_never_an_example(choice: Choice, same_database: bool) -> None:
    asked = dataclasses.replace(ASKED, question="how MANY customers  live in Paris? ")
    chosen = make_chooser(choice, POOL, 0, same_database)(asked, 99)
    assert len(chosen) == len(POOL) - 1
    assert "train-2" not in {item.id for item in chosen}


@pytest.mark.parametrize("count", [0, 1, 3])
@pytest.mark.parametrize("choice", CHOICES)
def test_there_are_as_many_examples_as_asked_for(choice: Choice, count: int) -> None:
    assert len(make_chooser(choice, POOL, 0)(ASKED, count)) == count


def test_the_most_alike_comes_last() -> None:
    chosen = make_chooser("keyword", POOL, 0)(ASKED, 3)
    assert [item.id for item in chosen][::-1][:2] == ["train-5", "train-2"]


def test_a_smaller_number_takes_the_best_of_a_larger_one() -> None:
    choose = make_chooser("keyword", POOL, 0)
    assert choose(ASKED, 2) == choose(ASKED, 4)[2:]


@pytest.mark.parametrize("question", ["?", "What is it?", "zzz yyy"])
def test_a_question_without_known_words_still_gets_examples(question: str) -> None:
    assert len(make_chooser("keyword", POOL, 0)(dataclasses.replace(ASKED, question=question), 3)) == 3


@pytest.mark.parametrize("pool", [[], [example(0, "pets", "?")]], ids=["empty", "without words"])
@pytest.mark.parametrize("choice", CHOICES)
def test_a_pool_without_words_gives_what_it_has(choice: Choice, pool: list[Example]) -> None:
    assert make_chooser(choice, pool, 0)(ASKED, 3) == pool


def test_a_random_choice_depends_on_the_seed_and_the_question_alone() -> None:
    def chosen(seed: int, asked: Example = ASKED) -> list[str]:
        return [item.id for item in make_chooser("random", POOL, seed)(asked, 4)]

    choose = make_chooser("random", POOL, 1)
    choose(POOL[0], 4)  # another question before it changes nothing
    assert [item.id for item in choose(ASKED, 4)] == chosen(1) == chosen(1)
    assert len({tuple(chosen(seed)) for seed in range(10)}) > 5
    assert len({tuple(chosen(1, dataclasses.replace(ASKED, id=f"dev-{place}"))) for place in range(10)}) > 5
