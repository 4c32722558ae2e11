"""GPT-2 for PostgreSQL's pg_llm: the archive, the tables on a real server, and what is refused."""

import gzip
import io
import json
import os
import shutil
import struct
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from conftest import tiny_settings
from gpt2 import END, make_tiny_gpt2
from programs import IN_URL, PASSWORD, POSTGRES_FOLDERS, check_line, find_program, free_port

from data.errors import UsageError, UserError
from pipeline.cli import main
from pipeline.config import load_config
from pipeline.pgllm import export_pgllm, load_pgllm, make_blocks
from pipeline.pgllm_files import write_table
from pipeline.pgllm_model import read_gpt2

pytest_plugins = ("running",)
Loraql = Callable[..., str]
# What the extension declares; here they only take what the printed SQL gives them.
STUBS = """
CREATE FUNCTION pg_llm_import_npz(path text, model text) RETURNS void LANGUAGE sql AS '';
CREATE FUNCTION llm_encode(text_in text, p_model text) RETURNS int[] LANGUAGE sql AS 'SELECT ARRAY[1]';
CREATE FUNCTION llm_decode(ids int[], p_model text) RETURNS text LANGUAGE sql AS 'SELECT ids::text';
CREATE FUNCTION llm_generate(prompt text, max_tokens int, temperature float4, topk int, topp float4, model_name text,
    eos_token int) RETURNS text LANGUAGE sql AS 'SELECT prompt || model_name || eos_token';
CREATE FUNCTION llm_train(model text, n_steps int, n_layer int, n_head int, d_model int, vocab int, dropout_p float4,
    beta1 float4, beta2 float4, eps float4, wd float4, lr_max float4, warmup int) RETURNS void LANGUAGE sql AS '';
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder where the whole line has run with a tiny GPT-2, and `pgllm` after it."""
    folder = tmp_path_factory.mktemp("gpt2")
    base = make_tiny_gpt2(folder / "base")
    settings = tiny_settings(base)
    settings["prompt"] = {"order": "schema-first", "max_length": 900}
    settings["train"] = settings["train"] | {"max_steps": 2, "checkpoints": 1}
    (folder / "gpt2.yaml").write_text(yaml.safe_dump({"name": "tiny-gpt2"} | settings), encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert main(["run", "gpt2.yaml"]) == 0
        assert main(["export", "gpt2.yaml", "--kind", "pgllm"]) == 0
    return folder


@pytest.fixture
def inside(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The files of `pgllm`, seen from the folder of the run."""
    monkeypatch.chdir(home)
    return Path("runs/tiny-gpt2/export/pgllm")


@pytest.fixture
def server(postgres: tuple[Any, str]) -> Iterator[tuple[Any, str]]:
    """An empty database of a real server, and its URL with a password."""
    psycopg = pytest.importorskip("psycopg")
    administrator = postgres[0]
    administrator.execute("CREATE DATABASE llm")
    port = administrator.info.port
    url = f"postgresql://admin:{IN_URL}@127.0.0.1:{port}/llm"
    with closing(
        psycopg.connect(host="127.0.0.1", port=port, user="admin", password=PASSWORD, dbname="llm", autocommit=True)
    ) as connection:
        yield connection, url
    administrator.execute("DROP DATABASE llm")


def rows(connection: Any, query: str) -> list[Any]:
    return connection.execute(query).fetchall()


def read_archive(path: Path) -> dict[str, Any]:
    """A reader of its own: entries one after the other until the stream ends."""
    stream, found = io.BytesIO(gzip.decompress(path.read_bytes())), {}
    while head := stream.read(2):
        (length,) = struct.unpack("<H", head)
        name = stream.read(length).decode("utf-8")
        version = np.lib.format.read_magic(stream)
        assert version in ((1, 0), (2, 0))
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, fortran, kind = read(stream)
        assert not fortran
        assert kind.str == "<f4"
        found[name] = np.frombuffer(stream.read(4 * int(np.prod(shape))), "<f4").reshape(shape)
    return found


def merged_weights(folder: Path = Path("runs/tiny-gpt2/export/merged")) -> dict[str, Any]:
    """transformers' weights under the extension's names."""
    from transformers import GPT2LMHeadModel

    weights = GPT2LMHeadModel.from_pretrained(folder).transformer.state_dict()
    names = {"wte.weight": "wte", "wpe.weight": "wpe"}
    return {names.get(name, name): values.numpy() for name, values in weights.items()}


def test_the_archive_holds_the_merged_model_under_the_extension_s_names(inside: Path) -> None:
    found, expected = read_archive(inside / "weights.npz.gz"), merged_weights()
    assert list(found) == sorted(expected)
    assert "lm_head.weight" not in found
    assert found["h.0.attn.c_attn.weight"].shape == (32, 96)
    assert found["h.2.mlp.c_proj.weight"].shape == (128, 32)
    for name, values in expected.items():
        assert found[name].tobytes() == values.tobytes(), name
    base = merged_weights(Path("base"))
    changed = {name for name in found if not np.array_equal(found[name], base[name])}
    assert changed == {f"h.2.{name}.weight" for name in ("attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj")}, (
        "LoRA trains the linear weights of the layers that are not frozen"
    )


def test_the_same_model_gives_the_same_bytes(inside: Path, tmp_path: Path) -> None:
    export_pgllm(load_config("gpt2.yaml", []), tmp_path / "again")
    names = sorted(path.name for path in inside.iterdir() if path.name != "manifest.json")
    assert names == sorted(path.name for path in (tmp_path / "again").iterdir())
    for name in names:
        assert (inside / name).read_bytes() == (tmp_path / "again" / name).read_bytes(), name
    assert (inside / "weights.npz.gz").read_bytes()[3:8] == bytes(5), "no name and no time in gzip's header"


def expected_dataset() -> tuple[list[list[int]], list[list[int]]]:
    """The blocks, made another way: text by text, cut from one array."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file("runs/tiny-gpt2/export/merged/tokenizer.json")
    lines = Path("runs/tiny-gpt2/render/train.jsonl").read_text(encoding="utf-8").splitlines()
    end = tokenizer.token_to_id(END)
    stream: list[int] = []
    for line in map(json.loads, lines):
        stream += tokenizer.encode(line["prompt"]).ids + tokenizer.encode(line["completion"]).ids + [end]
    count = (len(stream) - 1) // 1024
    return (
        np.array(stream[: count * 1024]).reshape(count, 1024).tolist(),
        np.array(stream[1 : count * 1024 + 1]).reshape(count, 1024).tolist(),
    )


def check_tables(connection: Any) -> None:
    """Everything but the weights is as the run has it."""
    vocabulary = json.loads(Path("base/vocab.json").read_text(encoding="utf-8"))
    assert rows(connection, "SELECT * FROM llm_model_config WHERE model = 'tiny-gpt2'") == [
        ("tiny-gpt2", 3, 4, 32, 1024, len(vocabulary))
    ]
    found = rows(connection, "SELECT token, token_id, score, bytes FROM llm_bpe_vocab WHERE model = 'tiny-gpt2'")
    assert {token: place for token, place, _, _ in found} == vocabulary
    assert all(score is None and held == token.encode("utf-8") for token, _, score, held in found)
    merges = Path("base/merges.txt").read_text(encoding="utf-8").splitlines()[1:]
    assert any(line.startswith("#") for line in merges)
    found = rows(
        connection,
        'SELECT rank, "left", "right", pair FROM llm_bpe_merges WHERE model = \'tiny-gpt2\' ORDER BY rank',
    )
    assert [pair for *_, pair in found] == merges
    assert [(rank, f"{left} {right}") for rank, left, right, _ in found] == list(enumerate(merges))
    tokens, target = expected_dataset()
    assert len(tokens) > 3
    assert rows(connection, "SELECT tokens, target FROM llm_dataset ORDER BY id")[-len(tokens) :] == list(
        zip(tokens, target, strict=True)
    )


def test_a_server_holds_every_byte_and_a_model_built_of_its_rows_computes_the_same(
    inside: Path, server: tuple[Any, str], loraql: Loraql
) -> None:
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    connection, url = server
    connection.execute((inside / "schema.sql").read_text(encoding="utf-8"))
    shown = loraql("export", "gpt2.yaml", "--kind", "pgllm", "--db", url)
    assert "database: the model tiny-gpt2 is in it" in shown
    assert PASSWORD not in shown
    assert IN_URL not in shown
    check_tables(connection)

    expected = merged_weights()
    found: dict[str, list[bytes]] = {}
    query = (
        "SELECT name, token_id, data, grad, m, v, step FROM llm_param WHERE model = 'tiny-gpt2' ORDER BY name, token_id"
    )
    for name, place, data, *rest in rows(connection, query):
        assert place == len(found.setdefault(name, []))
        assert rest == [None, None, None, 0]
        found[name].append(data)
    assert sorted(found) == sorted(expected)
    for name, values in expected.items():
        parts = list(values) if name in ("wte", "wpe") else [values]
        assert found[name] == [part.tobytes() for part in parts], name

    ((layers, heads, width, positions, vocab),) = rows(
        connection, "SELECT n_layer, n_head, d_model, n_positions, vocab FROM llm_model_config"
    )
    sizes = GPT2Config(n_layer=layers, n_head=heads, n_embd=width, n_positions=positions, vocab_size=vocab)
    rebuilt = GPT2LMHeadModel(sizes).eval()
    shapes = {name: tuple(values.shape) for name, values in rebuilt.transformer.state_dict().items()}
    names = {"wte.weight": "wte", "wpe.weight": "wpe"}
    weights = {
        name: torch.from_numpy(np.frombuffer(b"".join(found[names.get(name, name)]), "<f4").reshape(shape).copy())
        for name, shape in shapes.items()
    }
    rebuilt.transformer.load_state_dict(weights)
    merged = GPT2LMHeadModel.from_pretrained("runs/tiny-gpt2/export/merged").eval()
    ((ids,),) = rows(connection, "SELECT tokens FROM llm_dataset ORDER BY id LIMIT 1")
    with torch.no_grad():
        ours, theirs = (model(torch.tensor([ids])).logits for model in (rebuilt, merged))
    assert torch.equal(ours, theirs)


def test_another_export_replaces_its_own_rows_and_truncate_all(
    inside: Path, server: tuple[Any, str], loraql: Loraql
) -> None:
    connection, url = server
    connection.execute((inside / "schema.sql").read_text(encoding="utf-8"))
    connection.execute("INSERT INTO llm_model_config VALUES ('other', 1, 1, 1, 1, 1)")
    connection.execute("INSERT INTO llm_param (model, name) VALUES ('other', 'wte')")
    connection.execute("INSERT INTO llm_dataset (tokens, target) VALUES ('{1}', '{2}')")
    for _ in range(2):
        assert "note: llm_dataset holds 1 block of other texts" in loraql(
            "export", "gpt2.yaml", "--kind", "pgllm", "--db", url
        )
    check_tables(connection)
    counts = {name: rows(connection, f"SELECT count(*) FROM {name}") for name in ("llm_param", "llm_dataset")}
    assert rows(connection, "SELECT count(*) FROM llm_model_config") == [(2,)]
    shown = loraql("export", "gpt2.yaml", "--kind", "pgllm", "--db", url, "--truncate")
    assert "other texts" not in shown
    for name, ((before,),) in counts.items():
        assert rows(connection, f"SELECT count(*) FROM {name}") == [(before - 1,)]
    assert rows(connection, "SELECT min(id) FROM llm_dataset") == [(1,)]


def test_psql_loads_the_files_to_the_same_tables(inside: Path, server: tuple[Any, str]) -> None:
    psql = find_program("psql", *POSTGRES_FOLDERS)
    connection, url = server
    command = [str(psql), "-X", "-q", "-d", url, "-f", "schema.sql", "-f", "load.sql", "-f", "load.sql"]
    environment = os.environ | {"PGCLIENTENCODING": "LATIN1"}  # as psql takes it from some terminals
    done = subprocess.run(command, cwd=inside, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    check_tables(connection)
    assert rows(connection, "SELECT count(*) FROM llm_dataset") == [(len(expected_dataset()[0]),)]


def test_the_printed_sql_fits_the_extension_s_functions(inside: Path, server: tuple[Any, str]) -> None:
    connection, _ = server
    connection.execute(STUBS)
    text = (inside / "usage.sql").read_text(encoding="utf-8")
    connection.execute(text)
    statements = [part for part in text.split(";\n") if "llm_generate(" in part]
    ((answer,),) = rows(connection, statements[0])
    first = json.loads(Path("runs/tiny-gpt2/render/dev.jsonl").read_text(encoding="utf-8").splitlines()[0])
    end = json.loads(Path("base/vocab.json").read_text(encoding="utf-8"))[END]
    assert answer == f"{first['prompt']}tiny-gpt2{end}"


def test_a_failure_is_one_line_and_changes_nothing(inside: Path, server: tuple[Any, str], loraql: Loraql) -> None:
    connection, url = server
    error = loraql("export", "gpt2.yaml", "--kind", "pgllm", "--db", url, code=1)
    assert "there is no table llm_model_config; run CREATE EXTENSION pg_llm there, or this export's schema.sql" in error
    check_line(error.rstrip("\n"))
    connection.execute((inside / "schema.sql").read_text(encoding="utf-8"))
    loraql("export", "gpt2.yaml", "--kind", "pgllm", "--db", url)
    connection.execute("ALTER TABLE llm_dataset ADD CHECK (tokens[1] IS NULL) NOT VALID")
    connection.execute("UPDATE llm_param SET step = 7")
    for options in ([], ["--truncate"]):
        error = loraql("export", "gpt2.yaml", "--kind", "pgllm", "--db", url, *options, code=1)
        assert "nothing was changed" in error
        check_line(error.rstrip("\n"))
        assert rows(connection, "SELECT DISTINCT step FROM llm_param") == [(7,)]


@pytest.mark.parametrize(
    ("url", "message"),
    [
        (f"postgresql://admin:{IN_URL}@127.0.0.1:{{port}}/llm", "cannot connect"),
        (f"mysql://admin:{IN_URL}@127.0.0.1:{{port}}/llm", "pg_llm is an extension of PostgreSQL"),
        ("nonsense", "the URL must be postgresql://"),
    ],
)
def test_a_server_that_is_none_is_one_line(inside: Path, url: str, message: str) -> None:
    pytest.importorskip("psycopg")
    with pytest.raises((UsageError, UserError), match=message) as caught:
        load_pgllm(load_config("gpt2.yaml", []), url.format(port=free_port()))
    check_line(str(caught.value))


def changed_model(folder: Path, settings: dict[str, object], without: str = "") -> Path:
    """A copy of the merged model with another config.json, or a weight less."""
    from safetensors.torch import load_file, save_file

    shutil.copytree("runs/tiny-gpt2/export/merged", folder)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    (folder / "config.json").write_text(json.dumps(config | settings), encoding="utf-8")
    if without:
        weights = load_file(folder / "model.safetensors")
        del weights[without]
        save_file(weights, folder / "model.safetensors")
    return folder


@pytest.mark.parametrize(
    ("settings", "without", "message"),
    [
        ({"model_type": "llama"}, "", "it is llama; set model.base to a GPT-2"),
        ({"architectures": ["GPT2ForSequenceClassification"]}, "", "set model.base to a GPT-2"),
        ({"tie_word_embeddings": False}, "", "output weights are not tied"),
        ({"n_inner": 64}, "", "its inner width is 64 .n_inner., not four times the width 32"),
        ({"activation_function": "gelu"}, "", "its activation is gelu .activation_function."),
        ({"activation_function": "relu"}, "", "its activation is relu"),
        ({"layer_norm_epsilon": 1e-6}, "", "its layer norms add 1e-06"),
        ({"scale_attn_by_inverse_layer_idx": True}, "", "scale_attn_by_inverse_layer_idx=true"),
        ({"n_positions": 512}, "", r"wpe has the shape \(1024, 32\), not \(512, 32\)"),
        ({"n_layer": 2}, "", r"it has the weight h\.2\..*, which GPT-2 lacks"),
        ({}, "transformer.h.1.attn.c_attn.bias", r"it has no h\.1\.attn\.c_attn\.bias, .* without this bias"),
    ],
)
def test_a_model_that_pg_llm_would_run_otherwise_is_refused(
    inside: Path, tmp_path: Path, settings: dict[str, object], without: str, message: str
) -> None:
    with pytest.raises(UserError, match=message) as caught:
        read_gpt2(changed_model(tmp_path / "model", settings, without))
    check_line(str(caught.value))
    assert str(caught.value).startswith(f"{tmp_path / 'model'}: pg_llm runs GPT-2 only as it was published")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda file: file["pre_tokenizer"].update(add_prefix_space=True), "splits text otherwise"),
        (lambda file: file.update(pre_tokenizer={"type": "Whitespace"}), "not GPT-2's byte-level BPE"),
        (
            lambda file: file["added_tokens"].append(file["added_tokens"][0] | {"id": 901, "content": "<|x|>"}),
            "has the id 901, but there are 901 embeddings",
        ),
    ],
)
def test_a_tokenizer_of_another_kind_is_refused(
    inside: Path, tmp_path: Path, change: Callable[[dict[str, Any]], None], message: str
) -> None:
    folder = changed_model(tmp_path / "model", {})
    file = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    change(file)
    (folder / "tokenizer.json").write_text(json.dumps(file), encoding="utf-8")
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": END}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")
    with pytest.raises(UserError, match=message):
        read_gpt2(folder)


