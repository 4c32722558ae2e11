"""Published layouts, as their archives unpack: what is found, what is missing, what fits none."""

import json
import sqlite3
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from conftest import small_spider

from data.errors import UserError
from data.imports import published
from data.imports.published import LAYOUTS, read_published


def write(path: Path, content: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content, indent=1), encoding="utf-8")
    return path


def database(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE t (a)")
    return path


def refused(folder: Path, layout: str | None = None) -> str:
    with pytest.raises(UserError) as error:
        read_published(folder, layout)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_spider_is_read_from_where_its_archive_put_it(tmp_path: Path) -> None:
    root = small_spider(tmp_path)
    for layout in (None, "spider"):
        found = read_published(tmp_path, layout)
        files = {"train": "train_spider.json", "dev": "dev.json", "test": "test.json"}
        counts = {
            split: len(json.loads((root / name).read_text()))
            for split, name in files.items()
            if (root / name).is_file()
        }
        assert Counter(pair.split for pair in found.pairs) == counts
        assert "coffee" not in found.databases
        assert found.databases["shop"] == root / "database" / "shop" / "shop.sqlite"
        assert found.pairs[0].place == "train_spider.json, row 1"
        assert found.pairs[-1].place.startswith("dev.json, row ")


def bird_entry(db_id: str, place: int, **more: Any) -> dict[str, Any]:
    return {
        "question_id": place,
        "db_id": db_id,
        "question": f"Question {place}?",
        "evidence": "",
        "SQL": f"SELECT {place}",
        "difficulty": "simple",
    } | more


def bird(folder: Path) -> Path:
    """Both archives of BIRD, one database absent, one twice in folders of the same name."""
    evidence = "ratio = a / b; "
    dev = [bird_entry("financial", 0, evidence=evidence), bird_entry("toxicology", 1), bird_entry("gone", 2)]
    write(folder / "dev_20240627" / "dev.json", dev)
    write(folder / "dev_20240627" / "dev_tables.json", [])
    write(folder / "dev_20240627" / "dev_tied_append.json", dev[:1])
    databases = folder / "dev_20240627" / "dev_databases"
    database(databases / "financial" / "financial.sqlite")
    write(databases / "financial" / "database_description" / "account.csv", "original_column_name,column_name\n")
    database(databases / "toxicology" / "toxicology.sqlite")
    train = {key: value for key, value in bird_entry("movies", 3).items() if key not in ("question_id", "difficulty")}
    write(folder / "train" / "train.json", [train])
    database(folder / "train" / "train_databases" / "train_databases" / "movies" / "movies.sqlite")
    write(folder / "__MACOSX" / "dev_20240627" / "dev.json", dev)
    write(folder / "__MACOSX" / "dev_20240627" / "dev_databases" / "gone" / "gone.sqlite", "")
    return folder


def test_bird_is_read_as_it_unzips(tmp_path: Path) -> None:
    found = read_published(bird(tmp_path))
    assert [(pair.question, pair.query, pair.db_id, pair.split, pair.place) for pair in found.pairs] == [
        ("Question 3?", "SELECT 3", "movies", "train", "train/train.json, row 1"),
        ("Question 0? (ratio = a / b;)", "SELECT 0", "financial", "dev", "dev_20240627/dev.json, row 1"),
        ("Question 1?", "SELECT 1", "toxicology", "dev", "dev_20240627/dev.json, row 2"),
        ("Question 2?", "SELECT 2", "gone", "dev", "dev_20240627/dev.json, row 3"),
    ]
    databases = tmp_path / "dev_20240627" / "dev_databases"
    assert found.databases == {
        "financial": databases / "financial" / "financial.sqlite",
        "movies": tmp_path / "train" / "train_databases" / "train_databases" / "movies" / "movies.sqlite",
        "toxicology": databases / "toxicology" / "toxicology.sqlite",
    }
    assert found.descriptions == {"financial": databases / "financial" / "database_description"}
    assert found.notes == []


def test_one_split_of_bird_is_enough_and_what_is_packed_is_said(tmp_path: Path) -> None:
    write(tmp_path / "MINIDEV" / "mini_dev_sqlite.json", [bird_entry("financial", 0)])
    write(tmp_path / "MINIDEV" / "dev_databases.zip", "")
    found = read_published(tmp_path)
    assert found.databases == {}
    assert [pair.split for pair in found.pairs] == ["dev"]
    assert found.notes == [f"{tmp_path / 'MINIDEV' / 'dev_databases.zip'} is not unpacked"]


def test_two_copies_of_bird_are_not_mixed(tmp_path: Path) -> None:
    write(bird(tmp_path) / "dev_20230101" / "dev.json", [bird_entry("financial", 0)])
    message = refused(tmp_path, "bird")
    assert "dev.json more than once (dev_20230101/dev.json, dev_20240627/dev.json)" in message
    assert len(read_published(tmp_path / "dev_20240627").pairs) == 3


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"SQL": ""}, "row 4: has no query"),
        ({"question": None}, "row 4: has no question"),
        ({"db_id": ""}, "row 4: has no db_id"),
        ({"evidence": 3}, "row 4: its evidence is a number or truth value, not text"),
        ({"db_id": "../up"}, "the database name '../up' is not a plain name"),
    ],
)
def test_a_bad_entry_is_refused_by_its_row(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    path = bird(tmp_path) / "dev_20240627" / "dev.json"
    write(path, [*json.loads(path.read_text()), bird_entry("financial", 4) | changes])
    assert message in refused(tmp_path)
    path.write_text(path.read_text()[:-20])
    assert refused(tmp_path).startswith(f"{path}: not valid JSON")


def kaggle_entry(db_id: str, question: str) -> dict[str, Any]:
    query = f"SELECT '{question}'"
    return {"db_id": db_id, "query": query, "query_toks": query.split(), "question": question, "sql": {"select": []}}


def test_kaggledbqa_keeps_its_parts_apart(tmp_path: Path) -> None:
    root = tmp_path / "KaggleDBQA"
    entries = [kaggle_entry("Pesticide", f"q{place}") for place in range(3)]
    write(root / "examples" / "Pesticide.json", entries)
    write(root / "examples" / "Pesticide_fewshot.json", entries[:1])
    write(root / "examples" / "Pesticide_test.json", entries[1:])
    write(root / "examples" / "USWildFires.json", [kaggle_entry("USWildFires", "q3")])
    write(root / "KaggleDBQA_tables.json", [])
    path = database(root / "databases" / "Pesticide" / "Pesticide.sqlite")
    found = read_published(tmp_path)
    assert [(pair.question, pair.split, pair.place) for pair in found.pairs] == [
        ("q0", "train", "KaggleDBQA/examples/Pesticide_fewshot.json, row 1"),
        ("q1", "dev", "KaggleDBQA/examples/Pesticide_test.json, row 1"),
        ("q2", "dev", "KaggleDBQA/examples/Pesticide_test.json, row 2"),
        ("q3", None, "KaggleDBQA/examples/USWildFires.json, row 1"),
    ]
    assert found.databases == {"Pesticide": path}
    assert any("fewshot" in note and "train" in note for note in found.notes)


def sentence(text: str, split: str = "train", **values: str) -> dict[str, Any]:
    return {"question-split": split, "text": text, "variables": values}


def text2sql_entry(split: str, sql: list[str], *sentences: dict[str, Any], **examples: str) -> dict[str, Any]:
    variables = [{"example": value, "location": "both", "name": name, "type": "t"} for name, value in examples.items()]
    return {"comments": [], "query-split": split, "sentences": list(sentences), "sql": sql, "variables": variables}


AREA = 'SELECT STATEalias0.AREA FROM STATE AS STATEalias0 WHERE STATEalias0.STATE_NAME = "state_name0" ;'


def test_text2sql_data_gives_a_pair_a_sentence_with_its_variables_filled_in(tmp_path: Path) -> None:
    entries = [
        text2sql_entry(
            "train",
            [AREA, "SELECT 'the second query'"],
            sentence("how big is state_name0", state_name0="texas"),
            sentence("state_name0 's size", "dev", state_name0=""),
            state_name0="utah",
        ),
        text2sql_entry(
            "test",
            ["SELECT var1, var10, var2 WHERE n > only0"],
            sentence("var1 var10 var2 xvar1", var1="var2", var10=r"\1 'ten'", var2="two"),
            only0="150",
        ),
    ]
    path = write(tmp_path / "geography.json", entries)
    file = database(tmp_path / "geography-db.added-in-2020.sqlite")
    found = read_published(tmp_path)
    assert [(pair.question, pair.query, pair.split, pair.place) for pair in found.pairs] == [
        ("how big is texas", AREA.replace("state_name0", "texas"), "train", "geography.json, row 1, sentence 1"),
        ("utah 's size", AREA.replace("state_name0", "utah"), "train", "geography.json, row 1, sentence 2"),
        (
            r"var2 \1 'ten' two xvar1",
            r"SELECT var2, \1 'ten', two WHERE n > 150",
            "test",
            "geography.json, row 2, sentence 1",
        ),
    ]
    assert found.databases == {"geography": file}
    assert read_published(path).pairs == found.pairs


def test_folds_are_no_splits_and_excluded_questions_stay_out(tmp_path: Path) -> None:
    entries = [
        text2sql_entry("3", ["SELECT 1"], sentence("a")),
        text2sql_entry("exclude", ["SELECT 2"], sentence("b"), sentence("c")),
    ]
    found = read_published(write(tmp_path / "yelp.json", entries))
    assert [(pair.question, pair.split, pair.db_id) for pair in found.pairs] == [("a", None, "yelp")]
    assert [note[:11] for note in found.notes] == ["2 questions", "1 questions"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sql": []}, "has no sql"),
        ({"sql": "SELECT 1"}, "its sql is text"),
        ({"sentences": None}, "its sentences are no list of objects"),
        ({"sentences": ["a"]}, "its sentences are no list of objects"),
        ({"sentences": [{"variables": {}}]}, "has no text"),
        ({"sentences": [{"text": ""}]}, "has no question"),
        ({"sentences": [sentence("a") | {"variables": {"b": []}}]}, "its variable 'b' is a list"),
        ({"sentences": [sentence("a") | {"variables": []}]}, "its variables is a list"),
        ({"variables": [{"example": "x"}]}, "has no name"),
        ({"query-split": "holdout"}, "has the split 'holdout'"),
    ],
)
def test_a_bad_entry_of_text2sql_data_is_refused_by_its_row(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    good = text2sql_entry("train", ["SELECT 1"], sentence("a"))
    path = write(tmp_path / "geo.json", [good, good | changes])
    assert refused(tmp_path).startswith(f"{path}, row 2: {message}")


def test_what_fits_no_layout_is_told_what_each_wants(tmp_path: Path) -> None:
    write(tmp_path / "dev.json", [{"question": "q", "query": "SELECT 1", "db_id": "zoo"}])
    message = refused(tmp_path)
    for name, layout in LAYOUTS.items():
        assert f"{name}, which wants {layout.wants}" in message
        assert refused(tmp_path, name) == f"{tmp_path}: not in the layout {name}, which wants {layout.wants}"
    assert refused(tmp_path, "wikisql").startswith("no layout is named 'wikisql'; there are spider, bird")
    assert refused(tmp_path / "none") == f"{tmp_path / 'none'}: no such folder"


def test_a_folder_of_two_data_sets_is_not_guessed_at(tmp_path: Path) -> None:
    small_spider(tmp_path)
    bird(tmp_path / "bird")
    assert "fits the layouts spider and bird" in refused(tmp_path)
    assert {pair.db_id for pair in read_published(tmp_path, "bird").pairs} == {
        "financial",
        "toxicology",
        "gone",
        "movies",
    }
    assert read_published(tmp_path / "bird").pairs[0].place == "train/train.json, row 1"


def test_a_file_is_recognized_by_its_beginning_and_only_if_it_is_json(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entries = json.dumps([text2sql_entry("train", ["SELECT 1"], sentence("a"))] * 50)
    assert LAYOUTS["geoquery"].fits(write(tmp_path / "geo.json", entries))
    assert not LAYOUTS["geoquery"].fits(write(tmp_path / "geo.sqlite", entries))
    monkeypatch.setattr(published, "LOOKED_AT", 300)
    assert LAYOUTS["geoquery"].fits(tmp_path / "geo.json")
    assert not LAYOUTS["geoquery"].fits(write(tmp_path / "later.json", "[" + " " * 300 + entries[1:]))
