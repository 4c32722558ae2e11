"""Dumps as the programs of PostgreSQL and MySQL write them: rows, partitions, views, comments, what is generated."""

from pathlib import Path

import pytest
from test_databases import ask
from test_scripts import run

from data.meanings import Meaning, from_comments

DUMP = r"""
--
-- PostgreSQL database dump
--
\restrict x
SELECT pg_catalog.set_config('search_path', '', false);
CREATE TYPE public.mood AS ENUM ('sad', 'ok');
CREATE DOMAIN public.amount AS integer
	CONSTRAINT amount_check CHECK ((VALUE > 0));
CREATE TABLE public.people (
    id integer NOT NULL,
    name text NOT NULL,
    feeling public.mood,
    tags text[],
    numbers integer[],
    truths boolean[],
    picture bytea,
    pay money,
    ratio double precision,
    seen timestamp with time zone,
    active boolean,
    code character(4),
    owed public.amount,
    "full;name" text GENERATED ALWAYS AS ((upper(name) || '!'::text)) STORED,
    hash text GENERATED ALWAYS AS (md5(name)) STORED
);
ALTER TABLE public.people OWNER TO me;
COMMENT ON TABLE public.people IS 'who buys';
COMMENT ON COLUMN public.people.feeling IS 'how it''s
 going -- mostly';
ALTER TABLE public.people ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.people_id_seq
    START WITH 1
);
CREATE TABLE public.sale (
    id bigint NOT NULL,
    day date NOT NULL
)
PARTITION BY RANGE (day);
CREATE TABLE public.sale_old (
    day date NOT NULL,
    id bigint NOT NULL
);
CREATE TABLE public.sale_new PARTITION OF public.sale FOR VALUES FROM ('2024-01-01') TO (MAXVALUE);
ALTER TABLE ONLY public.sale ATTACH PARTITION public.sale_old FOR VALUES FROM (MINVALUE) TO ('2024-01-01');
CREATE TABLE public.parent (
    a integer
);
CREATE TABLE public.child (
    b boolean
)
INHERITS (public.parent);
CREATE VIEW public.rich AS
 SELECT people.id
   FROM public.people
  WHERE (people.pay > (100)::money);
CREATE MATERIALIZED VIEW public.counted AS
 SELECT sale.day,
    count(*) AS n
   FROM public.sale
  GROUP BY sale.day
  WITH NO DATA;
CREATE VIEW public.odd AS SELECT regexp_matches(name, 'x') AS found FROM public.people;
{rows}
REFRESH MATERIALIZED VIEW public.counted;
SELECT pg_catalog.setval('public.people_id_seq', 2, true);
ALTER TABLE ONLY public.sale_old
    ADD CONSTRAINT sale_old_pkey PRIMARY KEY (id);
ALTER INDEX public.sale_pkey ATTACH PARTITION public.sale_old_pkey;
"""
COPIED = r"""
COPY public.child (a, b) FROM stdin;
2	t
\.


--
-- Data for Name: parent; Type: TABLE DATA
--

COPY public.parent (a) FROM stdin;
1
\.
COPY public.people (id, name, feeling, tags, numbers, truths, picture, pay, ratio, seen, active, code, owed) FROM stdin;
1	O'Brien;\ttab\nline\\n$$	ok	{a,"b c","q\\"x\\\\",NULL,"NULL"}	{{1,2},{3,NULL}}	{t,f}	\\xdead00	-$1,234.50	NaN	2024-01-01 08:00:00.5+02	f	ab  	7
2	Bär	\N	{}	\N	\N	\\x	\N	0.25	2024-01-01 08:00:00+00	\N	\N	\N
\.
COPY public.sale_old (day, id) FROM stdin;
2023-05-05	1
\.
COPY public.sale_new (id, day) FROM stdin;
2	2024-05-05
\.
COPY public.sale (id, day) FROM stdin;
\.
"""
INSERTED = r"""
INSERT INTO public.child VALUES (2, true);
INSERT INTO public.parent VALUES (1);
INSERT INTO public.people OVERRIDING SYSTEM VALUE VALUES (1, 'O''Brien;	tab
line\n$$', 'ok', '{a,"b c","q\"x\\",NULL,"NULL"}', '{{1,2},{3,NULL}}', '{t,f}', '\xdead00', '-$1,234.50', 'NaN', '2024-01-01 08:00:00.5+02', false, 'ab  ', 7, DEFAULT, DEFAULT);
INSERT INTO public.people (id, name, feeling, tags, numbers, truths, picture, pay, ratio, seen, active, code, owed) OVERRIDING SYSTEM VALUE VALUES (2, 'Bär', NULL, '{}', NULL, NULL, '\x', NULL, 0.25, '2024-01-01 08:00:00+00', NULL, NULL, NULL);
INSERT INTO public.sale_old VALUES ('2023-05-05', 1);
INSERT INTO public.sale_new VALUES (2, '2024-05-05');
"""


