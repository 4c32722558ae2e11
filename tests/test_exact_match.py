"""Exact set match: the narrow grammar with its oddities, all of SQL beside it, and the comparison.

One case a line. Every verdict of the narrow grammar was checked against the official evaluator's own.
"""

import pytest

from data.schema import Column, ForeignKey, KeyPairs, Schema, Table, key_pairs
from eval import semantic, spider_sql
from eval.exact_match import COMPONENTS, match
from eval.features import features
from eval.query import Names, ParseError
from eval.reading import Reader
from eval.spider_tokens import tokenize


def table(name: str, columns: str, *keys: ForeignKey) -> Table:
    return Table(name, tuple(Column(column, "") for column in columns.split()), (), keys)


SCHEMA = Schema(
    "shows",
    (
        table("singer", "singer_id Name Age Country"),
        table("concert", "concert_id Title Year"),
        table(
            "singer_in_concert",
            "concert_id singer_id",
            ForeignKey("concert_id", "concert", "concert_id"),
            ForeignKey("singer_id", "singer", "singer_id"),
        ),
    ),
)
NAMES = Names(SCHEMA)
JOINED = "singer AS T1 JOIN singer_in_concert AS T2 ON T1.singer_id = T2.singer_id"

# What the official grammar reads.
PARSED = [
    "select NAME from SINGER",
    "SELECT name,age FROM singer;",
    "SELECT s.name FROM singer AS s",
    "SELECT count(*) FROM singer WHERE age >20",  # the only operator that may stick to its value
    "SELECT name FROM singer WHERE age > = 20",
    "SELECT name FROM singer WHERE age ! = 20",
    "SELECT name FROM singer WHERE age > -1",
    "SELECT name FROM singer WHERE age IN (20)",
    "SELECT name FROM singer WHERE age > singer_id",
    "SELECT name FROM singer WHERE age BETWEEN 1 AND 3 OR name LIKE 'x'",
    "SELECT name FROM singer WHERE age > (SELECT avg(age) FROM singer)",
    "SELECT age - singer_id FROM singer",
    "SELECT max(age - singer_id) FROM singer",
    "SELECT name FROM singer ORDER BY age LIMIT 3.",
    "SELECT name FROM singer LIMIT 5 OFFSET 2",
    "SELECT name FROM singer WHERE age > 1 ) and whatever follows",
    "SELECT count(*) FROM (SELECT name FROM singer)",
    f"SELECT T1.name FROM {JOINED} OR T1.age = 3",
    "(SELECT name FROM singer) UNION (SELECT title FROM concert)",
]
# What it refuses, whatever SQLite thinks.
REFUSED = [
    "",
    ";",
    "SELECT 1",
    "SELECT name AS n FROM singer",
    "SELECT name FROM singer s",
    "SELECT name FROM singer AS concert",
    "SELECT name FROM singer AS",
    "SELECT T1.name FROM singer AS T1 INNER JOIN singer_in_concert AS T2 ON T1.singer_id = T2.singer_id",
    "SELECT T1.name FROM singer AS T1 LEFT JOIN concert AS T2",
    "SELECT T1.name FROM singer AS T1 , concert AS T2",
    "SELECT name FROM singer WHERE age=20",
    "SELECT name FROM singer WHERE age >=20",
    "SELECT name FROM singer WHERE age <> 20",
    "SELECT name FROM singer WHERE age IN (20, 21)",
    "SELECT name FROM singer WHERE age IS NULL",
    "SELECT name FROM singer WHERE NOT age = 3",
    "SELECT name FROM singer WHERE EXISTS (SELECT 1 FROM concert)",
    "SELECT name FROM singer WHERE (age = 1 OR age = 2) AND name = 'x'",
    "SELECT name FROM singer WHERE name = 'O''Brien",
    "SELECT name FROM singer WHERE name = 'O''Brien'",
    "SELECT name FROM singer WHERE age > 1 age < 3 AND name = 'x'",
    "SELECT name FROM singer WHERE name = \"it's\" OR name = 'x'",
    "SELECT CASE WHEN age > 1 THEN 1 ELSE 0 END FROM singer",
    "SELECT CAST(age AS INT) FROM singer",
    "SELECT max(age) - min(age) FROM singer",
    "SELECT T1.* FROM singer AS T1",
    "SELECT `name` FROM singer",
    'SELECT "name" FROM singer',
    "SELECT nope FROM singer",
    "SELECT name FROM nope",
    "SELECT name FROM singer LIMIT",
    "SELECT name FROM singer UNION ALL SELECT title FROM concert",
    "WITH a AS (SELECT name FROM singer) SELECT name FROM a",
    "DELETE FROM singer",
    "SELECT " + "(" * 5000,
    "SELECT name FROM singer WHERE age IN " + "(SELECT age FROM singer WHERE age IN " * 2000,
]


