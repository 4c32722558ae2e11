"""What columns mean, as people, comments and BIRD's descriptions say it."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from data.errors import UserError
from data.meanings import (
    Meaning,
    describe_columns,
    from_bird,
    from_comments,
    meanings_file,
    read_meanings,
    with_meanings,
    write_meanings,
)
from data.schema import read_sqlite

STAY = Meaning("Stay", "los", "length of stay", "days", ("a", "b"))


def file(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def database(folder: Path, script: str) -> Path:
    path = folder / "made.sqlite"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(script)
    return path


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.csv", "Table,COLUMN,Description,Unit,Values\nStay,los,length of stay,days,a|b\n"),
        ("a.csv", "table;column;description;unit;values\nStay;los;length of stay;days;a|b\n"),
        (
            "a.csv",
            "\ufeffunit,column,table,values,description,kind\r\ndays, los ,Stay,a | b,length of  stay,INT\r\n,,,,\n",
        ),
        ("a.yaml", "- {table: Stay, column: los, description: length of stay, unit: days, values: [a, b]}"),
        ("a.yml", "Stay:\n  los:\n    description: |\n      length\n      of stay\n    unit: days\n    values: a|b\n"),
    ],
)
def test_csv_and_yaml_say_the_same(tmp_path: Path, name: str, text: str) -> None:
    assert read_meanings(file(tmp_path, name, text)) == [STAY]


def test_yaml_may_give_a_column_its_description_alone_and_words_are_taken_as_they_are(tmp_path: Path) -> None:
    path = file(tmp_path, "a.yaml", "t:\n  a: yes\n  b: {values: [no, 1.0]}\n  c:\n")
    assert read_meanings(path) == [Meaning("t", "a", "yes"), Meaning("t", "b", "", values=("no", "1.0"))]


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.csv", "table,description\nt,x\n", "the first row has no column"),
        ("a.csv", "table,column,meaning,unit\nt,a,x,kg\n", "the first row has no description"),
        ("a.csv", "table,column\nt,a\n", "the first row has no description"),
        ("a.csv", "", "is empty; its first row names table, column"),
        ("a.csv", "table,column,description\nt,a,x\n,b,x\n", "row 3 has no table"),
        ("a.csv", "table,column,description\nt,a,x,y\n", "row 2 has 4 cells, the first row has 3"),
        ("a.csv", "table,column,description\nt,a,x\nT,A,y\n", "row 3 describes T.A again, after row 2"),
        ("a.csv", "table,column,description\nt,a," + "x" * 1001, "row 2 holds a text of more than 1,000 characters"),
        ("a.csv", b"table,column,description\nt,a,\xff\n", "not valid UTF-8"),
        ("a.csv", b" " * (4 * 2**20 + 1), "larger than 4 MB"),
        ("a.yaml", "t: [", "not valid YAML"),
        ("a.yaml", "[" * 5000, "not valid YAML"),
        ("a.yaml", "t: x", "t: is not a mapping"),
        ("a.yaml", "just text", "holds neither a list of entries nor columns by table"),
        ("a.yaml", "- x", "entry 1 is not a mapping"),
        ("a.yaml", "t: {a: {descripton: x}}", "t.a has the key 'descripton'"),
        ("a.yaml", "t: {a: {description: [x]}}", "t.a holds a list or mapping where text belongs"),
        ("a.yaml", "&a [*a]", "not valid YAML"),
        ("a.yaml", "- {column: a, description: x}", "entry 1 has no table"),
    ],
)
def test_what_cannot_be_read_is_one_line_with_file_and_row_or_key(
    tmp_path: Path, name: str, text: str | bytes, said: str
) -> None:
    with pytest.raises(UserError) as caught:
        read_meanings(file(tmp_path, name, text))
    assert said in str(caught.value)
    assert str(caught.value).startswith(str(tmp_path / name))
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"a.csv: cannot be read: No such file"):
        read_meanings(tmp_path / "a.csv")


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    meanings = [STAY, Meaning("a,b", 'c"d', "é, 'x'"), Meaning("t", "c", "", values=("a|b", "c", "d\\", "e"))]
    write_meanings(meanings, tmp_path / "a.csv")
    assert read_meanings(tmp_path / "a.csv") == meanings
    assert [path.name for path in tmp_path.iterdir()] == ["a.csv"]


def test_meanings_are_put_beside_columns_whatever_their_case_and_the_rest_comes_back(tmp_path: Path) -> None:
    schema = read_sqlite(database(tmp_path, "CREATE TABLE STAY (LOS INT, other INT)"))
    lost = Meaning("stay", "nowhere", "x")
    described, unmatched = with_meanings(schema, [STAY, lost, Meaning("stay", "los", "a later one")])
    assert [column.meaning for column in described.tables[0].columns] == [
        "length of stay; in days; one of: 'a', 'b'",
        "",
    ]
    assert unmatched == [lost]


def test_what_a_prompt_gets_is_one_line_and_few_values(tmp_path: Path) -> None:
    schema = read_sqlite(database(tmp_path, "CREATE TABLE t (a INT)"))
    meaning = Meaning("t", "a", "x\n\x00\u202ey\u2028z", values=tuple(map(str, range(30))))
    text = with_meanings(schema, [meaning])[0].tables[0].columns[0].meaning
    assert text.startswith("x y z; one of: '0', '1',")
    assert text.endswith("'19', ...")


def test_the_file_beside_a_database_describes_its_columns(tmp_path: Path) -> None:
    path = database(tmp_path, "CREATE TABLE stay (los INT)")
    schema = read_sqlite(path)
    assert describe_columns(schema, path) == schema
    write_meanings([STAY, Meaning("gone", "x", "y")], meanings_file(path))
    assert describe_columns(schema, path).tables[0].columns[0].meaning.startswith("length of stay")


def test_comments_beside_columns_are_their_meanings(tmp_path: Path) -> None:
    script = """CREATE TABLE t ( -- the table
        id INTEGER PRIMARY KEY, -- ID
        -- about nothing
        "Full, Name" TEXT DEFAULT '--no', /* what (it)
           is called */ b INT /* one */, /* before */ c DECIMAL(3,
           2), -- after
        d INT CHECK (d IN (1, 2)) -- choices
        , e INT, /* end of the line */
        f INT
        , UNIQUE (d) -- a constraint
    );
    CREATE TABLE u (x INT);"""
    assert from_comments(database(tmp_path, script)) == [
        Meaning("t", "Full, Name", "what (it) is called"),
        Meaning("t", "b", "one"),
        Meaning("t", "c", "before; after"),
        Meaning("t", "d", "choices"),
        Meaning("t", "e", "end of the line"),
    ]


def test_a_long_comment_is_cut(tmp_path: Path) -> None:
    (meaning,) = from_comments(database(tmp_path, f"CREATE TABLE t (a INT /* {'word ' * 100} */)"))
    assert len(meaning.description) <= 200
    assert meaning.description.endswith("word...")


def test_birds_descriptions_are_read_in_either_encoding_and_without_what_names_say(tmp_path: Path) -> None:
    head = "original_column_name,column_name,column_description,data_format,value_description\r\n"
    rows = (
        'CDSCode,CDS Code,cds code,text,\r\n"los ",,length of\r\n stay,integer,"commonsense evidence:\n\n in days"\r\n'
    )
    rows = (
        rows.replace("length of\r\n stay", '"length of\r\n stay"')
        + "sex,,sex,,M: male\r\nname,full name,,,\r\n\r\nshort\r\n"
    )
    file(tmp_path, "Stay.csv", b"\xef\xbb\xbf" + (head + rows).encode())
    file(tmp_path, "city.csv", (head + "c,,caf\xe9,,\r\n").encode("latin-1"))
    file(tmp_path, "other.csv", "a,b\n1,2\n")
    file(tmp_path, ".DS_Store.csv", b"\x00\xff")
    assert from_bird(tmp_path) == [
        Meaning("Stay", "los", "length of stay; in days"),
        Meaning("Stay", "sex", "M: male"),
        Meaning("Stay", "name", "full name"),
        Meaning("city", "c", "café"),
    ]


def test_a_folder_of_descriptions_that_is_missing_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such folder"):
        from_bird(tmp_path / "gone")
