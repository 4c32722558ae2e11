"""Choosing examples by embeddings and by skeletons, and the embeddings themselves."""

import dataclasses
import hashlib
import random
import shutil
import zlib
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from huggingface_hub.errors import LocalEntryNotFoundError

from data.errors import UserError
from data.examples import Example
from prompts import embed as embed_module
from prompts import select
from prompts.embed import PACKAGED, PACKAGED_SHA256, Embedder, Vectors
from prompts.select import Choice, make_chooser

CHOICES: tuple[Choice, ...] = ("random", "keyword", "vector", "skeleton")
CONTEXT = "Table {0} contains columns such as name: text, age: int, city: text"


def embed_words(texts: Sequence[str]) -> Vectors:
    """A bag of words, hashed: texts that share words are alike."""
    vectors = np.full((len(texts), 4096), 1e-3, dtype=np.float32)
    for vector, text in zip(vectors, texts, strict=True):
        for word in text.lower().split():
            vector[zlib.crc32(word.encode()) % 4096] += 1
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def example(place: int, db_id: str, question: str, query: str = "SELECT name FROM t") -> Example:
    return Example(question, CONTEXT.format(db_id), query, db_id, "train", "easy", "ok", f"train-{place}")


POOL = [
    example(0, "dog", "How many dogs are older than 3?", "SELECT count(*) FROM dog WHERE age > 3"),
    example(1, "dog", "Which dog is the oldest?", "SELECT name FROM dog ORDER BY age DESC LIMIT 1"),
    example(2, "shop", "How many   shops are in Paris?", "SELECT count(*) FROM shop WHERE city = 'Paris'"),
    example(3, "shop", "List all shops.", "SELECT name FROM shop"),
    example(4, "train", "Which train is the fastest?", "SELECT name FROM train ORDER BY speed DESC LIMIT 1"),
    example(5, "train", "How many trains leave Paris every day?", "SELECT count(*) FROM train"),
    example(6, "band", "List the names of bands by age.", "SELECT name FROM band ORDER BY age"),
]
ASKED = example(9, "singer", "How many singers are older than 7?", "SELECT 1")


def choose(choice: Choice, asked: Example = ASKED, count: int = 3, **settings: Any) -> list[str]:
    """Ids, the most alike first."""
    return [item.id for item in make_chooser(choice, POOL, 0, embed=embed_words, **settings)(asked, count)][::-1]


@pytest.mark.parametrize("choice", CHOICES)
def test_no_example_is_of_the_database_asked_about_unless_that_is_wanted(choice: Choice) -> None:
    asked = dataclasses.replace(ASKED, db_id="train")
    assert sorted(choose(choice, asked, 99)) == [f"train-{place}" for place in (0, 1, 2, 3, 6)]
    assert len(choose(choice, asked, 99, same_database=True)) == len(POOL)


@pytest.mark.parametrize("same_database", [False, True])
@pytest.mark.parametrize("choice", CHOICES)
def test_the_same_question_is_never_an_example(choice: Choice, same_database: bool) -> None:
    asked = dataclasses.replace(ASKED, question="how MANY shops are  in Paris? ")
    chosen = choose(choice, asked, 99, same_database=same_database)
    assert sorted(chosen) == [f"train-{place}" for place in (0, 1, 3, 4, 5, 6)]


