"""One of several processes that work together: `python -m pipeline.worker WORK CONFIG ERRORS WORDS...`.

Started by `pipeline/processes.py`. Reads the configuration from a file, and writes what it fails with into another.
"""

import json
import os
import sys
from pathlib import Path

from data.errors import UserError
from pipeline.config import Config
from pipeline.model import pick_device
from pipeline.processes import number


def main(work: str, config: str, errors: str, *words: str) -> int:
    """The exit code. The works are `train`."""
    if number():  # the first one speaks for all
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    from accelerate import PartialState

    on_gpu = pick_device() == "cuda"
    if on_gpu:
        import torch

        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    together = PartialState(cpu=not on_gpu)
    try:
        read = Config.model_validate_json(Path(config).read_text(encoding="utf-8"))
        if work == "train":
            from pipeline.train import fit

            fit(read, Path(words[0]), Path(words[1]) if words[1:] else None)
        together.wait_for_everyone()  # one that leaves early takes the others with it
        together.destroy_process_group()
    except UserError as error:
        Path(errors).write_text(json.dumps(str(error)), encoding="utf-8")
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
