"""While SQL is generated, only what the schema has can be named."""

import json
import random
import re
import sqlite3
import zipfile
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerFast

from data import embedded, spider
from data.schema import Column, Schema, Table
from eval import vocabulary
from eval.automaton import Automaton
from eval.vocabulary import fold
from pipeline.constrain import Constraint, Vocabulary

SPIDER = Path(__file__).parents[2] / "shared" / "data" / "spider_data.zip"


def table(name: str, *columns: str) -> Table:
    return Table(name, tuple(Column(column, "") for column in columns), (), ())


SCHEMA = Schema(
    "stage",
    (
        table("singer", "singer_id", "name", "group", "Home Town", "rank", "Straße"),
        table("concert", "concert_id", "singer_id", "year"),
        table("order", "id", "total"),
    ),
)

MAY_BE_WRITTEN = r"""
select COUNT(*) From SINGER;
  SELECT T1.name FROM singer AS T1 JOIN concert AS T2 ON T1.singer_id = T2.singer_id
SELECT s.name, c.year FROM singer s, concert c WHERE s.singer_id=c.singer_id
WITH x AS (SELECT count(*) AS cnt FROM singer) SELECT cnt FROM x
WITH RECURSIVE n(a, b) AS (SELECT 1, 2 UNION ALL SELECT a + 1, b FROM n WHERE a < 5) SELECT a FROM n
VALUES (1, 'a'), (2, 'b')
SELECT "group", `Home Town`, [home town], Straße FROM singer
SELECT singer."group" FROM singer WHERE "singer"."Home Town" = "any text"
SELECT name FROM singer WHERE name = 'it''s ☃' AND name LIKE '%x%' ESCAPE '\'
SELECT CAST(year AS VARCHAR(4)) || '' FROM concert WHERE year > = 2.5e-3 OR year <> -1
SELECT CASE WHEN year > 5 THEN 'a' ELSE 'b' END AS kind FROM concert GROUP BY kind HAVING count(DISTINCT year) > 1
SELECT rank() OVER (PARTITION BY year ORDER BY year DESC ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) FROM concert
SELECT rank, date('now') FROM singer ORDER BY rank DESC NULLS LAST LIMIT 3 OFFSET 2
SELECT count(*) FILTER (WHERE year IS NOT NULL) FROM concert
SELECT name FROM singer WHERE singer_id NOT IN (SELECT singer_id FROM concert) UNION SELECT year FROM concert ORDER BY name
SELECT (SELECT max(year) FROM concert WHERE concert.singer_id = T1.singer_id) FROM singer AS T1
SELECT name FROM singer AS T1 INTERSECT SELECT T1.year FROM concert AS T1 WHERE T1.year = 1
SELECT max(id) FROM `order` AS o WHERE o.total BETWEEN 1 AND 2
SELECT a.name FROM (SELECT * FROM singer) a LEFT JOIN concert b USING (singer_id)
"""
# The mark stands before the first character that may not come.
MAY_NOT_BE_WRITTEN = r"""
SELECT nam| FROM singer
SELECT ti|tle FROM singer
SELECT name FROM singer|s
SELECT name FROM |name
SELECT singer |FROM singer
SELECT concert.|name FROM concert
SELECT year FROM concert AS T1 WHERE T1.|name = 3
SELECT name FROM singer WHERE |year = 3
SELECT name FROM singer AS T1 WHERE T|2.name = 3
SELECT year FROM concert AS T1 INTERSECT SELECT name FROM singer AS T1 WHERE T1.|year = 1
SELECT group| FROM singer
SELECT total FROM |order
SELECT [n|othing] FROM singer
SELECT name FROM "|nothing"
SELECT T1."n|othing" FROM singer AS T1
SELECT b |FROM singer
SELECT lo|ad_extension('x')
SELECT fo|o(name) FROM singer
SELECT name FROM singer AS from| WHERE
SELECT name FROM singer;| SELECT 1
SELECT name -|- what follows
SELECT name /|* what follows */
SELECT name|) FROM singer
|DELETE FROM singer
"""
MAY_NOT_END = [
    "",
    "SELECT",
    "SELECT name,",
    "SELECT (name",
    "SELECT nam",
    "SELECT name FROM singer WHERE name = 'x",
    "SELECT name FROM",
]


