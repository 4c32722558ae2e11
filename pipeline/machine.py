"""What this machine has: memory for training, and room on disk. Reads the system's figures, writes nothing."""

import os
import shutil
from functools import cache
from pathlib import Path

from pipeline.model import pick_device

# What a container may have, and what it has: versions 2 and 1.
LIMITS = (
    (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current")),
    (Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"), Path("/sys/fs/cgroup/memory/memory.usage_in_bytes")),
)


def training_memory() -> list[float]:
    """Bytes that can be had for training: of each GPU what is free, or of RAM, as one, what is available."""
    import torch

    if pick_device() == "cuda":
        return [float(torch.cuda.mem_get_info(device)[0]) for device in range(torch.cuda.device_count())]
    figures = dict(line.split(":") for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines())
    available = float(figures["MemAvailable"].split()[0]) * 1024
    found = [[path.read_text(encoding="ascii").strip() for path in pair if path.is_file()] for pair in LIMITS]
    left = [float(pair[0]) - float(pair[1]) for pair in found if len(pair) == 2 and pair[0].isdigit()]
    return [max(min([available, *left]), 0.0)]


@cache
def libraries_memory() -> float:
    """Bytes that Python and its libraries take in a process that trains on a CPU; a GPU holds none of them."""
    if pick_device() == "cuda":
        return 0.0
    import trl.trainer.sft_trainer  # noqa: F401

    return float(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")


def free_disk(folder: Path) -> int:
    """Bytes free where this folder is, or would be."""
    folder = folder.absolute()
    return shutil.disk_usage(next(path for path in (folder, *folder.parents) if path.is_dir())).free
