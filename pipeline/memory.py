"""What is done when memory runs out in training: the same steps in smaller batches, or a line that says what to change.

Reads and writes nothing. A step's gradient is a sum over its sequences, so it is the same however few come at once.
"""

import gc
from collections.abc import Iterator
from contextlib import contextmanager

from data.errors import UserError
from pipeline.settings import TrainSettings


class MemoryFullError(UserError):
    """Memory ran out with a batch; a smaller one may do, and if there is none this line says what to change."""


@contextmanager
def told_when_full(kind: type[UserError], when: str, settings: TrainSettings) -> Iterator[None]:
    """Makes an error of `kind`, with one line, of a library's error that memory ran out."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not ran_out(error):
            raise
        raise kind(f"train: memory ran out {when}; set {_remedies(settings)} (`loraql plan` has figures)") from error


def ran_out(error: Exception) -> bool:
    """Whether this is how Python, torch on a GPU or torch on a CPU say that there is no memory left."""
    import torch
    from accelerate.utils.memory import should_reduce_batch_size

    return isinstance(error, MemoryError | torch.OutOfMemoryError) or bool(should_reduce_batch_size(error))


def smaller_batch(settings: TrainSettings) -> TrainSettings | None:
    """Fewer sequences at once and more batches a step, as many examples a step; None where it is one already."""
    at_once = settings.sequences_at_once
    if at_once == 1:
        return None
    fewer = next(count for count in range(at_once // 2, 0, -1) if at_once % count == 0)
    times = at_once // fewer
    return settings.model_copy(
        update={"batch_size": settings.batch_size // times, "accumulation": settings.accumulation * times}
    )


def release_memory() -> None:
    """Gives back what nothing refers to any more; a trainer refers to itself."""
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _remedies(settings: TrainSettings) -> str:
    ways = []
    if not settings.gradient_checkpointing:
        ways.append("train.gradient_checkpointing=true")
    if settings.quantization != "nf4":
        ways.append("train.quantization=nf4")
    if settings.packing > 1:
        ways.append(f"a smaller train.packing (now {settings.packing})")
    return ", ".join([*ways, "a larger train.freeze_layers", "a smaller prompt.max_length or model.base"])
