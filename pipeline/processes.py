"""One piece of work done by several processes of this machine, each of which knows its number among them.

They are started by torchrun, a GPU for each where there are any, and speak through gloo or NCCL. What they say is
heard of the first alone, and an error of any of them is the error of all.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from data.errors import UserError
from pipeline.config import Config
from pipeline.memory import MemoryFullError

LAST_LINES = 5
OURS = "LORAQL_SPREAD"  # set in processes that `spread` has started: clusters set RANK and WORLD_SIZE by themselves


def number() -> int:
    """Which of the processes this one is, from 0."""
    return int(os.environ["RANK"]) if OURS in os.environ else 0


def count() -> int:
    """How many processes work on this together."""
    return int(os.environ["WORLD_SIZE"]) if OURS in os.environ else 1


def wait() -> None:
    """Until all of them have come here."""
    if count() > 1:
        import torch.distributed

        torch.distributed.barrier()


def gather(own: Any) -> list[Any]:
    """What each process gives, in their order."""
    import torch.distributed

    found: list[Any] = [None] * count()
    torch.distributed.all_gather_object(found, own)
    return found


def from_first(own: Any) -> Any:
    """What the first process gives."""
    return gather(own)[0] if count() > 1 else own


def spread(work: str, processes: int, config: Config, *words: str, accelerate: Path | None = None) -> None:
    """Starts `python -m pipeline.worker WORK CONFIG WORDS...` so many times, and waits for the end.

    By torchrun, or by `accelerate launch` with the settings in the file `accelerate`. Raises UserError (MemoryFullError)
    with what one of them failed with; then the others are stopped.
    """
    import torch

    gpus = torch.cuda.device_count()
    if 0 < gpus < processes:
        raise UserError(f"{work}: {processes} processes want a GPU each, and this machine has {gpus}")
    with tempfile.TemporaryDirectory() as folder:
        told, errors, log = (Path(folder) / name for name in ("config.json", "error.json", "log"))
        told.write_text(json.dumps(config.dump()), encoding="utf-8")
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
        if accelerate:
            command = [sys.executable, "-m", "accelerate.commands.launch", "--config_file", str(accelerate)]
            command += ["--num_processes", str(processes)]
        command += ["-m", "pipeline.worker", work, str(told), str(errors), *words]
        threads = str(max((os.cpu_count() or 1) // processes, 1))
        environment = {"OMP_NUM_THREADS": threads} | os.environ | {OURS: "1"}
        with log.open("w") as file:
            done = subprocess.run(command, stderr=file, env=environment, check=False)
        if done.returncode == 0:
            return
        if errors.is_file():
            told_of = json.loads(errors.read_text(encoding="utf-8"))
            raise (MemoryFullError if told_of["memory"] else UserError)(told_of["error"])
        last = " ".join(log.read_text(encoding="utf-8", errors="replace").split("\n")[-LAST_LINES:])
        raise UserError(f"{work}: one of {processes} processes ended with code {done.returncode}: {last.strip()}")
