"""Publishing: what a card's front matter says, and uploads to a stand-in of a hub."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml
from hub import TOKEN, Hub, running_hub
from programs import free_port

from pipeline.config import Config
from pipeline.front_matter import RESULTS, Licences, front_matter, write_results

Loraql = Callable[..., str]
SCORES = {
    "n": 100,
    "ex": 11,
    "em": 9,
    "intervals": {
        "ex": {"value": 0.11, "low": 0.0625, "high": 0.18629},
        "em": {"value": 0.09, "low": 0.048, "high": 0.162},
    },
}
LICENCES = Licences("apache-2.0", "apache-2.0", "cc-by-sa-4.0")


def card(licences: Licences = LICENCES, source: str = "spider", kind: str = "merged") -> str:
    config = Config.model_validate({"name": "mine", "data": {"source": source}})
    front = front_matter(config, kind, "HuggingFaceTB/SmolLM2-135M-Instruct", licences, SCORES)
    return f"---\n{front}\n---\n\n# mine\n"


@pytest.fixture
def export(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An exported model's folder as the run "mine" has it, with things in it that are not the export's."""
    monkeypatch.chdir(tmp_path)
    folder = Path("runs/mine/export/merged")
    folder.mkdir(parents=True)
    (folder / "README.md").write_text(card(), encoding="utf-8")
    (folder / "model.safetensors").write_bytes(bytes(range(256)) * 5000)
    for name in ("config.json", "tokenizer.json", "loraql.json", "prompt.jinja"):
        (folder / name).write_text(f"{name}, as it is\n", encoding="utf-8")
    (folder / ".cache").mkdir()
    (folder / ".cache" / "config.json").write_text("{}", encoding="utf-8")
    (folder / "manifest.json").write_text('{"made_from": "/home/me/secret"}', encoding="utf-8")
    (folder / "notes.txt").write_text("my own", encoding="utf-8")
    (folder / "optimizer.pt").write_bytes(b"\x80")
    return folder


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)  # its protocol is not that of a stand-in
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
    monkeypatch.delenv("HUGGING_FACE_HUB_TOKEN", raising=False)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    with running_hub() as running:
        monkeypatch.setenv("HF_ENDPOINT", running.address)
        yield running


def test_an_upload_brings_the_export_s_own_files_byte_for_byte(export: Path, hub: Hub, loraql: Loraql) -> None:
    shown = loraql("push", "mine", "--to", "me/model", "--yes")
    own = ["README.md", "config.json", "loraql.json", "model.safetensors", "prompt.jinja", "tokenizer.json"]
    assert sorted(hub.repositories["me/model"]) == own
    for name in own:
        assert hub.repositories["me/model"][name] == (export / name).read_bytes()
    assert hub.commits == 1
    assert hub.private["me/model"] is False
    assert f"uploaded 6 files, 1.3 MB: {hub.address}/me/model/commit/abc" in shown
    assert (
        "not uploaded, as they are not the model's: .cache/config.json, manifest.json, notes.txt, optimizer.pt" in shown
    )
    assert TOKEN not in shown


def test_without_yes_nothing_is_asked_of_the_hub(export: Path, hub: Hub, loraql: Loraql) -> None:
    shown = loraql("push", "mine", "--to", "me/model", "--private")
    assert hub.asked == []
    assert f"{hub.address}/me/model (private" in shown
    assert "model.safetensors   1.3 MB" in shown
    assert "Execution accuracy (EX), %   11.0 [6.25, 18.63] on Spider, validation" in shown
    assert "xlangai/spider (cc-by-sa-4.0)" in shown
    assert "To upload: loraql push mine --to me/model --private --yes" in shown


def test_a_folder_is_as_good_as_a_run_and_benchmark_results_go_along(export: Path, hub: Hub, loraql: Loraql) -> None:
    config = Config.model_validate({"name": "mine", "export": {"benchmark": "owner/data:dev"}})
    write_results(config, export, SCORES)
    loraql("push", str(export), "--to", "me/model", "--yes")
    (entry,) = yaml.safe_load(hub.repositories["me/model"][RESULTS.as_posix()])
    assert entry["dataset"] == {"id": "owner/data", "task_id": "dev"}
    assert entry["value"] == 11.0
    assert "6.25 to 18.63, 100 questions" in entry["notes"]


