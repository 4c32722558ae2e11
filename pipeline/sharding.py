"""A model that is too large for one GPU is spread over several processes: `train.sharding`.

Says which of Accelerate's settings (`pipeline/accelerate/`) the processes are started with, what cannot be sharded,
and what of a sharded model is saved: the adapters alone.
"""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

from data.errors import UserError
from pipeline.settings import TrainSettings

FILES = Path(__file__).parent / "accelerate"


def accelerate_file(settings: TrainSettings) -> Path | None:
    """The file that `accelerate launch` reads; None where nothing is sharded.

    Raises UserError where ZeRO-3 is asked for and DeepSpeed is not installed.
    """
    if settings.sharding == "none":
        return None
    if settings.sharding == "zero3" and find_spec("deepspeed") is None:
        raise UserError(
            "train.sharding: zero3 needs DeepSpeed, which is not installed; `pip install 'loraql[deepspeed]'` or fsdp"
        )
    return FILES / f"{settings.sharding}.yaml"


def shard_on_cpu(together: Any) -> None:
    """Makes Accelerate shard over processes without GPUs, which FSDP can and Accelerate does not offer."""
    from accelerate import DistributedType

    together.distributed_type = DistributedType.MULTI_GPU  # the kinds that it looks for FSDP's settings in


def split_while_loading(settings: TrainSettings, dtype: str) -> Any:
    """Makes the next model be split by ZeRO-3 as it is loaded, for as long as what is returned is kept."""
    if settings.sharding != "zero3":
        return None
    from accelerate.utils import DeepSpeedPlugin

    plugin = DeepSpeedPlugin()
    plugin.set_mixed_precision("bf16" if dtype == "bfloat16" else "no")
    plugin.set_deepspeed_weakref()
    return plugin


def gathered_adapters(model: Any) -> dict[str, Any]:
    """The trained parameters of a sharded model, whole and in memory of the first process; all have to ask."""
    from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict

    options = StateDictOptions(full_state_dict=True, cpu_offload=True, ignore_frozen_params=True)
    return dict(get_model_state_dict(model, options=options))
