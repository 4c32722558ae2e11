"""Tables in CSV, TSV and Parquet files: their types, keys and marks, as spreadsheets and programs save them."""

from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from test_databases import ask, file, refused

from data.imports import delimited
from data.imports.databases import import_databases
from data.imports.delimited import delimiter_of
from data.schema import Column, ForeignKey, read_sqlite


def test_files_of_tables_become_one_database_with_types_and_keys(tmp_path: Path) -> None:
    folder = tmp_path / "shop"
    file(folder / "cities.csv", '\ufeffid,name,zip,share\n1,Ulm,01234,0.5\n2,"Bonn, old",,1\n\n')
    file(folder / "people.tsv", "person_id\tcity_id\tborn\n10\t2\t1e3\n11\t\t-5\n12\t2\tabout\n")
    file(folder / "visits.csv", "city_id;PersonId;n\n1;10;9223372036854775809\n3;11;1\n")
    (imported,) = import_databases(folder, tmp_path / "out")
    assert imported.name == "shop"
    cities, people, visits = read_sqlite(imported.path).tables
    assert [column.type for column in cities.columns] == ["INTEGER", "TEXT", "TEXT", "REAL"]
    assert (cities.primary_key, people.primary_key, visits.primary_key) == (("id",), (), ())
    assert people.foreign_keys == (ForeignKey("city_id", "cities", "id"),)
    assert visits.foreign_keys == ()  # 3 is no city
    assert [column.type for column in visits.columns] == ["INTEGER", "INTEGER", "TEXT"]
    assert ask(imported.path, "SELECT * FROM cities") == [(1, "Ulm", "01234", 0.5), (2, "Bonn, old", None, 1.0)]
    assert ask(imported.path, "SELECT * FROM people")[1:] == [(11, None, "-5"), (12, 2, "about")]
    assert imported.notes == (
        "cities: primary key id (inferred)",
        "people: foreign key city_id -> cities.id (inferred)",
        "visits.n: looks like numbers of more digits than fit, kept as text (first: row 2, '9223372036854775809')",
    )
    assert list(imported.path.parent.iterdir()) == [imported.path]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("a,b\n1,2\n1\n", "row 3 has 1 cells, the first row has 2"),
        ("a,b\n1,2,3\n", "row 2 has 3 cells, the first row has 2"),
        ("", "is empty"),
        ("a\n1\n".encode("utf-16"), "line 1 is not valid UTF-8"),
        ("a,A\n1,2\n", "has the column a more than once"),
        ("a,,c\n1,2,3\n", "column 2 has no name"),
        (b"a\nx\nM\xfcller\n", "line 3 is not valid UTF-8"),
        ('a,b\n"x"y,2\n', "row 2: "),
        (",".join(f"c{place}" for place in range(2001)) + "\n", "has 2,001 columns"),
        ('a,b\n1,"never closed\n', "row 2: unexpected end of data"),
    ],
)
def test_a_table_that_cannot_be_read_is_one_line_with_file_and_row(
    tmp_path: Path, content: str | bytes, said: str
) -> None:
    message = refused(tmp_path, file(tmp_path / "in" / "made.csv", content))
    assert message.startswith(str(tmp_path / "in" / "made.csv"))
    assert said in message


def test_two_files_of_one_table_name_are_refused(tmp_path: Path) -> None:
    file(tmp_path / "in" / "a.csv", "x\n1\n")
    file(tmp_path / "in" / "A.tsv", "x\n1\n")
    assert "several files would be the table" in refused(tmp_path, tmp_path / "in")


def column(tmp_path: Path, texts: list[str]) -> tuple[str, list[Any], str]:
    """The type, the values and the notes of a column c of a table t with these texts."""
    cells = "".join(f'"{text}";\n' for text in texts)
    (imported,) = import_databases(file(tmp_path / "t.csv", f"c;other\n{cells}"), tmp_path / "out")
    values = [value for (value,) in ask(imported.path, "SELECT c FROM t")]
    return read_sqlite(imported.path).tables[0].columns[0].type, values, "; ".join(imported.notes)