@pytest.mark.parametrize("sql", PARSED)
def test_the_narrow_grammar_reads_it(sql: str) -> None:
    assert spider_sql.parse(sql, NAMES).query.select


@pytest.mark.parametrize("sql", REFUSED, ids=[sql[:60] for sql in REFUSED])
def test_the_narrow_grammar_refuses_it(sql: str) -> None:
    with pytest.raises(ParseError):
        spider_sql.parse(sql, NAMES)


@pytest.mark.parametrize(
    ("sql", "tokens"),
    [
        ("SELECT a,b FROM t;", "select a , b from t ;"),
        ("a>= 3 AND b! = 4", "a >= 3 and b != 4"),
        ("a>=3 b=4", "a > =3 b=4"),
        ("count(*)*2", "count ( * ) * 2"),
        ("x = 'A, b'", 'x = "A, b"'),
        ('x="A" y = "B""C"', "x=__val_0__ y = __val_1____val_2__"),
        ("LIMIT 1,2", "limit 1,2"),
        ("LIMIT 5.", "limit 5 ."),
        ("cannot [x] a--b", "can not [ x ] a -- b"),
        ("T1.a%2 `q`", "t1.a % 2 ` q `"),
    ],
)
def test_words_are_split_as_the_official_tokenizer_splits_them(sql: str, tokens: str) -> None:
    assert " ".join(tokenize(sql)) == tokens