@pytest.mark.parametrize("rows", [COPIED, INSERTED], ids=["COPY", "INSERT"])
def test_a_dump_of_postgres_gives_the_values_that_the_server_would(tmp_path: Path, rows: str) -> None:
    imported = run(tmp_path, DUMP.replace("{rows}", rows))
    assert ask(imported.path, "SELECT * FROM people") == [
        (
            1, "O'Brien;\ttab\nline\\n$$", "ok", '["a","b c","q\\"x\\\\",null,"NULL"]', "[[1,2],[3,null]]",
            "[true,false]", b"\xde\xad\0", -1234.5, None, "2024-01-01 06:00:00.5", 0, "ab", 7,
            "O'BRIEN;\tTAB\nLINE\\N$$!",
        ),
        (2, "Bär", None, "[]", None, None, b"", None, 0.25, "2024-01-01 08:00:00", None, None, None, "BÄR!"),
    ]  # fmt: skip
    assert ask(imported.path, "SELECT * FROM sale") == [(1, "2023-05-05"), (2, "2024-05-05")]
    assert ask(imported.path, "SELECT a FROM parent ORDER BY a") == [(1,), (2,)]
    assert ask(imported.path, "SELECT * FROM child") == [(2, 1)]
    assert ask(imported.path, "SELECT * FROM rich") == []
    assert ask(imported.path, "SELECT * FROM counted") == [("2023-05-05", 1), ("2024-05-05", 1)]
    assert ask(imported.path, "SELECT name FROM sqlite_master WHERE type = 'table'") == [
        ("people",), ("sale",), ("parent",), ("child",),
    ]  # fmt: skip
    assert from_comments(imported.path) == [Meaning("people", "feeling", "how it's going -- mostly")]
    assert imported.dialect == "postgres"
    assert imported.notes == (
        "read as PostgreSQL",
        "parent: holds the rows of child too, which inherits from it",
        "sale: holds the rows of its partitions, which are no tables here: sale_new, sale_old",
        "people: the generated column hash is left out: no such function: MD5",
        "the view odd is left out: SQLite has no function REGEXP_MATCHES",
        "statements passed over: 1 COMMENT, 1 CREATE DOMAIN, 1 CREATE TYPE",
    )


