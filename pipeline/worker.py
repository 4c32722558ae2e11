"""One of several processes that work together: `python -m pipeline.worker WORK CONFIG ERRORS WORDS...`.

Started by `pipeline/processes.py`. Reads the configuration from a file, and writes what it fails with into another.
"""

import json
import os
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from types import TracebackType

from data.errors import UserError
from pipeline.config import Config
from pipeline.memory import MemoryFullError
from pipeline.model import pick_device
from pipeline.processes import number

PATIENCE = timedelta(days=7)  # one may work while the others wait for it


def main(work: str, config: str, errors: str, *words: str) -> int:
    """The exit code. The works are `train` and `evaluate`."""
    if number():  # the first one speaks for all
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    from accelerate import PartialState

    on_gpu = pick_device() == "cuda"
    if on_gpu:
        import torch

        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    together = PartialState(cpu=not on_gpu, timeout=PATIENCE)
    sys.excepthook = _teller(Path(errors))
    try:
        read = Config.model_validate_json(Path(config).read_text(encoding="utf-8"))
        if work == "train":
            from pipeline.train import fit

            fit(read, Path(words[0]), Path(words[1]) if words[1:] else None)
        else:
            from pipeline.evaluate import choose

            choose(read, Path(words[0]))
        together.wait_for_everyone()  # one that leaves early takes the others with it
        together.destroy_process_group()
    except UserError as error:
        _tell(Path(errors), str(error), isinstance(error, MemoryFullError))
        return error.exit_code
    return 0


def _tell(path: Path, error: str, memory: bool = False) -> None:
    """Whoever fails first; the others only lose touch with it."""
    if not path.exists():
        path.write_text(json.dumps({"error": error, "memory": memory}), encoding="utf-8")


def _teller(path: Path) -> Callable[[type[BaseException], BaseException, TracebackType | None], None]:
    """What an error that nobody expected ends with: a line for the user, the traceback for the log."""

    def tell(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
        last = (str(error).strip() or "no more is known").splitlines()[-1]
        _tell(path, f"process {number()}: {kind.__name__}: {last}")
        sys.__excepthook__(kind, error, traceback)

    return tell


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
