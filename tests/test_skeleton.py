"""The forms of queries and questions."""

import pytest

from prompts.skeleton import LONGEST, likeness, question_skeleton, schema_names, sql_skeleton

SAME = {
    "names": ("SELECT name FROM singer WHERE age > 5", "select Title FROM book where pages > 300"),
    "aliases": ("SELECT T1.a FROM b AS T1 JOIN c AS T2 ON T1.x = T2.y", "SELECT d FROM e JOIN f g ON e.h = g.i"),
    "aliases of results": ("SELECT count(*) AS n, max(a) m FROM b", "SELECT COUNT(*), MAX(a) FROM b"),
    "aliases that are keywords": ("SELECT a AS left, b AS 'text', c FROM d", "SELECT a, b, c FROM d"),
    "columns that are keywords": ("SELECT t.order FROM t", "SELECT t.name FROM t"),
    "tables that are functions": ("SELECT a FROM cast AS t", "SELECT a FROM b"),
    "quotes of names": ('SELECT "a b", `c`, [d] FROM "e"', "SELECT a, b, c FROM d"),
    "quotes of values": ("SELECT a FROM b WHERE c = 'it''s' OR d = 7", 'SELECT a FROM b WHERE c = "it" OR d = "x y"'),
    "values between": ('SELECT a FROM b WHERE c BETWEEN "d" AND "e"', "SELECT a FROM b WHERE c BETWEEN 1 AND 2"),
    "lists of values": ("SELECT a FROM b WHERE c IN (1, 2, 3)", 'SELECT a FROM b WHERE c IN ("x")'),
    "signs of numbers": ("SELECT a FROM b WHERE c > -1.5e3", "SELECT a FROM b WHERE c > 0x1F"),
    "other signs": ("SELECT a FROM b WHERE c <> 1 AND d == 2;", "SELECT a FROM b WHERE c != 1 AND d = 2"),
    "idle words": (
        "SELECT a FROM b INNER JOIN c ON d = e ORDER BY a ASC",
        "SELECT a FROM b JOIN c ON d = e ORDER BY a",
    ),
    "blanks and comments": ("SELECT a -- b\n/* c */ FROM\t d", "SELECT a FROM b"),
    "names of subqueries": ("SELECT a FROM (SELECT a FROM b) AS c", "SELECT a FROM (SELECT a FROM b)"),
}
OTHER = {
    "one column more": ("SELECT a FROM b", "SELECT a, b FROM b"),
    "a function": ("SELECT max(a) FROM b", "SELECT min(a) FROM b"),
    "distinct": ("SELECT a FROM b", "SELECT DISTINCT a FROM b"),
    "what is counted": ("SELECT count(*) FROM b", "SELECT count(a) FROM b"),
    "a value or a column": ("SELECT a FROM b WHERE c = 1", "SELECT a FROM b WHERE c = d"),
    "the order": ("SELECT a FROM b ORDER BY a DESC", "SELECT a FROM b ORDER BY a"),
    "a difference or a sign": ("SELECT a - 1 FROM b", "SELECT a, 1 FROM b"),
    "a type": ("SELECT CAST(a AS int) FROM b", "SELECT CAST(a AS text) FROM b"),
    "kinds of joins": ("SELECT a FROM b LEFT JOIN c ON d = e", "SELECT a FROM b JOIN c ON d = e"),
}


@pytest.mark.parametrize("pair", SAME.values(), ids=SAME)
def test_queries_of_one_form_have_one_skeleton(pair: tuple[str, str]) -> None:
    assert sql_skeleton(pair[0]) == sql_skeleton(pair[1])


@pytest.mark.parametrize("pair", OTHER.values(), ids=OTHER)
def test_queries_of_other_forms_have_other_skeletons(pair: tuple[str, str]) -> None:
    assert sql_skeleton(pair[0]) != sql_skeleton(pair[1])