# gold, predicted, exact match by the narrow grammar, by all of SQL
MATCHES = [
    ("SELECT name FROM singer", "SELECT s.Name FROM singer AS s ;", 1, 1),
    ("SELECT name , age FROM singer", "SELECT age, name FROM singer", 1, 1),
    ("SELECT name FROM singer", "SELECT name, name FROM singer", 0, 0),
    ("SELECT count(*) FROM singer", "SELECT count(singer_id) FROM singer", 0, 0),
    ("SELECT DISTINCT name FROM singer", "SELECT name FROM singer", 1, 1),
    ("SELECT count(DISTINCT name) FROM singer", "SELECT count(name) FROM singer", 1, 1),
    ("SELECT name FROM singer WHERE age > 3", "SELECT name FROM singer WHERE age > 99", 1, 1),
    ("SELECT name FROM singer WHERE age > 3", "SELECT name FROM singer WHERE age > singer_id", 1, 1),
    ("SELECT name FROM singer WHERE age > 3", "SELECT name FROM singer WHERE age >= 3", 0, 0),
    ("SELECT name FROM singer WHERE age = 20", "SELECT name FROM singer WHERE age=20", 0, 1),
    ("SELECT name FROM singer WHERE age = 20", "SELECT name FROM singer WHERE 20 = age", 0, 1),
    ("SELECT name FROM singer WHERE age > 20", "SELECT name FROM singer WHERE 20 < age", 0, 1),
    ("SELECT name FROM singer WHERE age != 20", "SELECT name FROM singer WHERE age <> 20", 0, 1),
    ("SELECT name FROM singer WHERE age != 20", "SELECT name FROM singer WHERE NOT age = 20", 0, 1),
    ("SELECT name FROM singer WHERE name LIKE 'a'", "SELECT name FROM singer WHERE name NOT LIKE 'a'", 0, 0),
    ("SELECT name FROM singer WHERE age = 1 AND name = 'x'", "SELECT name FROM singer WHERE name = 'y' AND age = 2", 1, 1),
    ("SELECT name FROM singer WHERE age = 1 AND name = 'x'", "SELECT name FROM singer WHERE age = 1 OR name = 'x'", 0, 0),
    ("SELECT name FROM singer WHERE age = 1 OR name = 'x'", "SELECT name FROM singer WHERE (age = 1 OR name = 'x')", 0, 1),
    ("SELECT name FROM singer ORDER BY age LIMIT 3", "SELECT name FROM singer ORDER BY age LIMIT 1", 1, 1),
    ("SELECT name FROM singer ORDER BY age LIMIT 3", "SELECT name FROM singer ORDER BY age", 0, 0),
    ("SELECT name FROM singer ORDER BY age", "SELECT name FROM singer ORDER BY age DESC", 0, 0),
    ("SELECT name FROM singer ORDER BY age DESC , name ASC", "SELECT name FROM singer ORDER BY age , name", 1, 1),
    ("SELECT count(*) FROM singer GROUP BY country", "SELECT count(*) FROM singer GROUP BY name", 0, 0),
    ("SELECT name FROM singer GROUP BY name HAVING count(*) > 1", "SELECT name FROM singer GROUP BY name HAVING count(*) > 9", 1, 1),
    ("SELECT name FROM singer GROUP BY name HAVING count(*) > 1", "SELECT name FROM singer GROUP BY name", 0, 0),
    (f"SELECT T1.singer_id FROM {JOINED}", f"SELECT T2.singer_id FROM {JOINED}", 1, 1),  # one foreign key
    (f"SELECT T1.name FROM {JOINED}", "SELECT T1.name FROM singer AS T1 JOIN singer_in_concert AS T2 ON T1.age = T2.concert_id", 1, 1),
    (f"SELECT T1.name FROM {JOINED}", "SELECT T1.name FROM singer T1 INNER JOIN singer_in_concert T2 USING (singer_id)", 0, 1),
    (f"SELECT T1.name FROM {JOINED}", "SELECT T1.name FROM singer AS T1 , singer_in_concert AS T2 WHERE T1.singer_id = T2.singer_id", 0, 1),
    (f"SELECT T1.name FROM {JOINED} WHERE T1.age = 1", "SELECT name FROM singer a, singer_in_concert b WHERE a.singer_id=b.singer_id AND age=2", 0, 1),
    (f"SELECT T1.name FROM {JOINED}", "SELECT T1.name FROM singer T1 LEFT JOIN singer_in_concert T2 ON T1.singer_id = T2.singer_id", 0, 0),
    (f"SELECT T1.name FROM {JOINED}", "SELECT name FROM singer", 0, 0),
    ("SELECT name FROM singer WHERE singer_id IN (SELECT singer_id FROM singer_in_concert)",
     "SELECT name FROM singer WHERE singer_id IN (SELECT DISTINCT singer_id FROM singer_in_concert)", 0, 0),  # compared deeply
    ("SELECT name FROM singer WHERE singer_id IN (SELECT singer_id FROM singer_in_concert WHERE concert_id = 1)",
     "SELECT name FROM singer WHERE singer_id IN (SELECT singer_id FROM singer_in_concert WHERE concert_id = 2)", 1, 1),
    ("SELECT count(*) FROM (SELECT name FROM singer WHERE age > 3)", "SELECT count(*) FROM (SELECT name FROM singer WHERE age > 4)", 0, 0),
    ("SELECT name FROM singer UNION SELECT title FROM concert", "SELECT name FROM singer UNION SELECT title FROM concert", 1, 1),
    ("SELECT name FROM singer UNION SELECT title FROM concert", "SELECT title FROM concert UNION SELECT name FROM singer", 0, 0),
    ("SELECT name FROM singer UNION SELECT title FROM concert", "SELECT name FROM singer EXCEPT SELECT title FROM concert", 0, 0),
    ("SELECT name FROM singer UNION SELECT title FROM concert", "SELECT name FROM singer UNION ALL SELECT title FROM concert", 0, 0),
    ("SELECT name FROM singer WHERE age > 1", "SELECT name FROM singer WHERE age > 1 ) foo", 1, 0),  # no SQL at all
    ("SELECT country FROM singer GROUP BY country ORDER BY count(*) DESC", "SELECT country, count(*) AS n FROM singer GROUP BY 1 ORDER BY n DESC", 0, 0),
    ("SELECT country , count(*) FROM singer GROUP BY country ORDER BY count(*) DESC", "SELECT country, count(*) AS n FROM singer GROUP BY 1 ORDER BY n DESC", 0, 1),
    ("SELECT name FROM singer", "SELECT `name` FROM \"singer\"", 0, 1),
    ("SELECT name FROM singer WHERE name = 'x'", 'SELECT name FROM singer WHERE name="x"', 0, 1),
    ("SELECT count(*) FROM (SELECT name FROM singer)", "WITH a AS (SELECT name FROM singer) SELECT count(*) FROM a", 0, 1),
    ("SELECT name FROM singer", "SELECT n.name FROM (SELECT name FROM singer) AS n", 0, 0),
    ("SELECT name FROM singer WHERE age = 1", "SELECT name FROM singer WHERE age IS NULL", 0, 0),
    ("SELECT max(age) FROM singer", "SELECT CASE WHEN age > 1 THEN 1 END FROM singer", 0, 0),
]  # fmt: skip


