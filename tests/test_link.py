"""Schema linking: what is ranked first, what is shown, what the shipped trees were fitted on."""

import json
import random
import string
import tracemalloc
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest

from data import embedded
from data.schema import Column, ForeignKey, Schema, Table, read_sqlite
from data.spider import database_path, read_split
from prompts.clues import COLUMN_CLUES, TABLE_CLUES
from prompts.context import used_columns
from prompts.link import Linker, Ranking, Trees
from prompts.recall import Recall
from prompts.values import Mention, index_apart, open_index
from prompts.words import name_words, stem, synonyms


def table(name: str, columns: str, *keys: ForeignKey) -> Table:
    kinds = [part.partition(":") for part in columns.split()]
    return Table(name, tuple(Column(one, kind or "text") for one, _, kind in kinds), (kinds[0][0],), keys)


SCHOOL = Schema(
    "school",
    (
        table("Student", "student_id:int first_name last_name age:int home_town"),
        table(
            "Enrolment",
            "enrolment_id:int student_id:int course_id:int grade",
            ForeignKey("student_id", "Student", "student_id"),
            ForeignKey("course_id", "Course", "course_id"),
        ),
        table("Course", "course_id:int title teacher_id:int", ForeignKey("teacher_id", "Teacher", "teacher_id")),
        table("Teacher", "teacher_id:int fullName salary:real"),
        table("Cafeteria", "meal_id:int menu price:real"),
    ),
)


def shown(question: str, mentions: list[Mention] | None = None, top: int | None = None) -> dict[str, set[str]]:
    linker = Linker(SCHOOL)
    return linker.pick(linker.rank(question, mentions or []), top)


def test_what_the_question_names_comes_first() -> None:
    ranking = Linker(SCHOOL).rank("What is the home town of each student?")
    assert next(iter(ranking.tables)) == "Student"
    assert next(iter(ranking.columns)) == ("Student", "home_town")


def test_other_words_for_a_column_find_it() -> None:
    assert "age" in shown("Who is the oldest student?")["Student"]
    assert "salary" in shown("Which teacher earns the most?")["Teacher"]


def test_a_mentioned_value_finds_its_column() -> None:
    asked = "How many come from Utrecht?"
    there = [Mention("Student", "home_town", "Utrecht", 1.0)]
    linker = Linker(SCHOOL)
    place = ("Student", "home_town")
    assert linker.rank(asked, there).columns[place] > linker.rank(asked).columns[place]
    assert "home_town" in shown(asked, there)["Student"]


def test_tables_between_and_their_keys_are_shown() -> None:
    ranking = Ranking({"Student": 0.9, "Course": 0.8, "Enrolment": 0.01, "Teacher": 0.0, "Cafeteria": 0.0}, {})
    picked = Linker(SCHOOL).close(ranking, ["Student", "Course"], [("Course", "title")])
    assert picked == {
        "Student": {"student_id"},
        "Enrolment": {"student_id", "course_id"},
        "Course": {"course_id", "title"},
    }


def test_tables_that_nothing_joins_are_both_shown() -> None:
    ranking = Linker(SCHOOL).rank("students and the cafeteria")
    assert set(Linker(SCHOOL).close(ranking, ["Cafeteria", "Student"], [])) == {"Cafeteria", "Student"}


def test_every_table_shown_has_a_column_and_something_is_always_shown() -> None:
    for question in ("", "zzz", "Student", "?" * 500):
        picked = shown(question)
        assert picked and all(picked.values())
        assert SCHOOL.subset(picked).tables


def test_top_bounds_the_columns_besides_keys() -> None:
    wide = shown("first name, last name, age, home town and grade of students")
    narrow = shown("first name, last name, age, home town and grade of students", top=2)
    assert sum(map(len, narrow.values())) < sum(map(len, wide.values()))


def test_top_counts_only_columns_of_tables_that_are_shown() -> None:
    ranking = Ranking(dict.fromkeys(["Student", "Course"], 0.5), {})
    columns = [("Cafeteria", "menu"), ("Cafeteria", "price"), ("Student", "age")]
    assert Linker(SCHOOL).close(ranking, ["Student"], columns, top=1) == {"Student": {"age"}}


def test_a_wide_schema_takes_little_memory() -> None:
    """A thousand tables of twenty columns, no two names alike."""
    tables = [table(f"t{chr(97 + n % 26)}x{n}", " ".join(f"c{n}q{m}z" for m in range(20))) for n in range(1000)]
    tracemalloc.start()
    linker = Linker(Schema("wide", tuple(tables)))
    linker.rank("What is c12q3z of tkx10 with anything else?")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 200e6


def test_keys_that_point_nowhere_do_no_harm() -> None:
    odd = Schema("odd", (table("a", "x:int b_id:int", ForeignKey("b_id", "gone", "id"), ForeignKey("nix", "a", "x")),))
    linker = Linker(odd)
    assert set(linker.pick(linker.rank("the x of a"))) == {"a"}