def test_a_dump_of_mysql_has_its_views_and_what_it_computes(tmp_path: Path) -> None:
    imported = run(
        tmp_path,
        r"""-- MySQL dump 10.13
/*!50001 DROP VIEW IF EXISTS `a_first`*/;
/*!50001 CREATE VIEW `a_first` AS SELECT
 1 AS `name`*/;
CREATE TABLE `t` (
  `name` varchar(9) DEFAULT NULL COMMENT 'who''s\nthat',
  `full` varchar(9) GENERATED ALWAYS AS (concat(`name`,_utf8mb4'!')) VIRTUAL COMMENT 'with a mark',
  `hash` char(32) GENERATED ALWAYS AS (md5(`name`)) STORED
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COMMENT='all'
 PARTITION BY HASH (`name`)
PARTITIONS 2;
/*!40000 ALTER TABLE `t` DISABLE KEYS */;
INSERT INTO `t` (`name`) VALUES ('C:\\temp'),('it\'s');
CREATE TABLE `u` (`name` varchar(9), `hash` char(32) GENERATED ALWAYS AS (md5(`name`)) STORED) ENGINE=InnoDB;
INSERT INTO `u` VALUES ('a','0cc175b9c0f1b6a831c399e269772661');
DELIMITER ;;
/*!50003 CREATE*/ /*!50017 DEFINER=`root`@`%`*/ /*!50003 TRIGGER `x` BEFORE INSERT ON `t` FOR EACH ROW BEGIN
  SET NEW.name = 'x;y';
END */;;
/*!50003 CREATE*/ /*!50017 DEFINER=`root`@`%`*/ /*!50003 TRIGGER `y` BEFORE UPDATE ON `t` FOR EACH ROW SET NEW.name = '' */;;
DELIMITER ;
CREATE DEFINER=`root`@`%` FUNCTION `f`() RETURNS int RETURN 1;
/*!50001 DROP VIEW IF EXISTS `a_first`*/;
/*!50001 CREATE ALGORITHM=UNDEFINED */
/*!50013 DEFINER=`root`@`%` SQL SECURITY DEFINER */
/*!50001 VIEW `a_first` AS select `v`.`name` AS `name` from `v` */;
/*!50001 CREATE ALGORITHM=UNDEFINED */
/*!50013 DEFINER=`root`@`%` SQL SECURITY DEFINER */
/*!50001 VIEW `v` AS select `t`.`name` AS `name` from `t` where `t`.`name` like 'it%' */;
/*!50001 CREATE VIEW `w` AS select md5(`t`.`name`) AS `m` from `t` */;
""",
    )
    assert ask(imported.path, "SELECT * FROM t") == [("C:\\temp", "C:\\temp!"), ("it's", "it's!")]
    assert ask(imported.path, "SELECT * FROM u") == [("a", "0cc175b9c0f1b6a831c399e269772661")]
    assert ask(imported.path, "SELECT * FROM a_first") == [("it's",)]
    assert [(meaning.column, meaning.description) for meaning in from_comments(imported.path)] == [
        ("name", "who's that"),
        ("full", "with a mark"),
    ]
    assert imported.notes == (
        "read as MySQL",
        "t: the generated column hash is left out: no such function: MD5",
        "the view w is left out: SQLite has no function MD5",
        "statements passed over: 1 CREATE FUNCTION, 2 CREATE TRIGGER",
    )


def test_what_columns_of_a_mysql_dump_may_hold_comes_with_it(tmp_path: Path) -> None:
    script = """-- MySQL dump 10.13
CREATE TABLE `t` (
  `kind` enum('a','it''s','b|c') NOT NULL COMMENT 'which\nsort',
  `more` set('x','y') DEFAULT NULL,
  `size` varchar(5) DEFAULT NULL CHECK (`size` in ('S','L')),
  `years` int DEFAULT NULL,
  `state` varchar(9) DEFAULT NULL COMMENT 'how far',
  CONSTRAINT `c1` CHECK ((`years` > 3)),
  CONSTRAINT `c2` CHECK ((`state` in (_utf8mb4'new',_utf8mb4'old')))
) ENGINE=InnoDB;
"""
    imported = run(tmp_path, script)
    assert imported.meanings == (
        Meaning("t", "kind", "which sort", values=("a", "it's", "b|c")),
        Meaning("t", "more", "", values=("x", "y")),
        Meaning("t", "size", "", values=("S", "L")),
        Meaning("t", "state", "how far", values=("new", "old")),
    )
    assert from_comments(imported.path) == [Meaning("t", "kind", "which sort"), Meaning("t", "state", "how far")]


def test_views_that_differ_in_letter_case_and_what_they_may_tell_otherwise_are_noted(tmp_path: Path) -> None:
    imported = run(
        tmp_path,
        """-- PostgreSQL database dump
CREATE TABLE public.t (a integer, b text GENERATED ALWAYS AS (CASE WHEN (c ~~ 'X%'::text) THEN 'x' END) STORED, c text);
INSERT INTO public.t VALUES (1, DEFAULT, 'Xy');
CREATE VIEW public.v AS SELECT t.a FROM public.t WHERE (t.c ~~ 'X%'::text);
CREATE VIEW public."V" AS SELECT t.c FROM public.t;
""",
    )
    assert ask(imported.path, "SELECT * FROM v") == [(1,)]
    assert ask(imported.path, "SELECT b FROM t") == [("x",)]
    like = "a LIKE of PostgreSQL tells letter case apart, SQLite's does not"
    *notes, last = imported.notes
    assert notes == ["read as PostgreSQL", f"t: the generated column b: {like}", f"the view v: {like}"]
    assert last.startswith("the view V is left out: ")
