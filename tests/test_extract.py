"""The SQL in what a model wrote."""

import pytest

from eval.extract import extract_sql, is_complete

# What the model wrote, with | for a new line, and the query in it.
CASES = """
SELECT a FROM t                                            -> SELECT a FROM t
SELECT a FROM t;                                           -> SELECT a FROM t
  SELECT a|  FROM t |                                      -> SELECT a FROM t
select a from t                                            -> select a from t
SELECT a FROM t; SELECT b FROM u                           -> SELECT a FROM t
SELECT a FROM t;| SELECT b FROM u;                         -> SELECT a FROM t
SELECT a FROM t WHERE b = 'x;y'; rest                      -> SELECT a FROM t WHERE b = 'x;y'
SELECT a FROM t WHERE b = "x;y"; rest                      -> SELECT a FROM t WHERE b = "x;y"
SELECT `a;b` FROM t; rest                                  -> SELECT `a;b` FROM t
SELECT a FROM t WHERE b = 'it''s; fine'; rest              -> SELECT a FROM t WHERE b = 'it''s; fine'
SELECT a FROM t WHERE b = "O'Brien"; rest                  -> SELECT a FROM t WHERE b = "O'Brien"
```sql|SELECT a FROM t|```                                 -> SELECT a FROM t
```SQL|SELECT a FROM t;|```|It selects a.                  -> SELECT a FROM t
```|SELECT a FROM t|```                                    -> SELECT a FROM t
```sqlite|SELECT a FROM t|```                              -> SELECT a FROM t
```sql SELECT a FROM t```                                  -> SELECT a FROM t
Here you go:|```sql|SELECT a FROM t|```|SELECT is a word   -> SELECT a FROM t
```sql|SELECT a FROM t                                     -> SELECT a FROM t
```sql|SELECT a FROM t|```|```sql|SELECT b FROM t|```      -> SELECT a FROM t
The query is: SELECT a FROM t                              -> SELECT a FROM t
SQL: SELECT a FROM t                                       -> SELECT a FROM t
SQL query: select a from t                                 -> select a from t
Answer: SELECT a FROM t                                    -> SELECT a FROM t
Sure! Here it is:||SELECT a FROM t                         -> SELECT a FROM t
### Response:|SELECT a FROM t                              -> SELECT a FROM t
SELECT a FROM t||This returns every a.                     -> SELECT a FROM t
SELECT a FROM t|### Input:|another question                -> SELECT a FROM t
SELECT a FROM t|**Note** that a is odd                     -> SELECT a FROM t
SELECT a FROM t|Explanation: it selects a                  -> SELECT a FROM t
SELECT a FROM t|Note that a is odd                         -> SELECT a FROM t
WITH x AS (SELECT a FROM t) SELECT a FROM x                -> WITH x AS (SELECT a FROM t) SELECT a FROM x
Use this: WITH x AS (SELECT 1) SELECT * FROM x;            -> WITH x AS (SELECT 1) SELECT * FROM x
(SELECT a FROM t) UNION (SELECT b FROM u)                  -> (SELECT a FROM t) UNION (SELECT b FROM u)
VALUES (1), (2)                                            -> VALUES (1), (2)
SELECT a /* ; */ FROM t                                    -> SELECT a /* ; */ FROM t
SELECT a -- ; the first|FROM t; rest                       -> SELECT a -- ; the first|FROM t
SELECT a -- don't|FROM t; rest                             -> SELECT a -- don't|FROM t
SELECT a FROM t WHERE b = 'two  blanks'                    -> SELECT a FROM t WHERE b = 'two  blanks'
SELECT a FROM t WHERE b = 'x                               -> SELECT a FROM t WHERE b = 'x
DELETE FROM t                                              -> DELETE FROM t
With this schema, the query is: SELECT a FROM t             -> SELECT a FROM t
The values are found by SELECT a FROM t                    -> SELECT a FROM t
SELECT a FROM t|```                                        -> SELECT a FROM t
I cannot answer that.                                      -> I cannot answer that.
                                                           ->
;                                                          ->
``````                                                     ->
"""


def lines(text: str) -> list[list[str]]:
    return [[part.strip().replace("|", "\n") for part in line.split("->")] for line in text.splitlines() if line]


@pytest.mark.parametrize(("written", "sql"), lines(CASES))
def test_the_first_query_is_taken_out_of_what_surrounds_it(written: str, sql: str) -> None:
    assert extract_sql(written) == sql


@pytest.mark.parametrize("written", [written for written, sql in lines(CASES) if sql])
def test_a_query_taken_out_stays_as_it_is(written: str) -> None:
    sql = extract_sql(written)
    assert extract_sql(sql) == sql


@pytest.mark.parametrize("written", [written for written, _ in lines(CASES)])
def test_what_is_complete_holds_the_query_of_whatever_is_written_on(written: str) -> None:
    for end in range(len(written)):
        if is_complete(written[:end]):
            assert extract_sql(written[:end]) == extract_sql(written)


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
        ("", False),
    ],
)
def test_a_text_is_complete_when_its_query_has_ended(text: str, complete: bool) -> None:
    assert is_complete(text) is complete


@pytest.mark.parametrize("text", ["```" * 5000, "SELECT " * 20_000, "\n### " * 10_000, "'" * 50_001, " " * 100_000])
def test_long_rubbish_is_no_trouble(text: str) -> None:
    assert len(extract_sql(text)) <= len(text)