def test_meanings_find_a_column_whose_name_says_nothing() -> None:
    columns = (Column("id", "int"), Column("q17", "int", meaning="wingspan in metres"), Column("q18", "int"))
    linker = Linker(Schema("birds", (Table("bird", columns, ("id",), ()),)))
    chances = linker.rank("Which bird has the largest wingspan?").columns
    assert chances["bird", "q17"] > chances["bird", "q18"]


def test_random_schemas_and_questions_are_survived() -> None:
    draw = random.Random(0)

    def word() -> str:
        return "".join(draw.choices(string.printable + "äß漢字", k=draw.randint(1, 9)))

    for _ in range(60):
        names = list(dict.fromkeys(word() for _ in range(draw.randint(1, 8))))
        tables = [
            Table(name, tuple(Column(word() + str(n), word()) for n in range(draw.randint(1, 6))), (), ())
            for name in names
        ]
        linker = Linker(Schema("any", tuple(tables)))
        picked = linker.pick(linker.rank(" ".join(word() for _ in range(draw.randint(0, 30)))))
        assert set(picked) <= set(names)


def test_the_shipped_trees_were_fitted_on_these_clues() -> None:
    content = json.loads((files("prompts") / "linker.json").read_text(encoding="utf-8"))
    assert content["table_clues"] == list(TABLE_CLUES)
    assert content["column_clues"] == list(COLUMN_CLUES)
    of_tables, of_columns = Linker(SCHOOL).clues("any student?")
    assert of_tables.shape == (5, len(TABLE_CLUES))
    assert of_columns.shape == (18, len(COLUMN_CLUES) + len(TABLE_CLUES))


def test_trees_follow_each_node_to_a_leaf() -> None:
    # One tree: the first clue up to 0.5 says -1; above it, the second clue up to 2 says 1, else 3.
    trees = Trees(
        {
            "feature": [[0, 0, 1, 0, 0]],
            "threshold": [[0.5, 0, 2, 0, 0]],
            "left": [[1, 1, 3, 3, 4]],
            "right": [[2, 1, 4, 3, 4]],
            "value": [[0, -1, 0, 1, 3]],
            "base": 0.5,
            "depth": 2,
        }
    )
    odds = [0.5 - 1, 0.5 + 1, 0.5 + 3]
    got = trees.predict(np.array([[0.5, 9], [0.6, 2], [0.6, 2.1]]))
    assert got == pytest.approx([1 / (1 + np.exp(-odd)) for odd in odds])


def test_recall_counts_what_is_found_and_what_is_found_whole() -> None:
    recall = Recall()
    ranking = Ranking({"a": 0.9, "b": 0.1}, {("a", "x"): 0.9, ("b", "y"): 0.5, ("a", "z"): 0.1})
    recall.add({"a": {"x"}, "b": {"y"}}, ranking, {"a": {"x"}})
    recall.add({"a": {"x"}}, ranking, {"a": {"x"}})
    summary = recall.summary()
    assert summary["tables"]["at"]["1"] == {"recall": 0.6667, "all": 0.5}
    assert summary["tables"]["at"]["shown"] == {"recall": 0.6667, "all": 0.5}
    assert summary["columns"]["at"]["5"] == {"recall": 1.0, "all": 1.0}
    assert summary["columns"]["share_shown"] == 0.3333


def test_most_of_what_the_sample_s_golds_use_is_found(tmp_path: Path) -> None:
    """The sample was no part of the fit: three quarters would be a broken linker."""
    embedded.build(tmp_path)
    recall = Recall()
    for split in ("train", "dev"):
        for question in read_split(tmp_path, split):
            path = database_path(tmp_path, split, question.db_id)
            schema = read_sqlite(path)
            linker = Linker(schema)
            mentions = open_index(path, schema, index_apart(path, tmp_path)).mentions(question.question)
            ranking = linker.rank(question.question, mentions)
            recall.add(used_columns(schema, question.query, stars=False), ranking, linker.pick(ranking))
    summary = recall.summary()
    assert summary["tables"]["at"]["shown"]["recall"] > 0.95
    assert summary["columns"]["at"]["shown"]["recall"] > 0.9
    assert summary["columns"]["share_shown"] < 0.6


def test_names_fall_into_words() -> None:
    assert name_words("HomeTown") == name_words("home_town") == name_words("home town") == ["home", "town"]
    assert name_words("IDNumber2") == ["id", "number", "2"]
    assert stem("singers") == stem("singer")


def test_the_synonyms_are_read_whole() -> None:
    assert stem("heaviest") in synonyms()[stem("weight")]
    assert stem("paid") in synonyms()[stem("salary")] and stem("paid") in synonyms()[stem("cost")]