@pytest.mark.parametrize(
    ("texts", "kind", "values", "note"),
    [
        (["1", "-20"], "INTEGER", [1, -20], ""),
        (["9223372036854775807", "-9223372036854775808"], "INTEGER", [2**63 - 1, -(2**63)], ""),
        (["1.5", "-0.25e-3", "2"], "REAL", [1.5, -0.00025, 2.0], ""),
        (["0.3333333333333333333", "11.640000000000000568"], "REAL", [1 / 3, 11.64], ""),
        (["11.640000000000001", "5e-324"], "REAL", [11.640000000000001, 5e-324], ""),
        (["1e-999", "1"], "TEXT", None, "of more digits than fit"),
        (["1.234,56", "12,50", "-7"], "REAL", [1234.56, 12.5, -7.0], "t.c: '1.234,56' is read as 1234.56"),
        (["1,234.56", "12.50", "7"], "REAL", [1234.56, 12.5, 7.0], "t.c: '1,234.56' is read as 1234.56"),
        (["1,234,567", "12"], "INTEGER", [1234567, 12], "t.c: '1,234,567' is read as 1234567"),
        (["1.234.567", "12.000"], "INTEGER", [1234567, 12000], "t.c: '1.234.567' is read as 1234567"),
        (["0,500"], "REAL", [0.5], "t.c: '0,500' is read as 0.5"),
        (["1.234", "5"], "REAL", [1.234, 5.0], "t.c: points are read as decimal points"),
        (["1,234", "5"], "TEXT", None, "numbers with separators or units, kept as text (first: row 2, '1,234')"),
        (["1.5", "2,5"], "TEXT", None, "numbers with separators or units, kept as text (first: row 3, '2,5')"),
        (["1", "12 %", "$1,000.00"], "TEXT", None, "kept as text (first: row 3, '12 %')"),
        (["9007199254740993", "3.5"], "TEXT", None, "of more digits than fit, kept as text (first: row 2,"),
        (["1e999", "3"], "TEXT", None, "of more digits than fit, kept as text (first: row 2, '1e999')"),
        (["007", "1"], "TEXT", None, ""),
        (["+49", "1"], "TEXT", None, ""),
        (["0x1", "1_000", "٣"], "TEXT", None, ""),
        (["1"] * 10 + ["about"], "TEXT", None, "holds numbers and other texts, kept as text (first: row 12, 'about')"),
        (["1", "about"], "TEXT", None, ""),
        (["NULL", "3", "N/A", "-", "nan"], "INTEGER", [None, 3, None, None, None], "read as NULL (4 times)"),
        (["NULL", "x"], "TEXT", None, ""),
        (["none", "-"], "TEXT", None, ""),
        (["true", "False", "null"], "BOOLEAN", [1, 0, None], "'true' is read as 1; 'null' read as NULL (1 times)"),
        (["2024-01-31", "2024-02-01", "-"], "DATE", ["2024-01-31", "2024-02-01", None], "'-' read as NULL"),
        (["2024-01-31 10:00", "2024-02-01 10:00:01"], "TIMESTAMP", None, ""),
        (["31.1.2024", "01.02.2024"], "DATE", ["2024-01-31", "2024-02-01"], "'31.1.2024' is read as 2024-01-31"),
        (["01.02.2024 10:00"], "TIMESTAMP", ["2024-02-01 10:00"], "is read as 2024-02-01 10:00"),
        (["1/2/2024", "1/31/2024"], "DATE", ["2024-01-02", "2024-01-31"], "'1/2/2024' is read as 2024-01-02"),
        (["1/2/2024", "31/1/2024"], "DATE", ["2024-02-01", "2024-01-31"], "'1/2/2024' is read as 2024-02-01"),
        (["1/2/2024", "3/4/2024"], "TEXT", None, "looks like dates, but in no one order of day and month that is sure"),
        (["01.02.2020", "2021-03-04", "3/15/2022"], "TEXT", None, "kept as text (first: row 2, '01.02.2020')"),
        (["2024-01-31", "2024-02-01 10:00"], "TEXT", None, "looks like dates"),
        (["31.02.2024"], "TEXT", None, "looks like dates"),
        (["1.2.20"], "TEXT", None, "looks like dates"),
        (["2024-01-01T10:00:00Z"], "TEXT", None, ""),
        (["10.0.0.1", "1.2.3"], "TEXT", None, ""),
    ],
)
def test_a_column_is_converted_where_it_can_be_read_in_one_way_alone(
    tmp_path: Path, texts: list[str], kind: str, values: list[Any] | None, note: str
) -> None:
    found, kept, notes = column(tmp_path, texts)
    assert found == kind
    assert kept == (texts if values is None else values)
    assert note in notes
    assert bool(note) is bool(notes.replace("t: primary key c (inferred)", ""))


def test_a_long_column_of_words_is_given_up_on(tmp_path: Path) -> None:
    found, kept, notes = column(tmp_path, ["word"] * 3000 + ["1"] * 9)
    assert (found, len(kept), notes) == ("TEXT", 3009, "")