def lines(text: str) -> list[str]:
    return text.strip("\n").split("\n")


@pytest.mark.parametrize("sql", lines(MAY_BE_WRITTEN))
def test_a_query_about_the_schema_can_be_written(sql: str) -> None:
    automaton = Automaton(SCHEMA)
    state, read = automaton.read(fold(sql))
    assert state, f"stops at {fold(sql)[read:]}"
    assert automaton.may_end(state)


@pytest.mark.parametrize("sql", lines(MAY_NOT_BE_WRITTEN))
def test_what_the_schema_lacks_cannot(sql: str) -> None:
    before, _, after = sql.partition("|")
    automaton = Automaton(SCHEMA)
    state, read = automaton.read(fold(before + after))
    assert state is None
    assert read == len(before)


@pytest.mark.parametrize("sql", MAY_NOT_END)
def test_what_is_not_whole_may_not_end(sql: str) -> None:
    automaton = Automaton(SCHEMA)
    state, _ = automaton.read(fold(sql))
    assert state
    assert not automaton.may_end(state)


def test_a_blank_line_ends_a_query_and_no_part_of_one() -> None:
    automaton = Automaton(SCHEMA)
    ended, _ = automaton.read("select name from singer\n\n")
    assert ended and automaton.may_end(ended)
    assert automaton.step(ended, " ") is None
    assert automaton.read("select name\n\nfrom singer")[0] is None
    assert automaton.read("select (\n\n")[0] is None


def test_every_gold_of_the_sample_can_be_written(tmp_path: Path) -> None:
    embedded.build(tmp_path)
    assert list(refused(tmp_path, ("train", "dev"))) == []


@pytest.mark.skipif(not SPIDER.is_file(), reason=f"{SPIDER} is not there")
@pytest.mark.parametrize("split", ["dev", pytest.param("train", marks=pytest.mark.slow)])
def test_every_gold_of_spider_that_runs_can_be_written(tmp_path: Path, split: str) -> None:
    with zipfile.ZipFile(SPIDER) as archive:
        archive.extractall(tmp_path)  # read as published
    root = spider.find_root(tmp_path)
    runs = {sql for path, sql in refused(root, (split,)) if can_run(path, sql)}
    # One joins ON a table that it joins only afterwards.
    assert len(runs) <= (split == "train"), runs


def refused(root: Path, splits: Sequence[str]) -> Iterator[tuple[Path, str]]:
    """Golds that the automaton of their own schema does not read, with their databases."""
    automata: dict[str, Automaton] = {}
    schemas = spider.Schemas(root)
    for split in splits:
        for question in spider.read_split(root, split):
            if question.db_id not in automata:
                automata[question.db_id] = Automaton(schemas.get(split, question.db_id))
            state, _ = automata[question.db_id].read(fold(question.query))
            if not state or not automata[question.db_id].may_end(state):
                yield spider.database_path(root, split, question.db_id), question.query


def can_run(database: Path, sql: str) -> bool:
    connection = sqlite3.connect(database)
    connection.text_factory = bytes
    try:
        connection.execute(sql).fetchone()
    except sqlite3.Error:
        return False
    finally:
        connection.close()
    return True


