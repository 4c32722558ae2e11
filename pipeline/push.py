"""push: an exported model to a Hugging Face hub, after a rehearsal that shows what would be uploaded.

Reads one export's folder and its card; writes nothing here. Only an export's own files are taken, all in one commit,
and none without the licences of base and data. The token is huggingface_hub's business, and is never shown.
"""

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from data.errors import UsageError, UserError
from pipeline.console import say, size, table

KINDS = ("merged", "adapter", "gguf")  # those with a card
# What of an export is the model's; a manifest is not, which tells of folders of this machine.
OWN = (
    "README.md", "LICENSE*", "NOTICE*", "config.json", "generation_config.json", "adapter_config.json", "*.safetensors",
    "*.safetensors.index.json", "*.gguf", "Modelfile*", "tokenizer*", "special_tokens_map.json", "added_tokens.json",
    "vocab.*", "merges.txt", "*.jinja", "loraql.json", "shots.jsonl", ".eval_results/*.yaml",
)  # fmt: skip
CARD = "README.md"
ELSEWHERE = "--to: {to!r} was given; it is OWNER/NAME, of letters, digits, -, _ and ."
# What the front matter must say, and the setting that makes it so.
LICENCES = {
    "license": ("the model", "export.license"),
    "base_license": ("the base", "export.license"),
    "data_license": ("the training data", "export.data_license"),
}
UNSAID = ("", "unknown", "none")


@dataclass(frozen=True)
class Upload:
    """Files by their names in the repository, what else lies there, and the card's front matter."""

    files: Mapping[str, Path]
    others: tuple[str, ...]
    card: Any

    @property
    def bytes(self) -> int:
        return sum(path.stat().st_size for path in self.files.values())


def push(folder: Path, to: str, *, private: bool = False, really: bool = False, again: str = "") -> None:
    """Shows what an upload of `folder` to the repository `to` holds, and does it only if `really`.

    `again` is the command that would. Raises UsageError for a name that is none, UserError in one line for all else.
    """
    _check_name(to)
    upload = gather(folder)
    endpoint = hub_address()
    _show(upload, f"{endpoint}/{to}", private)
    if not really:
        say(f"nothing was uploaded: this was a rehearsal. To upload: {again or 'add --yes'}")
        return
    with _told(endpoint, to):
        address = _upload(upload, endpoint, to, private)
    say(f"uploaded {len(upload.files)} files, {size(upload.bytes)}: {address}")


def find_kind(run: str, kind: str, runs: Path) -> Path:
    """The folder of one kind of a run's exports, or the folder given by path.

    Raises UsageError for a kind that is not uploaded, UserError where there is no such folder.
    """
    if kind not in KINDS:
        raise UsageError(f"--kind {kind}: only {', '.join(KINDS)} go to a hub")
    for folder in (Path(run), Path(run) / kind, Path(run) / "export" / kind, runs / run / "export" / kind):
        if (folder / CARD).is_file() and any(folder.glob(pattern) for pattern in ("*.safetensors", "*.gguf")):
            return folder
    again = f"loraql export {run}" + ("" if kind == "merged" else f" --kind {kind}")
    raise UserError(
        f"{run}: no export of the kind {kind} with a card in it, nor a run with one under {runs}; run `{again}`"
    )


def gather(folder: Path) -> Upload:
    """What of a folder is an export's, and its card. Raises UserError where it may not be published as it is."""
    inside, files, others = folder.resolve(), {}, []
    for path in sorted(path for path in folder.rglob("*") if path.is_symlink() or not path.is_dir()):
        name = path.relative_to(folder).as_posix()
        if not any(fnmatch(name, pattern) and name.count("/") == pattern.count("/") for pattern in OWN):
            others.append(name)
        elif not path.is_file() or not path.resolve().is_relative_to(inside):
            raise UserError(f"{path}: is a link out of the export, or to nothing; put the file itself there")
        else:
            files[name] = path
    return Upload(files, tuple(others), _read_card(folder / CARD))


def hub_address() -> str:
    """Where the hub is: `HF_ENDPOINT`, or the public one."""
    from huggingface_hub import constants

    return (os.environ.get("HF_ENDPOINT") or constants.ENDPOINT).rstrip("/")


def _check_name(to: str) -> None:
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    try:
        validate_repo_id(to)
    except HFValidationError as error:
        raise UsageError(ELSEWHERE.format(to=to)) from error
    if "/" not in to:
        raise UsageError(ELSEWHERE.format(to=to))