def shop(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        file(folder / f"{name}.csv", text.replace(" ", "\n") + "\n")
    return folder


@pytest.mark.parametrize(
    ("files", "keys"),
    [
        # The first column of its table, or the only one whose values differ.
        ({"product": "sku,price x1,2 x2,3", "item": "n,sku 1,x1 2,x1"}, {("item", "sku", "product", "sku")}),
        ({"product": "price,sku,on 2,x1,2024-01-01 2,x2,2024-01-02", "item": "SKU x1 x1"}, {("item", "SKU", "product", "sku")}),
        ({"product": "sku x1 x2", "item": "sku,n x1,1 ,2 x1,3", "more": "n,sku 1,x2 2,x2"},
         {("item", "sku", "product", "sku"), ("more", "sku", "product", "sku")}),
        ({"clients": "customer_id,city 1,a 2,a", "visits": "n,customer_id 8,2 9,2"}, {("visits", "customer_id", "clients", "customer_id")}),
        # A value that is not there, one that is missing or comes twice, a date, and no first place among several.
        ({"product": "sku,price x1,2 x2,3", "item": "n,sku 1,x1 2,x3 3,x1"}, set()),
        ({"product": "sku,price x1,2 ,3", "item": "n,sku 1,x1 2,x1"}, set()),
        ({"product": "sku,price x1,2 x1,3", "item": "n,sku 1,x1 2,x1"}, set()),
        ({"days": "day 2024-01-01 2024-01-02", "item": "n,day 1,2024-01-01 2,2024-01-01"}, set()),
        ({"product": "price,sku,code 2,x1,a 2,x2,b", "item": "n,sku 1,x1 2,x1"}, set()),
        # Two tables that could be meant; a key of both; a table with another key; numbers and texts.
        ({"product": "sku x1 x2", "old": "sku x1 x2", "item": "n,sku 1,x1 2,x1"}, set()),
        ({"product": "sku x1 x2", "details": "sku,size x1,4 x2,4"}, set()),
        ({"product": "sku,id x1,8 x2,9", "item": "n,sku 1,x1 2,x1"}, set()),
        ({"product": "sku 1 2", "item": "n,sku 1,1 2,1 3,x"}, set()),
        ({"person": "id 1 2", "log": "n,id 7,1 8,1"}, set()),
    ],
)  # fmt: skip
def test_a_column_named_as_another_tables_only_key_points_to_it(
    tmp_path: Path, files: dict[str, str], keys: set[tuple[str, ...]]
) -> None:
    (imported,) = import_databases(shop(tmp_path / "shop", **files), tmp_path / "out")
    tables = read_sqlite(imported.path).tables
    assert {
        (table.name, key.column, key.parent_table, key.parent_column) for table in tables for key in table.foreign_keys
    } == keys
    for table, column, parent, key in keys:
        assert f"{table}: foreign key {column} -> {parent}.{key} (inferred)" in imported.notes
        assert f"{parent}: primary key {key} (inferred)" in imported.notes
        assert next(one.primary_key for one in tables if one.name == parent) == (key,)


@pytest.mark.parametrize(
    ("cells", "is_told"),
    [
        ("SKU-0000\nSKU-0020", False),
        ("SKU-20\nSKU-21", False),
        ("12ABC\n13ABC", False),
        ("ABC 1,234\nABC 12", False),
        ("CHF-0020\nCHF-0021", False),
        ("USD 1,234\nUSD 12", True),
        ("12 EUR\n13 EUR", True),
    ],
)
def test_codes_are_not_told_as_numbers_with_units(tmp_path: Path, cells: str, is_told: bool) -> None:
    cells = "".join(f'"{cell}"\n' for cell in cells.split("\n"))
    (imported,) = import_databases(file(tmp_path / "t.csv", f"code\n{cells}"), tmp_path / "out")
    first = cells.splitlines()[0].strip('"')
    note = f"t.code: looks like numbers with separators or units, kept as text (first: row 2, {first!r})"
    assert imported.notes == ((note,) if is_told else ())


def test_parquet_keeps_its_types(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    table = pyarrow.table(
        {
            "id": [1, 2],
            "day": [date(2020, 1, 2), None],
            "at": [datetime(2020, 1, 2, 3, 4, 5), None],
            "price": [Decimal("1.50"), None],
            "tags": [["a", "b"], None],
            "more": [{"k": 1}, None],
            "ok": [True, False],
            "raw": [b"\x00", None],
            "share": [0.5, float("nan")],
            "large": pyarrow.array([2**63 - 1, 0], pyarrow.uint64()),
            "wide": pyarrow.array([Decimal("12.50"), None], pyarrow.decimal128(20, 2)),
        }
    )
    parquet.write_table(table, tmp_path / "event.parquet")
    (imported,) = import_databases(tmp_path / "event.parquet", tmp_path / "out")
    (made,) = read_sqlite(imported.path).tables
    assert made.columns[:4] == (
        Column("id", "INTEGER"),
        Column("day", "DATE"),
        Column("at", "TIMESTAMP"),
        Column("price", "NUMERIC"),
    )
    assert made.primary_key == ("id",)
    first, second = ask(imported.path, "SELECT * FROM event")
    assert first[:9] == (1, "2020-01-02", "2020-01-02 03:04:05", 1.5, '["a", "b"]', '{"k": 1}', 1, b"\x00", 0.5)
    assert first[9:] == (2**63 - 1, 12.5)
    assert second == (2, None, None, None, None, None, 0, None, None, 0, None)
    assert imported.notes == ("event: primary key id (inferred)",)


def test_numbers_of_parquet_that_would_lose_digits_stay_text(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    sums = [Decimal("1.50"), Decimal("123456789012345678.91"), None]
    table = pyarrow.table(
        {
            "amount": pyarrow.array(sums, pyarrow.decimal128(20, 2)),
            "count": pyarrow.array([2**64 - 1, 1, None], pyarrow.uint64()),
        }
    )
    parquet.write_table(table, tmp_path / "sale.parquet")
    (imported,) = import_databases(tmp_path / "sale.parquet", tmp_path / "out")
    assert ask(imported.path, "SELECT * FROM sale") == [
        ("1.50", "18446744073709551615"),
        ("123456789012345678.91", "1"),
        (None, None),
    ]
    assert imported.notes == (
        "sale.amount: holds more digits than fit a number, kept as text (first: row 2, 123456789012345678.91)",
        "sale.count: holds more digits than fit a number, kept as text (first: row 1, 18446744073709551615)",
    )


def test_a_false_parquet_file_is_refused(tmp_path: Path) -> None:
    assert "not a Parquet file" in refused(tmp_path, file(tmp_path / "bad.parquet", "PAR1 no"))


def test_a_table_that_a_spreadsheet_saved_with_semicolons_is_read(tmp_path: Path) -> None:
    text = '\ufeffid;"price (EUR, net)";note\r\n1;2,50;"two\r\nlines; or so"\r\n2;3,75;\r\n'
    (imported,) = import_databases(file(tmp_path / "sale.csv", text), tmp_path / "out")
    assert [column.name for column in read_sqlite(imported.path).tables[0].columns] == [
        "id",
        "price (EUR, net)",
        "note",
    ]
    assert ask(imported.path, "SELECT * FROM sale") == [(1, 2.5, "two\r\nlines; or so"), (2, 3.75, None)]


@pytest.mark.parametrize("line", ["sep=;\r\n", "\ufeffsep=;\n", '"sep=;"\n'])
def test_the_line_in_which_excel_names_the_mark_is_passed_over(tmp_path: Path, line: str) -> None:
    path = file(tmp_path / "sale.csv", f"{line}id;a,b,c\r\n1;2,3,4\r\n2\r\n")
    assert "row 3 has 1 cells, the first row has 2" in refused(tmp_path, path)
    (imported,) = import_databases(file(path, f"{line}id;a,b,c\r\n1;2,3,4\r\n"), tmp_path / "out")
    assert ask(imported.path, 'SELECT id, "a,b,c" FROM sale') == [(1, "2,3,4")]


@pytest.mark.parametrize(
    ("text", "mark"),
    [
        ("id;price (EUR, net)\n1;2,50\n", ";"),
        ("id;price (EUR, net, gross)\n1;2,50\n2;3\n", ";"),
        ("question,query\nWhich; and how?,SELECT 1\n", ","),
        ("question,query\nq,SELECT a, b\n", ","),
        ("question,query\nq,SELECT 1;\n", ","),
        ('"a;b;c",d\n1,2\n', ","),
        ('"a\nb;c;d";"e, f"\n1;2\n', ";"),
        ("a, b\tc\n1\t2\n", "\t"),
        ("a|b,c|d\n1|2|3\n", "|"),
        ("name\nBonn; old\n", ","),
        ("a;b\n", ";"),
        ("", ","),
    ],
)
def test_the_mark_is_the_one_that_parts_header_and_rows_alike(text: str, mark: str) -> None:
    assert delimiter_of(text) == mark
    assert delimiter_of(text.replace("\n", "\r\n")) == mark


def test_a_row_that_is_cut_off_where_the_looking_ends_tells_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    assert delimiter_of("a;b,c,d\n1;2,3") == ";"
    monkeypatch.setattr(delimited, "LOOKED_AT", len("a;b,c,d\n1;2,3"))
    assert delimiter_of("a;b,c,d\n1;2,3") == ","


def test_a_cell_has_one_limit_whatever_was_read_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = file(tmp_path / "made.csv", "a,b\n1," + "x" * 200_000 + "\n")
    monkeypatch.setattr(delimited, "MAX_CELL", 100_000)
    monkeypatch.setattr(delimited, "LOOKED_AT", 100)
    assert "row 2: field larger than" in refused(tmp_path, path)
    monkeypatch.undo()
    (imported,) = import_databases(path, tmp_path / "out")
    assert ask(imported.path, "SELECT length(b) FROM made") == [(200_000,)]
