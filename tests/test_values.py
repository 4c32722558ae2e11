"""The index of a database's values: what a question mentions, samples, when it is built."""

import os
import sqlite3
from pathlib import Path

import pytest

from data.errors import UserError
from data.schema import read_sqlite
from prompts.values import KEPT_LENGTH, KEPT_VALUES, ValueIndex, index_apart, index_beside, open_index


def make(folder: Path, script: str) -> Path:
    path = folder / "places.sqlite"
    connection = sqlite3.connect(path)
    connection.executescript(script)
    connection.close()
    return path


def index(path: Path) -> ValueIndex:
    return open_index(path, read_sqlite(path), index_beside(path, path.parent / "cache"))


PLACES = """
CREATE TABLE place (id INT, name TEXT, state TEXT, kind TEXT, "note""s" TEXT);
INSERT INTO place VALUES (1, 'Aruba', 'NorthCarolina', 'dog', 'x'), (2, 'New York', 'Texas', 'cat', NULL),
  (3, 'Saint Étienne', 'Texas', 'dog', 'it''s'), (4, 'York', 'Ohio', 'F', 'the'),
  (5, 'The Lord of the Rings and the Two Towers', 'Iowa', 'dog', NULL);
CREATE TABLE visitor (town TEXT, age INT);
INSERT INTO visitor VALUES ('Texas', 3), ('Caribbean', 5);
"""


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> ValueIndex:
    return index(make(tmp_path_factory.mktemp("values"), PLACES))


@pytest.mark.parametrize(
    ("question", "found"),
    [
        ("Who lives in Aruba?", [("place", "name", "Aruba")]),
        ("who lives in aruba", [("place", "name", "Aruba")]),
        ("Is it in NEW YORK?", [("place", "name", "New York")]),  # not York besides
        ("How many live in North Carolina?", [("place", "state", "NorthCarolina")]),
        ("How many dogs are there?", [("place", "kind", "dog")]),
        ("Is it in Saint Étienne?", [("place", "name", "Saint Étienne")]),
        ("Who comes from Texas?", [("place", "state", "Texas"), ("visitor", "town", "Texas")]),
        ("What about the Carribean?", [("visitor", "town", "Caribbean")]),  # a slip
        ("How many are of sex F?", [("place", "kind", "F")]),
        ("Aruba, not Ohio, but Aruba", [("place", "name", "Aruba"), ("place", "state", "Ohio")]),  # each once
        ("Is it in Saint E\u0301tienne?", [("place", "name", "Saint Étienne")]),  # the accent as a sign of its own
        (
            "Who saw The Lord of the Rings and the Two Towers?",
            [("place", "name", "The Lord of the Rings and the Two Towers")],
        ),
        ("Aruba " * 20_000, [("place", "name", "Aruba")]),
        ("the f of it", []),  # small words and small letters are no values
        ("", []),
        ("?!", []),
    ],
)
def test_mentions_are_the_values_that_a_question_names(
    places: ValueIndex, question: str, found: list[tuple[str, str, str]]
) -> None:
    assert [(mention.table, mention.column, mention.text) for mention in places.mentions(question)] == found


def test_a_longer_mention_weighs_more_and_a_common_one_less(places: ValueIndex) -> None:
    weight = {mention.text: mention.weight for mention in places.mentions("Aruba, New York and Texas")}
    assert weight["New York"] > weight["Aruba"] > weight["Texas"]


def test_samples_are_the_most_frequent_values_first(places: ValueIndex) -> None:
    assert places.samples("place", "kind", 2) == ("dog", "F")
    assert places.samples("place", "id", 2) == ()
    assert places.samples("place", 'note"s', 3) == ("it's", "the", "x")


def test_long_odd_and_numerous_values_are_passed_over(tmp_path: Path) -> None:
    path = make(tmp_path, "CREATE TABLE t (a TEXT, b BLOB)")
    with sqlite3.connect(path) as connection:
        rows = [("x" * (KEPT_LENGTH + 1), b"blob"), ("two\nlines", None), ("fine word", b"\xff")]
        connection.executemany("INSERT INTO t VALUES (?, ?)", rows)
        connection.execute("INSERT INTO t VALUES (CAST(x'ff41' AS TEXT), 1)")
        connection.executemany("INSERT INTO t VALUES (?, 2)", [(f"value {n:05}",) for n in range(KEPT_VALUES + 10)])
    made = index(path)
    assert made.mentions("a fine word")[0].text == "fine word"
    assert made.mentions("value 00001") and not made.mentions(f"value {KEPT_VALUES + 9:05}")
    assert not made.mentions("x" * (KEPT_LENGTH + 1))


def test_the_index_is_built_once_and_again_when_the_database_changes(tmp_path: Path) -> None:
    path = make(tmp_path, PLACES)
    index(path)
    stored = index_beside(path, tmp_path)
    first = stored.stat().st_mtime_ns, stored.stat().st_ino
    index(path)
    assert (stored.stat().st_mtime_ns, stored.stat().st_ino) == first
    with sqlite3.connect(path) as connection:
        connection.execute("INSERT INTO visitor VALUES ('Utrecht', 1)")
    assert index(path).mentions("Utrecht")


