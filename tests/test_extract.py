"""The SQL in what a model wrote."""

import json
from pathlib import Path

import pytest

from eval.extract import extract_sql, is_complete

# A line each: what a model wrote, the query in it, and what the case is about.
FIXTURE = Path(__file__).parent / "fixtures" / "extract.jsonl"
CASES = [json.loads(line) for line in FIXTURE.read_text(encoding="utf-8").splitlines()]
WHYS = [case["why"] for case in CASES]


@pytest.mark.parametrize("case", CASES, ids=WHYS)
def test_the_first_query_is_taken_out_of_what_surrounds_it(case: dict[str, str]) -> None:
    assert extract_sql(case["text"]) == case["sql"]


@pytest.mark.parametrize("case", CASES, ids=WHYS)
def test_a_query_taken_out_stays_as_it_is(case: dict[str, str]) -> None:
    assert extract_sql(case["sql"]) == case["sql"]


@pytest.mark.parametrize("case", CASES, ids=WHYS)
def test_what_is_complete_holds_the_query_of_whatever_is_written_on(case: dict[str, str]) -> None:
    for end in range(len(case["text"])):
        if is_complete(case["text"][:end]):
            assert extract_sql(case["text"][:end]) == case["sql"]


@pytest.mark.parametrize("query", sorted({case["sql"] for case in CASES if case["sql"].startswith("SELECT ")}))
def test_a_query_is_the_same_however_it_is_set(query: str) -> None:
    for text in (
        f"{query};",
        f"\n{query}\n\nThat is it.",
        f"Here it is:\n\n```sql\n{query}\n```",
        f"```\n{query};\n```\nText",
    ):
        assert extract_sql(text) == query or "--" in query or query.count("'") % 2


def test_every_case_says_what_it_is_about() -> None:
    assert len(set(WHYS)) == len(WHYS) and all(WHYS)


@pytest.mark.parametrize(
    ("text", "complete"),
    [
        ("SELECT a FROM t", False),
        ("SELECT a FROM t;", True),
        ("SELECT a FROM t\n\n", True),
        ("SELECT a FROM t WHERE b = 'x;", False),
        ("SELECT a -- ;", False),
        ("```sql\nSELECT a FROM t;\n", False),
        ("```sql\nSELECT a FROM t;\n```", True),
        ("Here it is:\n\nSELECT a FROM t;", False),
        ("SQL: SELECT a FROM t;", True),
        ("<think>so\n\n</think>\n\nSELECT a FROM t", False),
        ("<think>so</think>SELECT a FROM t;", True),
        ("<think>SELECT a FROM t;", False),
        ("WITH x AS (SELECT 1)\n\n", False),
        ("```python\nprint(1)\n```", False),
        ("", False),
    ],
)
def test_a_text_is_complete_when_its_query_has_ended(text: str, complete: bool) -> None:
    assert is_complete(text) is complete


@pytest.mark.parametrize(
    "text",
    [
        "```" * 5000,
        "\n" * 50_000,
        '\\"' * 20_000,
        "1. " * 20_000,
        "SELECT " * 20_000,
        "\n### " * 10_000,
        "'" * 50_001,
        " " * 100_000,
    ],
)
def test_long_rubbish_is_no_trouble(text: str) -> None:
    assert len(extract_sql(text)) <= len(text)