@pytest.fixture(scope="module", params=["byte-level", "sentencepiece", "wordpiece"])
def tokenizer(request: pytest.FixtureRequest, tiny_model: Path) -> Any:
    if request.param == "byte-level":
        return AutoTokenizer.from_pretrained(tiny_model)
    texts = [text for text in lines(MAY_BE_WRITTEN) for _ in range(3)]
    special = ["<unk>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    if request.param == "sentencepiece":
        made = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True))
        made.normalizer = normalizers.Replace(" ", "\u2581")
        made.decoder = decoders.Sequence([decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse()])
        trainer: Any = trainers.BpeTrainer(
            vocab_size=500, special_tokens=special, max_token_length=9, show_progress=False
        )
    else:
        made = Tokenizer(models.WordPiece(unk_token="<unk>"))
        made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        made.decoder = decoders.WordPiece(cleanup=False)
        trainer = trainers.WordPieceTrainer(vocab_size=400, special_tokens=special[:2], show_progress=False)
    made.train_from_iterator(texts, trainer)
    if request.param == "sentencepiece":  # training takes them for added tokens, which have no such meaning
        state = json.loads(made.to_str())
        state["added_tokens"] = [entry for entry in state["added_tokens"] if entry["id"] < 2]
        made = Tokenizer.from_str(json.dumps(state))
    return PreTrainedTokenizerFast(tokenizer_object=made, eos_token="</s>", unk_token="<unk>")


def test_tokens_hold_what_they_add_to_a_text(tokenizer: Any) -> None:
    vocabulary = Vocabulary(tokenizer)
    texts = [tokenizer(sql, add_special_tokens=False)["input_ids"] for sql in lines(MAY_BE_WRITTEN)]
    known = [ids for ids in texts if tokenizer.unk_token_id not in ids]
    assert len(known) > len(texts) / 2
    for ids in known:
        written = "".join(vocabulary.texts[token] for token in ids)
        assert written.split() == fold(tokenizer.decode(ids)).split()


def test_each_token_of_a_query_is_allowed_and_then_the_end(tokenizer: Any) -> None:
    constraint = Constraint(Vocabulary(tokenizer), SCHEMA)
    for sql in ("SELECT T1.name FROM singer AS T1", "SELECT name FROM singer WHERE \"Home Town\" = 'it'"):
        ids = [*tokenizer(sql, add_special_tokens=False)["input_ids"], tokenizer.eos_token_id]
        for place, token in enumerate(ids):
            assert constraint.allowed(ids[:place])[token], tokenizer.decode(ids[: place + 1])


def test_allowed_are_the_tokens_that_the_automaton_reads_and_no_others(tokenizer: Any) -> None:
    tokens, automaton = Vocabulary(tokenizer), Automaton(SCHEMA)
    constraint, draw = Constraint(tokens, SCHEMA), random.Random(0)
    for ids in walks(constraint, draw, 8, 24):
        place = draw.randrange(len(ids))
        state = automaton.read("".join(tokens.texts[token] for token in ids[:place]))[0]
        assert state
        expected = {token for token, text in tokens.texts.items() if automaton.read(text, state)[0]}
        expected |= {tokens.end} if automaton.may_end(state) or not expected else set()
        assert set(constraint.allowed(ids[:place]).nonzero()[:, 0].tolist()) == expected