def test_without_a_benchmark_there_is_no_file_of_results(tmp_path: Path) -> None:
    write_results(Config(name="mine"), tmp_path, SCORES)
    assert not list(tmp_path.iterdir())


def test_a_private_upload_never_lands_in_a_public_repository(export: Path, hub: Hub, loraql: Loraql) -> None:
    loraql("push", "mine", "--to", "me/hidden", "--private", "--yes")
    assert hub.private["me/hidden"] is True
    hub.repositories["me/open"], hub.private["me/open"] = {}, False
    assert "me/open: is there already and is public" in loraql(
        "push", "mine", "--to", "me/open", "--private", "--yes", code=1
    )
    assert hub.repositories["me/open"] == {}


@pytest.mark.parametrize(
    ("licences", "message"),
    [
        (Licences(None, "mit", "mit"), "names no licence of the model (license); run `loraql export` again with export.license="),
        (Licences("mit", "unknown", "mit"), "names no licence of the base (base_license)"),
        (Licences("mit", "mit", None), "names no licence of the training data (data_license); run `loraql export` again with export.data_license="),
    ],
)  # fmt: skip
def test_no_model_is_published_without_its_licences(
    export: Path, hub: Hub, loraql: Loraql, licences: Licences, message: str
) -> None:
    (export / "README.md").write_text(card(licences), encoding="utf-8")
    for options in ([], ["--yes"]):
        error = loraql("push", "mine", "--to", "me/model", *options, code=1)
        assert message in error
        assert error.count("\n") == 1
    assert hub.asked == []


def test_a_link_out_of_the_export_is_not_followed(export: Path, hub: Hub, loraql: Loraql, tmp_path: Path) -> None:
    (tmp_path / "secret.json").write_text("{}", encoding="utf-8")
    (export / "tokenizer_config.json").symlink_to(tmp_path / "secret.json")
    error = loraql("push", "mine", "--to", "me/model", "--yes", code=1)
    assert "tokenizer_config.json: is a link out of the export" in error
    (export / "tokenizer_config.json").unlink()
    (export / "tokenizer_config.json").symlink_to(tmp_path / "nothing")
    assert "or to nothing" in loraql("push", "mine", "--to", "me/model", "--yes", code=1)
    (export / "tokenizer_config.json").unlink()
    (export / "linked").symlink_to(tmp_path)
    loraql("push", "mine", "--to", "me/model", "--yes")
    assert "linked/secret.json" not in hub.repositories["me/model"]
    assert len(hub.repositories["me/model"]) == 6


@pytest.mark.parametrize(
    ("path", "status", "message"),
    [
        ("/api/whoami-v2", 401, "the hub does not accept the token, 401"),
        ("/api/whoami-v2", 503, "the hub has a problem of its own, 503 (because we say so); try again later"),
        ("/api/repos/create", 403, "the token may not write there, 403 (because we say so)"),
        ("/api/repos/create", 500, "the hub has a problem of its own, 500 (because we say so); try again later"),
        ("/api/models/me/model/preupload", 404, "there is no such place, 404"),
        ("/storage/", 403, "the token may not write there, 403"),
        ("/api/models/me/model/commit", 502, "the hub has a problem of its own, 502"),
    ],
)
def test_what_the_hub_refuses_is_one_line(
    export: Path, hub: Hub, loraql: Loraql, path: str, status: int, message: str
) -> None:
    hub.failures[path] = status
    error = loraql("push", "mine", "--to", "me/model", "--yes", code=1)
    assert f"push: {hub.address}/me/model: {message}" in error
    assert error.count("\n") == 1
    assert TOKEN not in error
    assert not hub.repositories.get("me/model")


