"""Scripts that hold tables of several schemas or databases: one schema is taken, as of a server, and its names kept apart."""

from pathlib import Path

import pytest
from test_databases import ask, file, refused
from test_scripts import run

from data.meanings import Meaning, from_comments
from data.schema import ForeignKey, read_sqlite

NOTE = "only the schema public is copied; there are also: audit"
DUMP = r"""
--
-- PostgreSQL database dump
--
SELECT pg_catalog.set_config('search_path', '', false);
CREATE SCHEMA audit;
CREATE TYPE audit.state AS ENUM ('seen');
CREATE TYPE public.state AS ENUM ('new', 'it''s sent');
CREATE DOMAIN public.shown AS public.state NOT NULL;
DROP TABLE IF EXISTS audit.product;
CREATE TABLE audit.product (
    id integer NOT NULL,
    state audit.state
);
CREATE TABLE public.product (
    sku text NOT NULL,
    state public.state,
    size text,
    before public.shown,
    log integer,
    CONSTRAINT product_check CHECK ((size = ANY (ARRAY['S'::text, 'L'::text])))
);
CREATE TABLE public.sale (
    sku text,
    day date NOT NULL
)
PARTITION BY RANGE (day);
CREATE TABLE audit.sale_old (
    sku text,
    day date NOT NULL
);
ALTER TABLE ONLY public.sale ATTACH PARTITION audit.sale_old FOR VALUES FROM (MINVALUE) TO ('2024-01-01');
COMMENT ON COLUMN audit.product.state IS 'what was seen';
COMMENT ON COLUMN public.product.state IS 'how far it is';
CREATE VIEW audit.sold AS SELECT id FROM audit.product;
CREATE VIEW public.sold AS SELECT sku FROM public.product;
CREATE VIEW public.both AS SELECT p.sku FROM public.product p JOIN audit.product a ON a.id = p.log;
{rows}
ALTER TABLE ONLY audit.product
    ADD CONSTRAINT product_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.product
    ADD CONSTRAINT product_pkey PRIMARY KEY (sku);
ALTER TABLE ONLY public.product
    ADD CONSTRAINT product_log_fkey FOREIGN KEY (log) REFERENCES audit.product(id);
ALTER TABLE public.sale
    ADD CONSTRAINT sale_sku_fkey FOREIGN KEY (sku) REFERENCES public.product(sku);
"""
COPIED = r"""
COPY audit.product (id, state) FROM stdin;
1	seen
\.
COPY audit.sale_old (sku, day) FROM stdin;
a	2023-05-05
\.
COPY public.product (sku, state, size, before, log) FROM stdin;
a	new	S	new	1
b	new	L	new	1
\.
"""
INSERTED = """
INSERT INTO audit.product VALUES (1, 'seen');
INSERT INTO audit.sale_old VALUES ('a', '2023-05-05');
INSERT INTO public.product VALUES ('a', 'new', 'S', 'new', 1), ('b', 'new', 'L', 'new', 1);
"""


@pytest.mark.parametrize("rows", [COPIED, INSERTED], ids=["COPY", "INSERT"])
def test_of_a_dump_of_several_schemas_one_is_taken_with_what_is_its_own(tmp_path: Path, rows: str) -> None:
    imported = run(tmp_path, DUMP.replace("{rows}", rows))
    product, sale, sold = read_sqlite(imported.path).tables
    assert (product.name, product.primary_key, product.foreign_keys) == ("product", ("sku",), ())
    assert (sale.name, sale.foreign_keys) == ("sale", (ForeignKey("sku", "product", "sku"),))
    assert [column.name for column in product.columns] == ["sku", "state", "size", "before", "log"]
    assert ask(imported.path, "SELECT sku, size, log FROM product") == [("a", "S", 1), ("b", "L", 1)]
    assert ask(imported.path, "SELECT * FROM sale") == [("a", "2023-05-05")]  # of a partition in the other schema
    assert sold.name == "sold"
    assert ask(imported.path, "SELECT * FROM sold") == [("a",), ("b",)]
    assert from_comments(imported.path) == [Meaning("product", "state", "how far it is")]
    assert imported.meanings == (
        Meaning("product", "state", "how far it is", values=("new", "it's sent")),
        Meaning("product", "size", "", values=("S", "L")),
        Meaning("product", "before", "", values=("new", "it's sent")),
    )
    assert NOTE in imported.notes
    assert "product: a foreign key to a table of another schema is left out" in imported.notes
    assert "the view both is left out: it reads the schema audit, which is not copied" in imported.notes


@pytest.mark.parametrize(
    ("script", "names", "note"),
    [
        ("CREATE TABLE sales.a (x serial); INSERT INTO sales.a VALUES (1); CREATE VIEW v AS SELECT x FROM sales.a", "av", ""),
        ("SET search_path = sales, pg_catalog; CREATE TABLE a (x int); INSERT INTO sales.a VALUES (1)", "a", ""),
        ("CREATE TABLE a (x serial); INSERT INTO public.a VALUES (1)", "a", ""),
        ("CREATE TABLE audit.a (y text, x serial); CREATE TABLE a (x serial); INSERT INTO a VALUES (1)", "a", NOTE),
        ('CREATE TABLE "Audit".a (y text); CREATE TABLE Public.a (x serial); INSERT INTO a VALUES (1)', "a",
         "only the schema public is copied; there are also: Audit"),
        ("CREATE TABLE public.a (x int); CREATE TABLE audit.a (y text); INSERT INTO a VALUES (1)", "a", NOTE),
        ("SET search_path = audit, pg_catalog; CREATE TABLE a (y serial); INSERT INTO a VALUES (7);\n"
         "SET search_path = public, pg_catalog; CREATE TABLE a (x int); INSERT INTO a VALUES (1); ALTER TABLE ONLY a ADD PRIMARY KEY (x);\n"
         "SET search_path = audit; ALTER TABLE ONLY a ADD PRIMARY KEY (y)", "a", NOTE),
        ("CREATE TABLE one.a (x serial); CREATE TABLE two.a (y serial); INSERT INTO one.a VALUES (1)", "a",
         "only the schema one is copied; there are also: two"),
    ],
)  # fmt: skip
def test_the_schema_is_public_or_the_first_that_holds_tables(
    tmp_path: Path, script: str, names: str, note: str
) -> None:
    imported = run(tmp_path, script)
    assert [name for (name,) in ask(imported.path, "SELECT name FROM sqlite_master WHERE type <> 'index'")] == [*names]
    assert ask(imported.path, "SELECT x FROM a") == [(1,)]
    assert [text for text in imported.notes if "schema" in text] == ([note] if note else [])


def test_databases_of_mysql_are_put_together_unless_two_have_a_table_of_one_name(tmp_path: Path) -> None:
    made = (
        "CREATE DATABASE `{0}`;\nUSE `{0}`;\nDROP TABLE IF EXISTS `{1}`;\nCREATE TABLE `{1}` (a int) ENGINE=InnoDB;\n"
    )
    imported = run(tmp_path, made.format("shop", "product") + made.format("Audit", "log"))
    assert [table.name for table in read_sqlite(imported.path).tables] == ["product", "log"]
    assert "the tables of several databases are put together: Audit, shop" in imported.notes
    script = file(tmp_path / "two.sql", made.format("shop", "product") + made.format("Audit", "Product"))
    assert refused(tmp_path / "again", script) == (
        f"{script}: line 8: Product is in the databases shop and Audit; give a dump of one of them, "
        "as `mysqldump Audit` makes it"
    )