def test_a_part_of_a_name_goes_on_to_names_only(tiny_model: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    tokens = Vocabulary(tokenizer)
    constraint = Constraint(tokens, SCHEMA)
    written = tokenizer("SELECT singer_i")["input_ids"]
    texts = {tokens.texts[token] for token in constraint.allowed(written).nonzero()[:, 0].tolist()}
    assert texts == {"d"}
    after = constraint.allowed(tokenizer("SELECT singer_id")["input_ids"])
    assert {tokens.texts[token][0] for token in after.nonzero()[:, 0].tolist() if token != tokens.end}.isdisjoint(
        "abcxyz_0"
    )


def test_more_logits_than_tokens_are_never_allowed(tiny_model: Path) -> None:
    tokens = Vocabulary(AutoTokenizer.from_pretrained(tiny_model))
    allowed = Constraint(tokens, SCHEMA).allowed([], size=tokens.size + 5)
    assert allowed.shape == (tokens.size + 5,)
    assert allowed.any() and not allowed[tokens.size :].any()


def test_after_what_may_not_be_written_only_the_end_may_follow(tiny_model: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    constraint = Constraint(Vocabulary(tokenizer), SCHEMA)
    for written in (tokenizer("SELECT nothing")["input_ids"], [tokenizer.bos_token_id]):
        assert constraint.allowed(written).nonzero()[:, 0].tolist() == [tokenizer.eos_token_id]


def test_half_a_character_comes_within_quotes_only(tiny_model: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    tokens = Vocabulary(tokenizer)
    constraint = Constraint(tokens, SCHEMA)
    (half,) = (token for token, text in tokens.texts.items() if text == "\xe2")
    assert not constraint.allowed(tokenizer("SELECT ")["input_ids"])[half]
    assert not constraint.allowed(tokenizer("SELECT name AS ")["input_ids"])[half]
    assert constraint.allowed(tokenizer("SELECT '")["input_ids"])[half]


def test_a_random_model_names_only_what_the_schema_has(tiny_model: Path) -> None:
    import torch

    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    model = AutoModelForCausalLM.from_pretrained(tiny_model)
    constraint = Constraint(Vocabulary(tokenizer), SCHEMA)
    for seed in range(6):
        prompt = [random.Random(seed).randrange(2, 600) for _ in range(6)]
        written: list[int] = []
        with torch.inference_mode():
            while len(written) < 20 and tokenizer.eos_token_id not in written:
                logits = model(torch.tensor([prompt + written])).logits[0, -1]
                allowed = constraint.allowed(written, size=len(logits))
                written.append(int(logits.masked_fill(~allowed, -torch.inf).argmax()))
        assert invented(tokenizer.decode(written, skip_special_tokens=True)) == set()


def test_random_tokens_name_only_what_the_schema_has(tiny_model: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    constraint = Constraint(Vocabulary(tokenizer), SCHEMA)
    for ids in walks(constraint, random.Random(1), 60, 40):
        text = tokenizer.decode(ids)
        assert invented(text) == set(), text


def walks(constraint: Constraint, draw: random.Random, count: int, length: int) -> Iterator[list[int]]:
    """Token by token, each drawn from those allowed; the end is left out."""
    for _ in range(count):
        written: list[int] = []
        while len(written) < length:
            token = draw.choice(constraint.allowed(written).nonzero()[:, 0].tolist())
            if token == constraint._vocabulary.end:
                break
            written.append(token)
        yield written


def invented(text: str) -> set[str]:
    """The words of a text, or of its beginning, that are neither SQL's nor the schema's nor aliases."""
    bare = re.sub(r"'[^']*('|$)|\"[^\"]*(\"|$)|`[^`]*(`|$)|\[[^\]]*(\]|$)", " 0 ", fold(text))
    words = re.findall(r"(?<![0-9.])(?<!\w)[a-z_\x80-\xff][a-z0-9_\x80-\xff]*", bare)
    if re.search(r"[a-z0-9_\x80-\xff]$", bare):  # of the last, which may go on
        words.pop()
    named = {after for before, after in pairwise(words) if before in ("as", "with", "recursive")}
    named |= set(re.findall(r"\w+", " ".join(re.findall(r"with\s+(?:recursive\s+)?\w+\s*\(([^)]*)", bare))))
    tables = (vocabulary.QUERIES, vocabulary.OPERANDS, vocabulary.OPERATORS, vocabulary.JOINS, vocabulary.TAIL)
    own = {word for words in (*tables, *vocabulary.CLAUSES.values(), *vocabulary.PLACES.values()) for word in words}
    own |= {word for opening in vocabulary.OPENINGS.values() for word in opening} | vocabulary.functions()
    names = {fold(name) for one in SCHEMA.tables for name in (one.name, *(column.name for column in one.columns))}
    return {word for word in words if not re.fullmatch(r"[a-z]{1,3}\d{0,2}", word)} - own - names - named