@pytest.mark.parametrize(("gold", "predicted", "narrow", "full"), MATCHES)
def test_two_queries_match_or_not(gold: str, predicted: str, narrow: int, full: int) -> None:
    found = Reader().read(gold, predicted, NAMES)
    assert (int(found.em), int(found.em_semantic)) == (narrow, full)
    # Which parser is asked makes no difference to the second.
    try:
        exact = match(semantic.parse(gold, NAMES), semantic.parse(predicted, NAMES), NAMES).exact
    except ParseError:
        exact = False
    assert int(exact) == full


@pytest.mark.parametrize("sql", sorted({gold for gold, *_ in MATCHES} | set(PARSED[:12])))
def test_a_query_matches_itself_in_every_component(sql: str) -> None:
    queries = [spider_sql.parse(sql, NAMES).query]
    if "> =" not in sql and "! =" not in sql:  # the evaluator joins these before it runs a query
        queries.append(semantic.parse(sql, NAMES))
    for query in queries:
        found = match(query, query, NAMES)
        assert found.exact
        assert all(part.agrees and part.predicted == part.gold for part in found.components.values())


def test_a_prediction_that_cannot_be_parsed_has_no_component() -> None:
    found = match(spider_sql.parse("SELECT name FROM singer WHERE age > 1", NAMES).query, None, NAMES)
    assert not found.exact
    assert tuple(found.components) == COMPONENTS
    assert [name for name, part in found.components.items() if part.gold] == [
        "select", "select(no AGG)", "where", "where(no OP)", "and/or", "keywords",
    ]  # fmt: skip
    assert not found.components["where"].agrees
    assert found.components["order"].agrees


