"""`loraql import`: pairs and databases become a data set that the line runs on; what is wrong leaves nothing."""

import csv
import json
import re
import shutil
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import small_spider

from data import embedded
from data.imports.servers import ServerCopy
from data.meanings import Meaning, meanings_file, read_meanings
from pipeline import import_sources
from pipeline.config import load_config
from pipeline.download import download_stage
from pipeline.importing import ImportOptions, import_data, parse_columns
from pipeline.stage import why_stale

Loraql = Callable[..., str]
Import = Callable[..., Path]
RAW = Path("data/raw")


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sample")
    embedded.build(folder)
    return folder


def pairs_of(sample: Path, *names: str) -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = json.loads((sample / "train.json").read_text(encoding="utf-8"))
    return [entry for entry in entries if entry["db_id"] in names]


def write_csv(path: str, rows: Sequence[Sequence[object]]) -> str:
    with Path(path).open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(rows)
    return path


@pytest.fixture
def shop(sample: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """A working folder with `shop.sqlite` and `pairs.csv` in it; the pairs."""
    monkeypatch.chdir(tmp_path)
    shutil.copyfile(sample / "database/shop/shop.sqlite", "shop.sqlite")
    pairs = pairs_of(sample, "shop")
    write_csv("pairs.csv", [("question", "sql"), *((pair["question"], pair["query"]) for pair in pairs)])
    return pairs


@pytest.fixture
def bring(tiny_model: Path) -> Import:
    """Imports as `my-shop` from `pairs.csv` and `shop.sqlite`, but for what is said otherwise."""

    def run(*pairs: str, **options: Any) -> Path:
        given = {"name": "my-shop", "database": "shop.sqlite", "base": str(tiny_model), "workers": 1} | options
        return import_data(ImportOptions(pairs or ("pairs.csv",), **given))

    return run


def entries(split: str, name: str = "my-shop") -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((RAW / name / f"{split}.json").read_text(encoding="utf-8"))
    return found


def dataset(name: str = "my-shop") -> dict[str, Any]:
    found: dict[str, Any] = json.loads((RAW / name / "dataset.json").read_text(encoding="utf-8"))
    return found


def test_a_csv_and_a_database_become_a_data_set_with_a_recipe(
    shop: list[dict[str, Any]], bring: Import, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = bring()
    assert sorted(path.name for path in (RAW / "my-shop").iterdir()) == [
        "checkup.html", "checkup.json", "database", "dataset.json", "dev.json", "manifest.json", "select.json", "train.json",
    ]  # fmt: skip
    found = [entry for split in ("train", "select", "dev") for entry in entries(split)]
    assert sorted((entry["question"], entry["query"]) for entry in found) == sorted(
        (pair["question"], pair["query"]) for pair in shop
    )
    assert {entry["db_id"] for entry in found} == {"shop"}
    assert (RAW / "my-shop/database/shop/shop.sqlite").is_file()
    assert recipe == Path("my-shop.yaml")
    shown = capsys.readouterr().out
    assert "split by question group" in shown and "What to do" in shown
    assert dataset()["questions"] == {split: len(entries(split)) for split in ("train", "select", "dev")}


def test_the_recipe_runs_the_whole_line(
    shop: list[dict[str, Any]], bring: Import, loraql: Loraql, tiny_model: Path
) -> None:
    bring()
    settings = ["train.quantization=none", "train.max_steps=2", "train.checkpoints=1", "evaluate.max_new_tokens=4"]
    shown = loraql("run", "my-shop.yaml", "--quick", *settings, "train.lora.rank=4", "sandbox.workers=1")
    assert "download: up to date (data/raw/my-shop)" in shown
    assert Path("runs/my-shop-quick/export/merged/config.json").is_file()


def test_the_recipe_loads_and_fits_the_pairs(shop: list[dict[str, Any]], bring: Import) -> None:
    config = load_config(str(bring()), [])
    assert (config.name, config.data.source, config.selection.databases) == ("my-shop", "my-shop", 0)
    train = len(entries("train"))
    assert config.train.max_steps == round(3 * train / 8)
    assert config.prompt.max_length == 1024
    assert load_config("my-shop.yaml", [], quick=True).name == "my-shop-quick"


def test_a_name_that_yaml_takes_for_a_number_stays_a_name(shop: list[dict[str, Any]], bring: Import) -> None:
    assert load_config(str(bring(name="2024")), []).data.source == "2024"


def test_download_counts_as_done_and_the_database_is_not_tied_to_the_source(
    shop: list[dict[str, Any]], bring: Import
) -> None:
    config = load_config(str(bring()), [])
    Path("shop.sqlite").unlink()
    Path("pairs.csv").unlink()
    assert why_stale(download_stage(), config) is None


def test_importing_again_replaces_the_data_and_leaves_the_recipe(
    shop: list[dict[str, Any]], bring: Import, capsys: pytest.CaptureFixture[str]
) -> None:
    bring()
    Path("my-shop.yaml").write_text("name: mine\n", encoding="utf-8")
    write_csv("pairs.csv", [("question", "sql"), *((pair["question"], pair["query"]) for pair in shop[:40])])
    capsys.readouterr()
    bring()
    assert sum(dataset()["questions"].values()) == 40
    assert Path("my-shop.yaml").read_text(encoding="utf-8") == "name: mine\n"
    assert "my-shop.yaml is there and stays as it is" in capsys.readouterr().out
    bring(force=True)
    assert "train:" in Path("my-shop.yaml").read_text(encoding="utf-8")


def test_the_same_import_gives_the_same_files(shop: list[dict[str, Any]], bring: Import) -> None:
    names = ["train.json", "select.json", "dev.json", "checkup.json", "checkup.html", "dataset.json"]
    bring()
    first = [(RAW / "my-shop" / name).read_bytes() for name in names]
    bring()
    assert [(RAW / "my-shop" / name).read_bytes() for name in names] == first


def test_a_failed_import_leaves_an_earlier_one_as_it_was(shop: list[dict[str, Any]], bring: Import) -> None:
    bring()
    before = (RAW / "my-shop/manifest.json").read_bytes()
    with pytest.raises(Exception, match="no such file"):
        bring(database="nothere.sqlite")
    assert (RAW / "my-shop/manifest.json").read_bytes() == before
    assert [path.name for path in RAW.iterdir()] == ["my-shop"]


def test_splits_of_the_source_are_respected_and_leaks_are_told(shop: list[dict[str, Any]], bring: Import) -> None:
    rows = [(pair["question"], pair["query"], "train") for pair in shop]
    rows += [(shop[0]["question"], shop[0]["query"], "dev"), ("How many tills?", "SELECT count(*) FROM till", "dev")]
    write_csv("pairs.csv", [("question", "sql", "split"), *rows])
    bring()
    assert [entry["question"] for entry in entries("dev")] == [shop[0]["question"], "How many tills?"]
    checkup = json.loads((RAW / "my-shop/checkup.json").read_text(encoding="utf-8"))
    assert [found["place"] for found in checkup["findings"]["leak"]][-1] == f"pairs.csv, row {len(shop) + 2}"
    assert [found["place"] for found in checkup["findings"]["fails"]] == [f"pairs.csv, row {len(shop) + 3}"]


def test_files_that_are_named_for_splits_make_them(shop: list[dict[str, Any]], bring: Import) -> None:
    for name, chosen in (("train.csv", shop[:60]), ("dev.csv", shop[60:])):
        write_csv(name, [("question", "sql"), *((pair["question"], pair["query"]) for pair in chosen)])
    bring("train.csv", "dev.csv")
    assert [entry["question"] for entry in entries("dev")] == [pair["question"] for pair in shop[60:]]


def test_test_questions_find_their_databases(
    shop: list[dict[str, Any]], bring: Import, loraql: Loraql, tiny_model: Path
) -> None:
    rows = [
        (pair["question"], pair["query"], "test" if place < 5 else "dev" if place < 15 else "train")
        for place, pair in enumerate(shop)
    ]
    write_csv("pairs.csv", [("question", "sql", "split"), *rows])
    bring()
    assert len(entries("test")) == 5
    assert "5" in loraql("prepare", "my-shop.yaml", "sandbox.workers=1")


def test_columns_are_mapped_and_synthetic_pairs_stay_marked(shop: list[dict[str, Any]], bring: Import) -> None:
    rows = [(pair["question"], pair["query"], "no") for pair in shop]
    made = "SELECT city, min(birthday), max(birthday) FROM customer GROUP BY city HAVING count(*) > 1"
    rows.append(("Which towns are there?", made, "yes"))
    write_csv("pairs.csv", [("Frage", "Antwort", "synthetic"), *rows])
    bring(columns=parse_columns(["question=Frage", "query=Antwort"]))
    marked = [entry for split in ("train", "select", "dev") for entry in entries(split) if "synthetic" in entry]
    assert [entry["question"] for entry in marked] == ["Which towns are there?"]
    assert not any("synthetic" in entry for split in ("select", "dev") for entry in entries(split))


def test_what_is_not_one_query_is_left_out_and_listed(shop: list[dict[str, Any]], bring: Import) -> None:
    odd = ["SELECT 1; DROP TABLE product", "PRAGMA table_info(product)", "EXPLAIN SELECT 1", "DELETE FROM product"]
    fine = [
        "((SELECT 1))",
        "WITH a AS (SELECT ';') SELECT * FROM a; -- that is all",
        "VALUES (1)",
    ]  # a semicolon at the end goes
    rows = [(f"Question {place}?", query) for place, query in enumerate([*odd, f"{fine[0]} ;\n", *fine[1:]])]
    write_csv("pairs.csv", [("question", "sql"), *((pair["question"], pair["query"]) for pair in shop), *rows])
    bring()
    listed = dataset()["left_out"]
    assert [entry["query"] for entry in listed] == odd
    assert [entry["reason"] for entry in listed] == ["is more than one statement"] + 3 * [
        "is not a query (SELECT, WITH or VALUES)"
    ]
    kept = {entry["query"] for split in ("train", "select", "dev") for entry in entries(split)}
    assert not set(odd) & kept and set(fine) <= kept
    checkup = json.loads((RAW / "my-shop/checkup.json").read_text(encoding="utf-8"))
    assert [finding["query"] for finding in checkup["findings"]["unused"]] == odd


def test_several_databases_are_told_apart_by_db_id_and_missing_ones_are_listed(
    sample: Path, shop: list[dict[str, Any]], bring: Import, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [(pair["question"], pair["query"], pair["db_id"]) for pair in pairs_of(sample, "shop", "clinic")]
    write_csv("pairs.csv", [("question", "sql", "db_id"), *rows, ("Lost?", "SELECT 1", "lost")])
    bring(database=str(sample / "database"))
    assert {entry["db_id"] for split in ("train", "select", "dev") for entry in entries(split)} == {"shop", "clinic"}
    assert dataset()["left_out"] == [
        {
            "place": f"pairs.csv, row {len(rows) + 2}",
            "reason": "no database lost",
            "question": "Lost?",
            "query": "SELECT 1",
        }
    ]
    assert f"1 left out (pairs.csv, row {len(rows) + 2}): no database lost" in capsys.readouterr().out


def test_the_only_database_goes_by_the_name_that_the_pairs_have_for_it(
    shop: list[dict[str, Any]], bring: Import
) -> None:
    write_csv("pairs.csv", [("question", "sql", "db_id"), *((p["question"], p["query"], "store") for p in shop)])
    bring()
    assert (RAW / "my-shop/database/store/store.sqlite").is_file()
    assert not (RAW / "my-shop/database/shop").exists()
    assert any("the database shop is called store here" in note for note in dataset()["notes"])


def test_meanings_of_the_user_come_before_those_of_the_schema(shop: list[dict[str, Any]], bring: Import) -> None:
    connection = sqlite3.connect("shop.sqlite")
    connection.execute("CREATE TABLE till (till_id INTEGER, -- its number\n place TEXT -- where it stands\n)")
    connection.execute("INSERT INTO till VALUES (1, 'hall'), (2, NULL)")
    connection.commit()
    connection.close()
    write_csv(
        "meanings.csv",
        [
            ("table", "column", "description", "values"),
            ("till", "place", "floor", "cellar|attic"),
            ("till", "plce", "typo", ""),
        ],
    )
    bring(meanings=Path("meanings.csv"))
    kept = read_meanings(meanings_file(RAW / "my-shop/database/shop/shop.sqlite"))
    assert {(meaning.column, meaning.description) for meaning in kept} == {
        ("place", "floor"),
        ("till_id", "its number"),
    }
    assert "meanings.csv: no database has the column till.plce" in dataset()["notes"]
    assert "till.place: holds none of its allowed values, but 'hall'" in dataset()["notes"]


def test_a_published_folder_is_recognized_and_survives_missing_databases(
    tmp_path: Path, bring: Import, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    root = small_spider(tmp_path)
    (root / "database/flights/flights.sqlite").write_text("not a database", encoding="utf-8")
    bring(str(root), name="small", database=None)
    # The schema of coffee is in tables.json, so that its question can be trained on; that of flights is not.
    assert dataset("small")["missing_databases"] == {"coffee": 1}
    assert {found["reason"] for found in dataset("small")["left_out"]} == {"no database flights"}
    assert any("not an SQLite database" in note for note in dataset("small")["notes"])
    assert len(entries("dev", "small")) == 100
    assert "coffee" in {entry["db_id"] for entry in entries("train", "small")}
    assert (RAW / "small/tables.json").is_file()
    assert "split as the source has them; select is taken from train" in capsys.readouterr().out


def test_an_import_of_a_published_folder_prepares(
    tmp_path: Path, bring: Import, loraql: Loraql, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    bring(str(small_spider(tmp_path)), name="small", database=None, layout="spider")
    loraql("prepare", "small.yaml", "sandbox.workers=1")
    assert (RAW / "small/processed/select.csv").is_file()


def test_birds_layout_is_imported_with_its_descriptions(
    shop: list[dict[str, Any]], bring: Import, capsys: pytest.CaptureFixture[str]
) -> None:
    database = Path("bird/dev_databases/shop/shop.sqlite")
    (database.parent / "database_description").mkdir(parents=True)
    shutil.copyfile("shop.sqlite", database)
    head = ("original_column_name", "column_name", "column_description", "data_format", "value_description")
    write_csv(
        str(database.parent / "database_description/customer.csv"), [head, ("city", "", "where it lives", "text", "")]
    )
    asked = [{"question": p["question"], "SQL": p["query"], "db_id": "shop", "evidence": ""} for p in shop]
    Path("bird/dev.json").write_text(json.dumps(asked), encoding="utf-8")
    bring("bird", database=None)
    kept = read_meanings(meanings_file(RAW / "my-shop/database/shop/shop.sqlite"))
    assert [(meaning.column, meaning.description) for meaning in kept] == [("city", "where it lives")]
    assert "the source has only dev" in capsys.readouterr().out


def test_pairs_in_another_dialect_are_translated_or_listed(shop: list[dict[str, Any]], bring: Import) -> None:
    rows = [(pair["question"], pair["query"]) for pair in shop]
    rows += [("Like a?", "SELECT name FROM customer WHERE name ILIKE 'a%'")]
    rows += [("Two?", "SELECT 1; SELECT 2")]
    write_csv("pairs.csv", [("question", "sql"), *rows])
    bring(dialect="postgres")
    queries = {entry["question"]: entry["query"] for split in ("train", "select", "dev") for entry in entries(split)}
    assert "ILIKE" not in queries["Like a?"] and "LIKE" in queries["Like a?"]
    assert [found["question"] for found in dataset()["left_out"]] == ["Two?"]


def test_a_dump_tells_what_the_pairs_are_written_in(shop: list[dict[str, Any]], bring: Import) -> None:
    Path("shop.sql").write_text(
        """-- PostgreSQL database dump
CREATE TABLE public.sale (id integer NOT NULL, paid date, amount numeric(8,2));
COPY public.sale (id, paid, amount) FROM stdin;
1\t2024-01-31\t2.50
2\t2024-03-01\t4.00
\\.
""",
        encoding="utf-8",
    )
    rows = [
        ("When?", "SELECT paid::date FROM public.sale"),
        ("How many?", "SELECT count(*) FROM sale"),
        ("Days?", "SELECT max(paid) - min(paid) FROM sale"),
        ("Big?", "SELECT id FROM sale WHERE amount > 3"),
    ]
    write_csv("pairs.csv", [("question", "sql"), *rows])
    bring(database="shop.sql")
    made = {entry["question"]: entry["query"] for split in ("train", "select", "dev") for entry in entries(split)}
    with closing(sqlite3.connect(RAW / "my-shop/database/shop/shop.sqlite")) as connection:
        found = {question: connection.execute(query).fetchall() for question, query in made.items()}
    assert found["When?"] == [("2024-01-31",), ("2024-03-01",)]
    assert found["Days?"] == [(30,)]
    bring(database="shop.sql", dialect="sqlite", name="as-they-are")
    assert any(
        "::" in entry["query"] for split in ("train", "select", "dev") for entry in entries(split, "as-they-are")
    )


def test_questions_that_follow_on_others_are_told_of(bring: Import, shop: list[dict[str, Any]]) -> None:
    chats = [
        {
            "messages": [
                {"role": "user", "content": pair["question"]},
                {"role": "assistant", "content": pair["query"]},
            ]
        }
        for pair in shop
    ]
    chats[0]["messages"] += chats[1]["messages"]
    Path("chats.jsonl").write_text("".join(f"{json.dumps(chat)}\n" for chat in chats), encoding="utf-8")
    bring("chats.jsonl")
    assert any("an earlier turn of a chat, and may not stand alone: 1" in note for note in dataset()["notes"])


def test_a_server_is_copied_with_its_meanings_and_its_dialect(
    shop: list[dict[str, Any]], bring: Import, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[str, int, str | None]] = []

    def copy(url: str, path: Path, rows: int = 0, schema: str | None = None) -> ServerCopy:
        seen.append((url, rows, schema))
        path.parent.mkdir(parents=True)
        shutil.copyfile("shop.sqlite", path)
        meaning = Meaning("customer", "city", "where it lives")
        return ServerCopy(path, "postgres", "public", (meaning,), ("the view v is left out",))

    monkeypatch.setattr(import_sources, "copy_server", copy)
    rows = [(pair["question"], re.sub(r"\bFROM (\w+)", r"FROM public.\1", pair["query"])) for pair in shop]
    write_csv("pairs.csv", [("question", "sql"), *rows])
    bring(database="postgresql://me:secret@host/shop", rows=50, schema="public")
    assert seen == [("postgresql://me:secret@host/shop", 50, "public")]
    assert {entry["db_id"] for entry in entries("train")} == {"shop"}
    assert not any("public." in entry["query"] for entry in entries("train"))
    database = RAW / "my-shop/database/shop/shop.sqlite"
    assert read_meanings(meanings_file(database))[0].description == "where it lives"
    assert "the view v is left out" in dataset()["notes"]
    written = [path for path in (RAW / "my-shop").rglob("*") if path.is_file()]
    assert not any(b"secret" in path.read_bytes() for path in [*written, Path("my-shop.yaml")])


WRONG = {
    "pairs.csv, row 3: has no question": {"rows": [("A?", "SELECT 1"), ("", "SELECT 2")]},
    "no column for the query": {"rows": [("A?", "x")], "head": ("question", "vraag")},
    "nothere.csv": {"pairs": ["nothere.csv"]},
    "nothere.sqlite: no such file": {"--db": "nothere.sqlite"},
    "text.sqlite: not an SQLite database": {"--db": "text.sqlite"},
    "no database: give --db": {"--db": None},
    "add a column db_id": {"--db": "several"},
    "no pair is about one that is there": {"head": ("question", "sql", "db_id"), "rows": [("A?", "SELECT 1", "x"), ("B?", "SELECT 2", "y")]},
    "pairs.csv, row 2: no such table: ghost, and no other query runs either; are they about this database? shop holds":
        {"rows": [(f"{place}?", f"SELECT {place}, a{place} FROM ghost {'WHERE b = 1' * (place % 3)}") for place in range(9)]},
    "https://example.com/x.csv: addresses are not read": {"pairs": ["https://example.com/x.csv"], "code": 2},
    "are too few or too alike": {"rows": [("A?", "SELECT 1"), ("B?", "SELECT 2")]},
    "pairs are synthetic": {"head": ("question", "sql", "synthetic"), "rows": [("A?", "SELECT 1", "true")]},
    "pairs.csv, row 2: its SQL is not a query": {"rows": [("A?", "DROP TABLE x")]},
    "nothere.yaml": {"--columns": "nothere.yaml"},
    "--rows: is for a server": {"--rows": "5", "code": 2},
    "--schema: is for a server": {"--schema": "sales", "code": 2},
    "the URL names no database": {"--db": "postgresql://127.0.0.1", "code": 2},
    "the URL cannot be read": {"--db": "postgresql://me:geh[eim@host/x", "code": 2},
    "cannot connect": {"--db": "postgresql://127.0.0.1:1/x"},
    "--name sample: is the name of a published": {"--name": "sample", "code": 2},
    "--name ../x: give letters": {"--name": "../x", "code": 2},
    "--map question: give FIELD=COLUMN": {"--map": "question", "code": 2},
    "--split 9: give the shares": {"--split": "9", "code": 2},
    "--dialect oracle": {"--dialect": "oracle", "code": 2},
    "the URL must be": {"--db": "oracle://x/y", "code": 2},
    "no layout is named 'nope'": {"--format": "nope"},
    "not in the layout bird": {"--format": "bird"},
    "--format spider: a published layout": {"--format": "spider", "--map": "question=question", "code": 2},
}  # fmt: skip


@pytest.mark.parametrize("words", WRONG)
def test_what_is_wrong_is_told_in_one_line_and_leaves_nothing(
    words: str, shop: list[dict[str, Any]], sample: Path, loraql: Loraql, tiny_model: Path
) -> None:
    if "cannot connect" in words:
        pytest.importorskip("psycopg")
    case = dict(WRONG[words])
    Path("text.sqlite").write_text("hello", encoding="utf-8")
    shutil.copytree(sample / "database", "several")
    if "rows" in case or "head" in case:
        write_csv("pairs.csv", [case.pop("head", ("question", "sql")), *case.pop("rows")])  # type: ignore[misc, list-item]
    code, pairs = case.pop("code", 1), case.pop("pairs", ["pairs.csv"])
    options = {"--db": "shop.sqlite", "--name": "my-shop", "--base": str(tiny_model)} | case
    before = sorted(Path().rglob("*"))
    given = [str(word) for name, value in options.items() if value is not None for word in (name, value)]
    shown = loraql("import", *pairs, *given, code=code)  # type: ignore[misc, arg-type]
    assert words in shown
    assert len(shown.strip().splitlines()) == 1
    left = {path for path in Path().rglob("*") if path not in before}
    assert left <= {Path("data"), Path("data/raw")}


def test_a_folder_that_no_import_made_is_not_replaced(shop: list[dict[str, Any]], bring: Import) -> None:
    own = RAW / "my-shop/notes.txt"
    own.parent.mkdir(parents=True)
    own.write_text("mine", encoding="utf-8")
    with pytest.raises(Exception, match="no import made it"):
        bring()
    assert own.read_text(encoding="utf-8") == "mine"


def test_without_a_tokenizer_the_import_still_succeeds(shop: list[dict[str, Any]], bring: Import) -> None:
    Path("no-model").mkdir()
    recipe = bring(base="no-model")
    assert any(note.startswith("tokens are not counted") for note in dataset()["notes"])
    values = yaml.safe_load(recipe.read_text(encoding="utf-8"))
    assert values["model"] == {"base": "no-model"}
    assert values["prompt"]["max_length"] == 1024