def test_a_skeleton_keeps_the_words_of_sql() -> None:
    query = (
        "WITH x AS (SELECT 1) SELECT T1.name, count(*) FROM Singer AS T1 WHERE T1.age > 5 AND T1.id NOT IN "
        "(SELECT id FROM band) GROUP BY T1.name HAVING avg(T1.age) < 3 ORDER BY count(*) DESC LIMIT 3"
    )
    assert sql_skeleton(query) == (
        "WITH _ AS ( SELECT ? ) SELECT _ , COUNT ( * ) FROM _ WHERE _ > ? AND _ NOT IN "
        "( SELECT _ FROM _ ) GROUP BY _ HAVING AVG ( _ ) < ? ORDER BY COUNT ( * ) DESC LIMIT ?"
    )


def test_the_skeleton_of_a_skeleton_of_names_is_itself() -> None:
    skeleton = sql_skeleton("SELECT a, max(b) FROM c JOIN d ON e = f GROUP BY g")
    assert sql_skeleton(skeleton) == skeleton


@pytest.mark.parametrize(
    "query", ["", ";", "no query at all (", "SELECT 'open", 'SELECT "open', "/* open", ")))", "\x00"]
)
def test_what_cannot_be_parsed_has_a_skeleton_too(query: str) -> None:
    assert sql_skeleton(query) == sql_skeleton(query + " ")


@pytest.mark.parametrize("piece", ["[", "'", "'a ", '"', "/*", "(", "a.", "- ", "1,", "“", "`", "\x00", ", "])
def test_hostile_texts_are_cut(piece: str) -> None:
    text = piece * 500_000
    assert len(sql_skeleton(text)) <= 2 * LONGEST
    assert len(question_skeleton(text, ["a_b"])) <= 2 * LONGEST


def test_likeness_is_one_of_the_same_and_grows_with_what_is_shared() -> None:
    asked, near, far = map(
        sql_skeleton,
        ["SELECT a FROM b WHERE c > 1", "SELECT a FROM b WHERE c > 1 AND d = 2", "SELECT count(*) FROM b GROUP BY a"],
    )
    assert likeness(asked, asked) == likeness("", "") == 1
    assert 0 < likeness(asked, far) < likeness(asked, near) < 1
    assert likeness(asked, near) == likeness(near, asked)
    assert likeness("", asked) == 0


def test_likeness_counts_how_often_a_word_is_there() -> None:
    one, two, three = ("SELECT _ " + ", _ " * more + "FROM _" for more in (1, 2, 3))
    assert likeness(one, three) < likeness(one, two) < 1


NAMES = ["head_ID", "Home Town", "birthCity", "Number_of_pets", "companies"]


@pytest.mark.parametrize(
    ("question", "skeleton"),
    [
        ("How many heads are there?", "how many _ are there ?"),
        ("What is the home town of each HEAD?", "what is the _ of each _ ?"),
        ("List the birth cities and towns of a company.", "list the _ and _ of a _ ."),
        ("What is the number of cats?", "what is the number of cats ?"),
        ("Which pets' heads are older than 1,000.5 or 3rd?", "which _ ' _ are older than # or # ?"),
        ("Who is called 'Ann Lee' or \"Bo\" and isn't old?", "who is called # or # and isn't old ?"),
        ("Whose head is Anna Lee from New York? Show it.", "whose _ is # from # ? show it ."),
        ("", ""),
    ],
)
def test_a_question_is_masked_where_it_names_the_schema_or_a_value(question: str, skeleton: str) -> None:
    assert question_skeleton(question, NAMES) == skeleton


def test_two_questions_of_one_form_over_different_schemas_are_masked_alike() -> None:
    masked = question_skeleton("How many singers are older than 30?", ["singer", "age"])
    assert masked == question_skeleton("How many trains are older than 7?", ["train_id", "trains"])


@pytest.mark.parametrize(
    ("context", "names"),
    [
        (
            "There are tables such as head, T 2\n"
            "Table head contains columns such as head_ID: int, name, head_ID is primary key\n"
            'Table "T 2" contains columns such as "%_a": real, "b, ""c""": text, ("%_a","d") is primary key\n'
            "The head_ID of head is foreign key of e of f",
            {"head", "head_ID", "name", "T 2", "%_a", 'b, "c"'},
        ),
        ("-", set()),
    ],
    ids=["sentences", "neither"],
)
def test_names_are_read_from_the_context(context: str, names: set[str]) -> None:
    assert schema_names(context) == names