def test_a_foreign_key_joins_the_first_group_that_holds_an_end() -> None:
    columns = ("a.x", "b.x", "c.x", "d.x")
    # (c, d) is a group of its own by the time (b, c) comes; b is in the first, and groups never merge.
    keys = KeyPairs(columns, ((1, 0), (3, 2), (2, 1)))
    assert Names(SCHEMA, keys).representative == {"a.x": "a.x", "b.x": "a.x", "c.x": "c.x", "d.x": "c.x"}


def test_foreign_keys_of_a_schema_point_to_columns_that_exist() -> None:
    broken = Schema("x", (table("child", "id", ForeignKey("id", "gone", "id"), ForeignKey("nope", "child", "id")),))
    assert key_pairs(broken) == KeyPairs(("child.id",), ())
    assert key_pairs(SCHEMA).pairs == ((7, 4), (8, 0))


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 1 FROM singer, (concert JOIN singer_in_concert ON 1 = 1)",
        "SELECT sum(age) OVER (ORDER BY name), group_concat(name, '-'), -age, name || 'x', age % 2 FROM singer",
        "SELECT * FROM singer NATURAL JOIN singer_in_concert WHERE (1, 2) IN (SELECT 1, 2) AND NOT EXISTS (SELECT 1)",
        "SELECT name FROM singer WHERE age IS NOT NULL AND name LIKE 'x' ESCAPE '!' AND age NOT BETWEEN 1 AND 2",
        "VALUES (1)",
        "PRAGMA table_info(singer)",
        "DELETE FROM singer RETURNING name",
        "SELECT " + ", ".join(["1"] * 20_000),
        "SELECT " + "(" * 4000 + "1" + ")" * 4000,
        "SELECT 1" + " + 1" * 2400,
        "SELECT name FROM singer WHERE age = 1e400",
        "SELECT FROM WHERE",
        "\x00",
        "",
    ],
    ids=lambda sql: ascii(sql)[1:50],
)
def test_no_sql_breaks_the_full_parser(sql: str) -> None:
    try:
        query = semantic.parse(sql, NAMES)
    except ParseError:
        return
    assert match(query, query, NAMES).exact
    features(query)


@pytest.mark.parametrize(
    ("sql", "found", "tables"),
    [
        ("SELECT name FROM singer", (), 1),
        (f"SELECT DISTINCT T1.name FROM {JOINED} ORDER BY T1.age LIMIT 1", ("join", "order", "limit", "distinct"), 2),
        ("SELECT country, count(*) FROM singer WHERE name LIKE 'x' OR age = 1 GROUP BY country", ("group", "aggregate", "like", "or"), 1),
        ("SELECT name FROM singer WHERE age > (SELECT avg(age) FROM concert)", ("nested", "aggregate"), 2),
        ("SELECT name FROM singer UNION SELECT title FROM concert", ("set operation",), 2),
        ("SELECT count(*) FROM (SELECT DISTINCT name FROM singer)", ("nested", "distinct", "aggregate"), 1),
    ],
)  # fmt: skip
def test_features_are_found_anywhere_in_a_query(sql: str, found: tuple[str, ...], tables: int) -> None:
    assert features(semantic.parse(sql, NAMES)) == (found, tables)


@pytest.mark.parametrize(
    ("sql", "whole"),
    [
        ("SELECT name, age FROM singer WHERE age > 3 ;", True),
        ("SELECT name FROM singer WHERE age > (SELECT avg(age) FROM singer)", True),
        ("SELECT name FROM singer WHERE age > 1 ) foo", False),
        ("SELECT name age FROM singer", False),
        ("SELECT name , from concert FROM singer", False),
        ("SELECT singer.name FROM singer concert", False),
        (f"SELECT T1.name FROM {JOINED} OR T1.age = 3", False),
        ("SELECT name FROM singer LIMIT 5 OFFSET 2", False),
    ],
)
def test_the_narrow_grammar_knows_what_it_passed_over(sql: str, whole: bool) -> None:
    try:
        assert spider_sql.parse(sql, NAMES).whole is whole
    except ParseError:
        assert not whole