def test_blocks_do_not_overlap_and_targets_are_one_ahead() -> None:
    assert make_blocks(list(range(8)), 3) == [([0, 1, 2], [1, 2, 3]), ([3, 4, 5], [4, 5, 6])]
    assert make_blocks(list(range(7)), 3) == make_blocks(list(range(8)), 3)
    assert len(make_blocks(list(range(6)), 3)) == 1, "the last block lacks its last target"
    with pytest.raises(UserError, match="3 tokens, which fill no block of 3; set export"):
        make_blocks([1, 2, 3], 3)


def test_a_block_longer_than_the_model_s_positions_is_refused(inside: Path, loraql: Loraql) -> None:
    error = loraql("export", "gpt2.yaml", "--kind", "pgllm", "export.block=1025", code=1)
    assert "export.block: 1025 was given, but the model has 1024 positions" in error


def test_fields_are_written_as_copy_reads_them(tmp_path: Path) -> None:
    write_table(tmp_path / "t.tsv", [("a\tb\\c\n", None, b"\x00\xff", 3, [1, 2])])
    assert (tmp_path / "t.tsv").read_text() == "a\\tb\\\\c\\n\t\\N\t\\\\x00ff\t3\t{1,2}\n"


def test_options_of_a_server_belong_to_pgllm(inside: Path, loraql: Loraql) -> None:
    for options in (["--db", "postgresql://me@localhost/llm"], ["--kind", "pgllm", "--truncate"]):
        assert "belong to --kind pgllm" in loraql("export", "gpt2.yaml", *options, code=2)
