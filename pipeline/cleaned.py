"""Files of a stage that were deleted on purpose, and how its manifest remembers them.

`clean` moves their entries from `outputs` to `cleaned`: the stage stays up to date without them, and stages that were
made from them still know their digests.
"""

from collections.abc import Iterable
from pathlib import Path

from data.errors import UserError
from pipeline.stage import MANIFEST, read_json, write_json

ADAPTER = "adapter_model.safetensors"


def record_cleaned(folder: Path, names: Iterable[str]) -> None:
    """Notes in the manifest of a stage's folder that these of its subfolders are deleted on purpose."""
    manifest = read_json(folder / MANIFEST)
    going = tuple(f"{name}/" for name in names)
    cleaned = manifest.get("cleaned", {}) | {
        name: output for name, output in manifest["outputs"].items() if name.startswith(going)
    }
    manifest["cleaned"] = cleaned
    manifest["outputs"] = {name: output for name, output in manifest["outputs"].items() if name not in cleaned}
    fresh = folder / f"{MANIFEST}.partial"
    write_json(fresh, manifest)
    fresh.replace(folder / MANIFEST)


def cleaned_adapters(folder: Path) -> dict[str, str]:
    """Digests, by path, of the adapters in a train folder that were deleted on purpose, in the order of their steps."""
    try:
        cleaned = read_json(folder / MANIFEST).get("cleaned", {})
        found = {name: output["sha256"] for name, output in cleaned.items() if Path(name).name == ADAPTER}
    except (UserError, KeyError, TypeError, AttributeError):
        return {}  # a damaged manifest makes its own stage stale
    return {str(folder / name): found[name] for name in sorted(found)}