@pytest.mark.parametrize("choice", CHOICES)
def test_a_smaller_number_takes_the_best_of_a_larger_one(choice: Choice, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(select, "NEAREST", 3)
    orders = [choose(choice, count=count) for count in range(8)]
    assert [len(order) for order in orders] == [0, 1, 2, 3, 4, 5, 6, 7]
    assert all(order == orders[7][:count] for count, order in enumerate(orders))


@pytest.mark.parametrize("choice", CHOICES)
def test_the_query_asked_for_is_never_looked_at(choice: Choice) -> None:
    queries = ["", "SELECT name FROM x ORDER BY y DESC LIMIT 1", "SELECT count(*) FROM x", "'"]
    assert len({tuple(choose(choice, dataclasses.replace(ASKED, query=query), 7)) for query in queries}) == 1


@pytest.mark.parametrize("choice", CHOICES)
def test_questions_known_ahead_are_given_the_same_examples(choice: Choice, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(select, "BLOCK", 2)
    asked = [*POOL, ASKED, *POOL[::-1]]
    quick = make_chooser(choice, POOL, 0, embed=embed_words, ahead=asked)
    plain = make_chooser(choice, POOL, 0, embed=embed_words)
    shuffled = random.Random(0).sample(asked, len(asked))
    for order in (asked, shuffled):
        assert [quick(item, 4) for item in order] == [plain(item, 4) for item in order]


@pytest.mark.parametrize("choice", ["vector", "skeleton"])
def test_all_that_is_known_is_embedded_in_one_batch(choice: Choice) -> None:
    batches: list[int] = []

    def counting(texts: Sequence[str]) -> Vectors:
        batches.append(len(texts))
        return embed_words(texts)

    chooser = make_chooser(choice, POOL, 0, embed=counting, ahead=[ASKED, POOL[0]])
    chooser(ASKED, 3)
    chooser(POOL[0], 3)
    assert batches == [len(POOL) + 2]


@pytest.mark.parametrize("choice", CHOICES)
@pytest.mark.parametrize("pool", [[], [example(0, "dog", "?")]], ids=["empty", "without words"])
def test_a_pool_without_words_gives_what_it_has(choice: Choice, pool: list[Example]) -> None:
    for embed in (embed_words, None) if choice != "vector" else (embed_words,):
        assert make_chooser(choice, pool, 0, embed=embed, ahead=[ASKED])(ASKED, 3) == pool


def test_the_most_alike_comes_last() -> None:
    asked = dataclasses.replace(ASKED, question="How many trains leave Paris?")
    assert choose("keyword", asked)[:2] == ["train-5", "train-2"]


@pytest.mark.parametrize("question", ["?", "What is it?", "zzz yyy"])
def test_a_question_without_known_words_still_gets_examples(question: str) -> None:
    assert len(choose("keyword", dataclasses.replace(ASKED, question=question))) == 3


def test_a_random_choice_depends_on_the_seed_and_the_question_alone() -> None:
    def chosen(seed: int, asked: Example = ASKED) -> list[str]:
        return [item.id for item in make_chooser("random", POOL, seed)(asked, 4)]

    chooser = make_chooser("random", POOL, 1)
    chooser(POOL[0], 4)  # another question before it changes nothing
    assert [item.id for item in chooser(ASKED, 4)] == chosen(1) == chosen(1)
    assert len({tuple(chosen(seed)) for seed in range(10)}) > 5
    assert len({tuple(chosen(1, dataclasses.replace(ASKED, question=f"How many {place}?"))) for place in range(10)}) > 5


def test_vector_takes_the_nearest_first_and_ties_by_place() -> None:
    pool = [example(place, "dog", question) for place, question in enumerate(["a b x", "a b c", "a b y", "q r s"])]
    chosen = make_chooser("vector", pool, 0, embed=embed_words)(example(9, "cat", "a b c d"), 3)
    assert [item.id for item in chosen[::-1]] == ["train-1", "train-0", "train-2"]


def test_vector_without_embeddings_is_refused() -> None:
    with pytest.raises(ValueError, match="embed"):
        make_chooser("vector", POOL, 0)


@pytest.mark.parametrize("embed", [None, embed_words], ids=["words", "embeddings"])
def test_skeleton_finds_a_question_of_the_same_form_over_another_schema(embed: embed_module.Embed | None) -> None:
    chosen = make_chooser("skeleton", POOL, 0, embed=embed)(ASKED, 1)
    assert [item.id for item in chosen] == ["train-0"]


@pytest.mark.parametrize("embed", [None, embed_words], ids=["words", "embeddings"])
def test_skeleton_prefers_the_form_of_sql_that_neighbours_agree_on(embed: embed_module.Embed | None) -> None:
    agreed, odd = "SELECT count(*) FROM t", "SELECT a FROM b WHERE c NOT IN (SELECT d FROM e)"
    pool = [
        example(place, "dog", f"Please tell how many there are {word}", query)
        for place, (word, query) in enumerate([("one", odd), ("two", agreed), ("three", agreed), ("four", agreed)])
    ]
    asked = example(9, "cat", "Please tell how many there are")
    order = [item.id for item in make_chooser("skeleton", pool, 0, embed=embed)(asked, 4)][::-1]
    assert order == ["train-1", "train-2", "train-3", "train-0"]


def test_a_random_choice_is_the_beginning_of_a_whole_shuffle() -> None:
    # Seeded by the question alone: a model is shown the same when it is asked as when it was scored.
    whole = random.Random(f"0:{' '.join(ASKED.question.lower().split())}").sample(range(len(POOL)), len(POOL))
    assert choose("random", count=7) == [f"train-{place}" for place in whole]


class Fake(Embedder):
    """Counts words in place of running a model; notes what it was asked."""

    asked: list[list[str]]

    def _encode(self, texts: Sequence[str]) -> Vectors:
        self.asked = [*getattr(self, "asked", []), list(texts)]
        return embed_words(texts)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    model = tmp_path / "model"
    model.mkdir()
    (model / "model.safetensors").write_bytes(b"weights")
    (model / "config.json").write_text("{}")
    return model


def test_equal_texts_are_embedded_once_in_the_order_of_their_lengths(folder: Path) -> None:
    embedder = Fake(str(folder))
    vectors = embedder.embed(["ccc", "b", "a", "ccc", "dd"])
    assert embedder.asked == [["a", "b", "dd", "ccc"]]
    assert (vectors == embed_words(["ccc", "b", "a", "ccc", "dd"])).all()
    assert embedder.embed([]).shape[0] == 0
    assert len(embedder.asked) == 1


def test_what_is_in_the_cache_is_not_computed_again(folder: Path, tmp_path: Path) -> None:
    first, second = (Fake(str(folder), tmp_path / "cache") for _ in range(2))
    vectors = first.embed(["a b", "c"])
    assert (second.embed(["c", "d", "a b"])[[2, 0]] == vectors).all()
    assert second.asked == [["d"]]
    assert [path.suffix for path in (tmp_path / "cache").iterdir()] == [".npz"]


def test_another_model_has_another_cache(folder: Path, tmp_path: Path) -> None:
    Fake(str(folder), tmp_path / "cache").embed(["a"])
    (folder / "config.json").write_text('{"other": 1}')
    other = Fake(str(folder), tmp_path / "cache")
    other.embed(["a"])
    assert other.asked == [["a"]]


@pytest.mark.parametrize("damage", [b"", b"PK\x03\x04 no archive", None], ids=["empty", "garbage", "cut short"])
def test_a_damaged_cache_is_made_anew(folder: Path, tmp_path: Path, damage: bytes | None) -> None:
    Fake(str(folder), tmp_path / "cache").embed(["a", "b"])
    (path,) = (tmp_path / "cache").iterdir()
    path.write_bytes(path.read_bytes()[:300] if damage is None else damage)
    for asked in (1, 0):
        embedder = Fake(str(folder), tmp_path / "cache")
        assert (embedder.embed(["a", "b"]) == embed_words(["a", "b"])).all()
        assert len(getattr(embedder, "asked", [])) == asked


def test_a_cache_of_another_shape_is_made_anew(folder: Path, tmp_path: Path) -> None:
    Fake(str(folder), tmp_path / "cache").embed(["a"])
    (path,) = (tmp_path / "cache").iterdir()
    key = np.frombuffer(hashlib.sha256(b"b").digest()[:16], np.uint8).reshape(1, 16)
    for vectors in (np.zeros((2, 3), np.float64), np.zeros((1, 3), np.float32)):
        np.savez(path, keys=key, vectors=vectors)
        assert (Fake(str(folder), tmp_path / "cache").embed(["a", "b"]) == embed_words(["a", "b"])).all()


def test_every_damage_of_the_cache_is_survived(folder: Path, tmp_path: Path) -> None:
    Fake(str(folder), tmp_path / "cache").embed(["a", "b"])
    (path,) = (tmp_path / "cache").iterdir()
    sound, draw = path.read_bytes(), random.Random(0)
    for _ in range(200):
        place = draw.randrange(len(sound) - 200, len(sound)) if draw.random() < 0.5 else draw.randrange(200)
        path.write_bytes(sound[:place] + bytes([sound[place] ^ 1 << draw.randrange(8)]) + sound[place + 1 :])
        assert Fake(str(folder), tmp_path / "cache").embed(["c"]).shape == (1, 4096)
    np.save(tmp_path / "plain.npy", np.zeros(3))
    path.write_bytes((tmp_path / "plain.npy").read_bytes())
    assert Fake(str(folder), tmp_path / "cache").embed(["c"]).shape == (1, 4096)


def test_the_cache_keeps_the_newest(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embed_module, "MOST_KEPT", 2)
    embedder = Fake(str(folder), tmp_path / "cache")
    embedder.embed(["old"])
    embedder.embed(["new", "newer"])
    again = Fake(str(folder), tmp_path / "cache")
    again.embed(["old", "new", "newer"])
    assert again.asked == [["old"]]


def test_weights_that_are_no_safetensors_are_refused(folder: Path) -> None:
    (folder / "2_Dense").mkdir()
    (folder / "2_Dense" / "pytorch_model.bin").write_bytes(b"")
    with pytest.raises(UserError, match="safetensors"):
        Embedder(str(folder)).embed(["a"])


def test_a_missing_package_is_told_with_the_way_to_get_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embed_module, "find_spec", lambda name: None)
    for model in (PACKAGED, str(folder)):
        with pytest.raises(UserError, match=r'pip install "loraql\[vector\]"'):
            Embedder(model).embed(["a"])


def test_what_a_model_is_is_told_without_fetching_it(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub

    def snapshot(name: str, local_files_only: bool, **_: object) -> str:
        assert local_files_only, "the hub was asked"
        if not (tmp_path / "hub").exists():
            raise LocalEntryNotFoundError("not in the cache")
        return str(tmp_path / "hub")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot)
    assert Embedder("some/model").identity == "some/model"
    assert Embedder(PACKAGED).identity == f"{PACKAGED} sha256:{PACKAGED_SHA256}"
    shutil.copytree(folder, tmp_path / "hub")
    assert Embedder("some/model").identity == Embedder(str(folder)).identity != "some/model"


def test_a_name_that_is_no_model_is_one_line() -> None:
    with pytest.raises(UserError, match="no model!"):
        Embedder("no model!").embed(["a"])


needs_library = pytest.mark.skipif(
    find_spec("sentence_transformers") is None, reason='needs sentence-transformers: pip install "loraql[vector]"'
)


@pytest.fixture(scope="module")
def tiny_encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import torch
    from transformers import BertConfig, BertModel, BertTokenizer

    folder = tmp_path_factory.mktemp("encoder")
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "how", "many", "dogs", "cats", "are", "there", "?"]
    BertTokenizer(vocab={word: place for place, word in enumerate(words)}).save_pretrained(folder)
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    BertModel(BertConfig(vocab_size=len(words), **sizes)).save_pretrained(folder)
    return folder


