"""The texts of prompts."""

import pytest

from data.errors import UserError
from data.schema import Column, ForeignKey, Schema, Table
from prompts.render import Order, Preset, PromptStyle, Shot, preset_style

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
    with pytest.raises(UserError, match=r"unsafe|undefined"):
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
