"""The texts of prompts, and which examples they show."""

import dataclasses

import jinja2
import pytest

from data.errors import UserError
from data.examples import Example
from data.schema import Column, ForeignKey, Schema, Table
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
    with pytest.raises(jinja2.TemplateError, match=r"unsafe|undefined"):
        style.text(QUESTION, CONTEXT)


SCHEMA = Schema(
    "music",
    (
        Table("Singer", (Column("Singer_ID", "int"),), ("Singer_ID",), ()),
        Table("song", (Column("Singer_ID", "int"),), (), (ForeignKey("Singer_ID", "Singer", "Singer_ID"),)),
    ),
)


def test_ddl_shows_create_table_and_the_others_show_sentences() -> None:
    assert preset_style("ddl").context(SCHEMA).startswith("CREATE TABLE Singer ( Singer_ID int PRIMARY KEY")
    assert preset_style("corrected").context(SCHEMA).startswith("There are tables such as Singer, song")


def test_a_style_shows_foreign_keys_as_it_is_told() -> None:
    shown = SCHEMA.subset({"song": None})
    assert "foreign key" not in preset_style("corrected").context(shown)
    assert "foreign key of Singer_ID of Singer" in preset_style("corrected", foreign_keys="child").context(shown)


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
    assert len({tuple(chosen(1, dataclasses.replace(ASKED, question=f"How many {place}?"))) for place in range(10)}) > 5