@needs_library
def test_a_model_of_ones_own_gives_unit_vectors(tiny_encoder: Path, tmp_path: Path) -> None:
    texts = ["how many dogs ?", "cats", "", "how many dogs ? " * 2000]
    vectors = Embedder(str(tiny_encoder), tmp_path).embed(texts)
    assert vectors.dtype == np.float32
    assert vectors.shape == (4, 32)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert (Embedder(str(tiny_encoder), tmp_path).embed(texts[::-1]) == vectors[::-1]).all()
    assert np.allclose(Embedder(str(tiny_encoder)).embed(texts[:1]), vectors[:1], atol=1e-5)


@needs_library
def test_damaged_weights_are_one_line(tiny_encoder: Path, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged"
    damaged.mkdir()
    for path in tiny_encoder.iterdir():
        (damaged / path.name).write_bytes(path.read_bytes()[:100])
    with pytest.raises(UserError, match="damaged") as caught:
        Embedder(str(damaged)).embed(["a"])
    assert "\n" not in str(caught.value)


@needs_library
@pytest.mark.skipif(find_spec(PACKAGED.replace("-", "_")) is None, reason=f"needs the package {PACKAGED}")
def test_the_packaged_model_finds_what_means_the_same() -> None:
    asked, same, other = Embedder().embed(
        ["How many dogs are there?", "Count the number of puppies.", "When does the train to Paris leave?"]
    )
    assert asked.shape == (384,)
    assert asked @ same > 0.5 > asked @ other