def _read_card(path: Path) -> Any:
    import yaml
    from huggingface_hub import ModelCard

    if not path.is_file():
        raise UserError(f"{path}: missing; a model is not published without its card, run `loraql export` again")
    try:
        card = ModelCard(path.read_text(encoding="utf-8")).data
    except (ValueError, yaml.YAMLError) as error:
        raise UserError(f"{path}: its front matter cannot be read: {_line(error)}") from error
    for field, (whose, setting) in LICENCES.items():
        if str(card.get(field, "")).strip().lower() in UNSAID:
            raise UserError(
                f"{path}: names no licence of {whose} ({field}); run `loraql export` again with {setting}=..., for example "
                "apache-2.0, after a look at what it allows"
            )
    return card


def _show(upload: Upload, address: str, private: bool) -> None:
    who = "only you and your organization can see it" if private else "everyone can see it"
    say(f"{address} ({'private' if private else 'public'}: {who})")
    rows = [[name, size(path.stat().st_size)] for name, path in upload.files.items()]
    table("Files", ["file", "size"], [*rows, [f"{len(rows)} files", size(upload.bytes)]])
    if upload.others:
        say(f"  not uploaded, as they are not the model's: {', '.join(upload.others)}")
    card, results = upload.card, upload.card.eval_results or []
    data = [card.datasets] if isinstance(card.datasets, str) else card.datasets
    lines = [
        ["licence", card.license],
        ["base", f"{card.base_model or 'not on the hub'} ({card['base_license']})"],
        ["training data", f"{', '.join(data) if data else 'not on the hub'} ({card['data_license']})"],
    ]
    for result in results:
        given = result.metric_args or {}
        interval = f" [{given['low']}, {given['high']}]" if {"low", "high"} <= set(given) else ""
        name = result.metric_name or result.metric_type
        lines.append([name, f"{result.metric_value}{interval} on {result.dataset_name}, {result.dataset_split}"])
    table("What the card says", ["of", "it says"], lines)


def _upload(upload: Upload, endpoint: str, to: str, private: bool) -> str:
    from huggingface_hub import CommitOperationAdd, HfApi
    from huggingface_hub.utils import disable_progress_bars, logging

    logging.set_verbosity_error()
    if not sys.stderr.isatty():
        disable_progress_bars()
    api = HfApi(endpoint=endpoint, library_name="loraql")
    api.whoami()  # a token that is none is told before anything is made
    api.create_repo(to, private=private or None, exist_ok=True)
    if private and not api.model_info(to).private:
        raise UserError(
            f"{endpoint}/{to}: is there already and is public; make it private on its page, or push elsewhere"
        )
    operations = [CommitOperationAdd(path_in_repo=name, path_or_fileobj=path) for name, path in upload.files.items()]
    commit = api.create_commit(to, operations, commit_message="Upload a text-to-SQL model by loraql")
    return str(commit.commit_url)


@contextmanager
def _told(endpoint: str, to: str) -> Iterator[None]:
    """The hub's and the network's failures in one line, without the token."""
    from huggingface_hub import get_token
    from huggingface_hub.errors import HTTPError

    try:
        yield
    # RuntimeError: what the library makes of a failed upload of one file; ValueError: of an answer that it cannot use.
    except (OSError, HTTPError, RuntimeError, ValueError) as error:
        line = _explain(error, endpoint, to)
        raise UserError(line.replace(get_token() or "\0", "***")) from error


def _explain(error: BaseException, endpoint: str, to: str) -> str:
    from huggingface_hub.errors import HfHubHTTPError, HTTPError, LocalTokenNotFoundError, OfflineModeIsEnabled

    if isinstance(error, RuntimeError) and error.__cause__:
        return _explain(error.__cause__, endpoint, to)
    if isinstance(error, LocalTokenNotFoundError):
        return "push: there is no token; run `hf auth login`, or set HF_TOKEN to one that may write"
    if isinstance(error, OfflineModeIsEnabled):
        return "push: HF_HUB_OFFLINE is set, so the hub is not asked; unset it"
    if isinstance(error, HfHubHTTPError):
        return f"push: {endpoint}/{to}: {_answer(error.response.status_code, error.server_message)}"
    if isinstance(error, HTTPError):
        return f"push: {endpoint} cannot be reached ({_line(error)}); look at the network, or at HF_ENDPOINT"
    return f"push: {endpoint}/{to}: {_line(error)}"


def _answer(status: int, message: str | None) -> str:
    said = f" ({' '.join(message.split())[:300]})" if message else ""
    match status:
        case 401:
            return f"the hub does not accept the token, 401{said}; make another and run `hf auth login`"
        case 403:
            return f"the token may not write there, 403{said}; it wants write access to that owner's repositories"
        case 404:
            return f"there is no such place, 404{said}; the owner must be you or an organization of yours"
        case 429:
            return f"the hub wants a pause, 429{said}; try again later"
        case _ if status >= 500:
            return f"the hub has a problem of its own, {status}{said}; try again later"
    return f"the hub refuses, {status}{said}"


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__
