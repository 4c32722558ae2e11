"""Spider's four classes of hardness, as the official evaluator counts them."""

import pytest

from eval.hardness import HARDNESS
from eval.reading import hardness

CASES = """
easy    | SELECT name FROM singer
easy    | SELECT count(*) FROM singer
easy    | SELECT name FROM singer WHERE age > 20
easy    | SELECT name FROM singer ORDER BY age
easy    | SELECT name FROM singer LIMIT 3
easy    | SELECT max(age) FROM singer GROUP BY country
easy    | SELECT T1.name FROM a AS T1 JOIN b AS T2 ON T1.id = T2.id
easy    | SELECT name FROM singer WHERE age IN (1, 2)
easy    | SELECT name FROM singer WHERE age BETWEEN 1 AND 2
easy    | SELECT country FROM singer GROUP BY country HAVING count(*) > 2
easy    | SELECT count(*) FROM (SELECT name FROM singer WHERE age > 3)
easy    | SELECT name FROM singer WHERE age NOT IN (1, 2)
easy    | SELECT name FROM singer WHERE age IS NULL
easy    | SELECT name FROM singer WHERE age IS NOT NULL
easy    | SELECT "name" FROM singer AS s;
easy    | SELECT max(age) FROM singer WHERE country IS NOT NULL
medium  | SELECT max(age) FROM singer WHERE country NOT IN ('x', 'y')
medium  | SELECT name FROM singer WHERE age IS NOT NULL AND country IS NOT NULL ORDER BY age
extra   | SELECT name FROM singer WHERE age NOT IN (1, 2) AND id NOT BETWEEN 1 AND 2 ORDER BY age
medium  | SELECT name, age FROM singer
medium  | SELECT max(age), min(age) FROM singer
medium  | SELECT name FROM singer WHERE name LIKE '%a%'
medium  | SELECT name FROM singer WHERE name NOT LIKE '%a%'
medium  | SELECT name FROM singer WHERE age = 1 OR age = 2
medium  | SELECT name FROM singer WHERE age = 1 AND country = 'x'
medium  | SELECT name FROM singer WHERE NOT age = 1 AND NOT country = 'x'
medium  | SELECT name FROM singer WHERE age IS NOT NULL AND country IS NOT NULL
medium  | SELECT name FROM singer ORDER BY age DESC LIMIT 1
medium  | SELECT country, count(*) FROM singer GROUP BY country
medium  | SELECT T2.name FROM a AS T1 JOIN b AS T2 ON T1.id = T2.id WHERE T1.x = 1
medium  | SELECT name FROM a LEFT JOIN b ON a.id = b.id WHERE b.id IS NULL
medium  | SELECT country FROM singer GROUP BY country HAVING count(*) > 1 AND max(age) > 2 AND min(age) > 1
medium  | SELECT name, max(age), min(age) FROM singer GROUP BY name
hard    | SELECT country FROM singer GROUP BY country ORDER BY count(*) DESC LIMIT 1
hard    | SELECT name FROM singer WHERE age > (SELECT avg(age) FROM singer)
hard    | SELECT name FROM singer WHERE id IN (SELECT id FROM concert)
hard    | SELECT name FROM singer WHERE id NOT IN (SELECT id FROM concert)
hard    | SELECT name FROM singer UNION SELECT name FROM stadium
hard    | SELECT name FROM singer WHERE age > 1 INTERSECT SELECT name FROM singer WHERE age < 9 ORDER BY name
hard    | SELECT max(age), avg(age), name FROM singer WHERE age > 1 AND country = 'x'
hard    | SELECT max(age), min(age) FROM singer WHERE age > 1 AND country = 'x' ORDER BY name
hard    | SELECT name FROM a JOIN b ON a.x = b.x JOIN c ON b.y = c.y WHERE c.z = 1
hard    | SELECT name FROM singer WHERE a = 1 OR b = 2 OR c = 3
extra   | SELECT name, age FROM singer WHERE id IN (SELECT id FROM concert)
extra   | SELECT name FROM singer WHERE id IN (SELECT id FROM a) AND age IN (SELECT age FROM b)
extra   | SELECT name FROM singer WHERE id IN (SELECT id FROM a) UNION SELECT name FROM b
extra   | SELECT name FROM singer WHERE id IN (SELECT id FROM a) ORDER BY age LIMIT 1
extra   | SELECT a FROM x JOIN y ON x.i = y.i WHERE x.p = 1 OR x.q LIKE 'r' ORDER BY a
extra   | SELECT a, count(*) FROM x JOIN y ON x.i = y.i GROUP BY a ORDER BY count(*) DESC LIMIT 1
unknown | SELEC name FRO singer
unknown | DROP TABLE singer
unknown | SELECT name FROM (
unknown |
"""


@pytest.mark.parametrize(
    ("expected", "sql"), [[part.strip() for part in line.split("|", 1)] for line in CASES.strip().splitlines()]
)
def test_a_query_has_its_class(expected: str, sql: str) -> None:
    assert hardness(sql) == expected


def test_the_spelling_does_not_matter() -> None:
    query = "SELECT T1.name FROM a AS T1 JOIN b AS T2 ON T1.id = T2.id WHERE T1.x = 1 OR T2.y LIKE 'z'"
    spellings = [query, query.lower(), query.replace(" ", "\n "), query + ";", query.replace("JOIN", "INNER JOIN")]
    assert {hardness(spelling) for spelling in spellings} == {"extra"}


def test_every_class_is_named_from_easy_to_unknown() -> None:
    assert HARDNESS == ("easy", "medium", "hard", "extra", "unknown")


@pytest.mark.parametrize("depth", [20, 2000])
def test_deep_nesting_is_no_crash(depth: int) -> None:
    assert hardness("SELECT a FROM t WHERE b = " + "(" * depth + "1" + ")" * depth) in ("easy", "unknown")
