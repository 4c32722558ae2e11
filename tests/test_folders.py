"""Folders of data files and saved data sets: their splits, and nothing of theirs executed."""

from pathlib import Path

import datasets
from test_pairs import GOOD, ROWS, TEXTS, as_csv, as_lines, refused, texts, write

from data.imports.pairs import read_pairs


def test_a_folder_of_data_files_is_split_by_their_names(tmp_path: Path) -> None:
    row = as_csv([GOOD])
    names = [
        "data/train-00000-of-00002.csv",
        "data/train-00001-of-00002.csv",
        "dev.csv",
        "spider_validation.csv",
        "test/0000.csv",
    ]
    for name in [*names, "testimonials.csv", ".hidden/train.csv"]:
        write(tmp_path / name, row)
    write(tmp_path / "select.jsonl", as_lines(GOOD | {"split": "train"}, GOOD))
    write(tmp_path / "dataset_info.json", "{}")
    write(tmp_path / "README.md", "# About")
    pairs = read_pairs(tmp_path)
    assert {pair.place: pair.split for pair in pairs} == {
        "data/train-00000-of-00002.csv, row 2": "train",
        "data/train-00001-of-00002.csv, row 2": "train",
        "dev.csv, row 2": "dev",
        "spider_validation.csv, row 2": "dev",
        "test/0000.csv, row 2": "test",
        "testimonials.csv, row 2": None,
        "select.jsonl, row 1": "train",
        "select.jsonl, row 2": "select",
    }
    path = write(tmp_path / "data" / "bad.csv", "question,query\nq,\n")
    assert refused(tmp_path) == f"{path}, row 2: has no query"


def test_a_folder_without_data_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "README.md", "Q: a\nA: SELECT 1")
    assert "holds no data files" in refused(tmp_path)


def test_a_saved_data_set_is_read_with_its_splits(tmp_path: Path) -> None:
    rows = [{"question": text, "query": f"SELECT '{text}'", "db_id": "zoo"} for text in "abcd"]
    dataset = datasets.Dataset.from_list(rows)
    dataset.select([3, 1]).save_to_disk(tmp_path / "one")
    found = [(pair.question, pair.split, pair.place) for pair in read_pairs(tmp_path / "one")]
    assert found == [("d", None, "one, row 1"), ("b", None, "one, row 2")]
    parts = {"train": dataset.select([0, 1]), "validation": dataset.select([2]), "extra": dataset.select([3])}
    datasets.DatasetDict(parts).save_to_disk(tmp_path / "many")
    found = [(pair.question, pair.split, pair.place) for pair in read_pairs(tmp_path / "many")]
    assert found == [
        ("a", "train", "many/train, row 1"),
        ("b", "train", "many/train, row 2"),
        ("c", "dev", "many/validation, row 1"),
        ("d", None, "many/extra, row 1"),
    ]


def test_a_broken_saved_data_set_is_one_line(tmp_path: Path) -> None:
    for name, damage in [
        ("cut", lambda folder: next(folder.glob("*.arrow")).write_bytes(b"ARROW1")),
        ("gone", lambda folder: next(folder.glob("*.arrow")).unlink()),
        ("text", lambda folder: (folder / "state.json").write_text("no")),
        ("list", lambda folder: (folder / "state.json").write_text("[]")),
        ("keys", lambda folder: (folder / "state.json").write_text("{}")),
        ("info", lambda folder: (folder / "dataset_info.json").write_text('{"features": {"a": {"_type": "Evil"}}}')),
    ]:
        datasets.Dataset.from_list([GOOD]).save_to_disk(tmp_path / name)
        damage(tmp_path / name)
        assert refused(tmp_path / name).startswith(f"{tmp_path / name}: not readable as a saved data set"), name
    datasets.Dataset.from_list([GOOD, {"question": "", "query": "s"}]).save_to_disk(tmp_path / "row")
    assert refused(tmp_path / "row") == f"{tmp_path / 'row'}, row 2: has no question"


def test_no_code_of_a_data_set_is_executed(tmp_path: Path) -> None:
    folder, mark = tmp_path / "pairs", tmp_path / "ran"
    write(folder / "train.csv", as_csv(ROWS))
    for name in ("pairs.py", "__init__.py", "dataset.py"):
        write(folder / name, f"open({str(mark)!r}, 'w')")
    assert texts(read_pairs(folder)) == TEXTS
    datasets.Dataset.from_list(ROWS).save_to_disk(folder)
    assert texts(read_pairs(folder)) == TEXTS
    assert not mark.exists()