def test_a_card_that_the_hub_finds_wrong_is_one_line(export: Path, hub: Hub, loraql: Loraql) -> None:
    hub.complaints = ['"license" must be one of apache-2.0, mit']
    error = loraql("push", "mine", "--to", "me/model", "--yes", code=1)
    assert 'Invalid metadata in README.md. - "license" must be one of apache-2.0, mit' in error
    assert error.count("\n") == 1


def test_another_token_and_none_are_told(
    export: Path, hub: Hub, loraql: Loraql, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_another")
    error = loraql("push", "mine", "--to", "me/model", "--yes", code=1)
    assert "the hub does not accept the token, 401" in error
    assert "hf_another" not in error
    monkeypatch.delenv("HF_TOKEN")
    error = loraql("push", "mine", "--to", "me/model", "--yes", code=1)
    assert error == "loraql: push: there is no token; run `hf auth login`, or set HF_TOKEN to one that may write\n"
    assert not hub.repositories


def test_no_network_is_one_line(export: Path, hub: Hub, loraql: Loraql, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    address = f"http://127.0.0.1:{free_port()}"
    monkeypatch.setenv("HF_ENDPOINT", address)
    error = loraql("push", "mine", "--to", "me/model", "--yes", code=1)
    assert f"push: {address} cannot be reached (" in error
    assert error.count("\n") == 1
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert "HF_HUB_OFFLINE is set" in loraql("push", "mine", "--to", "me/model", "--yes", code=1)


@pytest.mark.parametrize("name", ["model", "a/b/c", "me/../x", "me/mod el", "-me/x--y"])
def test_a_name_that_no_hub_takes_is_bad_usage(export: Path, loraql: Loraql, name: str) -> None:
    assert f"--to: '{name}' was given; it is OWNER/NAME" in loraql("push", "mine", "--to", name, code=2)


def test_push_wants_an_export_with_a_card(export: Path, loraql: Loraql) -> None:
    assert "run `loraql export other`" in loraql("push", "other", "--to", "me/model", code=1)
    assert "run `loraql export mine --kind gguf`" in loraql("push", "mine", "--to", "me/m", "--kind", "gguf", code=1)
    assert "only merged, adapter, gguf go to a hub" in loraql("push", "mine", "--to", "me/m", "--kind", "pgllm", code=2)
    (export / "README.md").write_text("---\nlicense: [\n---\n", encoding="utf-8")
    error = loraql("push", "mine", "--to", "me/model", code=1)
    assert "README.md: its front matter cannot be read" in error
    assert error.count("\n") == 1


def test_the_front_matter_is_what_the_hub_s_library_reads() -> None:
    from huggingface_hub import ModelCard

    data = ModelCard(card()).data
    assert (data.license, data["base_license"], data["data_license"]) == ("apache-2.0", "apache-2.0", "cc-by-sa-4.0")
    assert (data.base_model, data["base_model_relation"]) == ("HuggingFaceTB/SmolLM2-135M-Instruct", "finetune")
    assert data.datasets == ["xlangai/spider"]
    first, second = data.eval_results
    assert (first.task_type, first.task_name) == ("text-generation", "text-to-SQL")
    assert (first.dataset_type, first.dataset_name, first.dataset_split) == ("xlangai/spider", "Spider", "validation")
    assert (first.metric_type, first.metric_value) == ("execution_accuracy", 11.0)
    assert (second.metric_type, second.metric_value) == ("exact_match", 9.0)
    assert first.metric_args == {
        "confidence": 0.95, "low": 6.25, "high": 18.63, "right": 11, "questions": 100, "decoding": "greedy",
    }  # fmt: skip
    assert first.source_url.startswith("https://")


def test_front_matter_of_own_data_names_no_data_set_of_the_hub() -> None:
    from huggingface_hub import ModelCard

    data = ModelCard(card(Licences("mit", None, None), source="my-shop", kind="adapter")).data
    assert data.datasets is None
    assert "data_license" not in data
    assert (data.library_name, data["base_model_relation"]) == ("peft", "adapter")
    assert data.eval_results[0].dataset_type == "my-shop"