def test_a_read_only_database_gets_an_index_that_its_owner_can_write(tmp_path: Path) -> None:
    path = make(tmp_path, PLACES)
    path.chmod(0o444)
    index(path)
    assert index_beside(path, tmp_path).stat().st_mode & 0o777 == 0o644


def test_neither_views_nor_generated_columns_are_read(tmp_path: Path) -> None:
    endless = "WITH RECURSIVE n(x) AS (SELECT 'Oslo' UNION ALL SELECT x FROM n) SELECT x FROM n"
    made = index(
        make(
            tmp_path,
            f"CREATE TABLE t (a INT, b TEXT AS ('Bergen')); INSERT INTO t VALUES (1); CREATE VIEW v AS {endless};",
        )
    )
    assert made.mentions("Oslo or Bergen") == []


def test_a_value_that_is_mentioned_twice_counts_by_its_best_mention(tmp_path: Path) -> None:
    script = "CREATE TABLE t (a TEXT); INSERT INTO t VALUES ('Caribbean'), ('Ohio'), ('Iowa');"
    found = index(make(tmp_path, script)).mentions("In Caribbean, Ohio, Iowa and Carribean")
    assert found[0].text == "Caribbean"
    assert [mention.weight for mention in found] == sorted((mention.weight for mention in found), reverse=True)


@pytest.mark.parametrize("content", [b"", b"junk" * 1000, b"SQLite format 3\x00" + b"junk" * 1000])
def test_a_damaged_index_is_built_again(tmp_path: Path, content: bytes) -> None:
    path = make(tmp_path, PLACES)
    index_beside(path, tmp_path).write_bytes(content)
    assert index(path).mentions("Aruba")


def test_an_index_damaged_inside_is_one_line(tmp_path: Path) -> None:
    path = make(tmp_path, PLACES)
    index(path)
    stored = index_beside(path, tmp_path)
    with sqlite3.connect(stored) as connection:
        connection.execute("DROP TABLE value")
    connection.close()
    with pytest.raises(UserError, match=r"places\.sqlite\.values: damaged .*delete it"):
        index(path).mentions("Aruba")


def test_the_index_goes_into_the_cache_where_it_cannot_stand_beside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make(tmp_path, PLACES)
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert index(path).mentions("Aruba")
    assert index_beside(path, tmp_path / "cache") == index_apart(path, tmp_path / "cache")
    assert index_apart(path, tmp_path / "cache").is_file() and not list(tmp_path.glob("*.values"))


def test_databases_of_one_stem_and_odd_names_have_indexes_of_their_own(tmp_path: Path) -> None:
    first = make(tmp_path, PLACES)
    for name in ("places.db", "places.values"):
        (tmp_path / name).write_bytes(first.read_bytes())
        before = (tmp_path / name).read_bytes()
        assert index(tmp_path / name).mentions("Aruba")
        assert (tmp_path / name).read_bytes() == before
    assert len({index_beside(path, tmp_path) for path in tmp_path.glob("places.*")}) >= 3


def test_who_may_not_read_the_database_may_not_read_its_values(tmp_path: Path) -> None:
    path = make(tmp_path, PLACES)
    path.chmod(0o600)
    index(path)
    assert index_beside(path, tmp_path).stat().st_mode & 0o777 == 0o600


def test_a_change_that_keeps_size_and_time_is_seen(tmp_path: Path) -> None:
    path = make(tmp_path, PLACES)
    index(path)
    times = path.stat()
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE place SET name = 'Tahiti' WHERE name = 'Aruba'")
    connection.close()
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert index(path).mentions("Tahiti") and not index(path).mentions("Aruba")


def test_a_column_that_cannot_be_read_has_no_values_and_spoils_none(tmp_path: Path) -> None:
    path = tmp_path / "odd.sqlite"
    connection = sqlite3.connect(path)
    connection.create_collation("LOCALIZED", lambda a, b: (a > b) - (a < b))
    connection.executescript("CREATE TABLE t (a TEXT COLLATE LOCALIZED, b TEXT COLLATE NOCASE)")
    connection.executescript("INSERT INTO t VALUES ('Aruba', 'York'), ('Aruba', 'YORK')")
    connection.close()
    made = index(path)
    assert made.samples("t", "a", 3) == ("Aruba",)
    assert made.samples("t", "b", 3) == ("YORK", "York")


def test_an_index_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    path = make(tmp_path, PLACES)
    (tmp_path / "places.sqlite.values").mkdir()
    with pytest.raises(UserError, match=r"places\.sqlite\.values: the index of values cannot be written"):
        index(path)
    assert not list(tmp_path.glob("*.partial"))


def test_a_database_cut_short_has_the_values_that_can_be_read(tmp_path: Path) -> None:
    path = make(tmp_path, PLACES)
    schema = read_sqlite(path)
    path.write_bytes(path.read_bytes()[:5000])
    assert open_index(path, schema, tmp_path / "x.values").mentions("Aruba") == []
