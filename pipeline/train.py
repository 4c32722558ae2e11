"""train: prompts and completions -> LoRA adapters in `runs/NAME/train/checkpoint-N/`, `metrics.jsonl`.

Reads `render/train.jsonl` and the base model, quantized; trains through TRL's SFTTrainer with the loss
on completions alone. The order of examples is drawn beforehand, so that a run that was killed and
taken up again at a checkpoint sees the same batches as one that was not.
"""

import json
import shutil
from contextlib import ExitStack
from pathlib import Path

from data.errors import UserError
from pipeline.base import base_identity, fetch_base
from pipeline.batches import check_packing, encode_examples, plan_steps
from pipeline.config import Config
from pipeline.console import say
from pipeline.frozen import cached_states
from pipeline.lora import adapted_model
from pipeline.memory import MemoryFullError, release_memory, smaller_batch, told_when_full
from pipeline.model import attention_span, load_tokenizer, quiet_libraries
from pipeline.processes import spread
from pipeline.sharding import accelerate_file
from pipeline.speed import choose_speed, describe_speed
from pipeline.stage import BASE_MODEL, Stage, digest_files, read_jsonl
from pipeline.trainer import Steps, make_trainer, watch_steps
from pipeline.trial import announce

TRAIN = Stage(
    name="train",
    version=1,
    folder=lambda config: config.run / "train",
    settings=lambda config: {
        "seed": config.seed,
        "train": config.train.model_dump(mode="json", exclude={"report_to", "processes"}),
        "states": config.cache.dtype,
    },
    inputs=lambda config: {
        **digest_files(config.run / "render" / "train.jsonl"),
        BASE_MODEL: base_identity(config.model),
    },
    work=lambda config, folder: train(config, folder),
)


def train(config: Config, folder: Path) -> None:
    """Trains to the end, from the last whole checkpoint in `folder` if there is one, in as many processes as asked.

    Where memory runs out it goes on from there in smaller batches. Raises UserError for settings that the model does
    not allow, when the loss stops being a number, and when not even one sequence fits into memory.
    """
    if config.train.processes > 1:
        fetch_base(config.model)  # once, before all of them do
    while True:
        try:
            _go_on(config, folder)
            return
        except MemoryFullError:
            fewer = smaller_batch(config.train)
            if fewer is None:
                raise
        release_memory()
        say(
            f"  memory ran out with train.batch_size={config.train.batch_size}: going on with "
            f"train.batch_size={fewer.batch_size} train.accumulation={fewer.accumulation}, the same steps"
        )
        config = config.model_copy(update={"train": fewer})


def _go_on(config: Config, folder: Path) -> None:
    """Trains from the last whole checkpoint in `folder`, or from the start."""
    checkpoint = _last_checkpoint(folder)
    _trim_metrics(folder / "metrics.jsonl", int(checkpoint.name.split("-")[1]) if checkpoint else 0)
    if config.train.processes == 1:
        fit(config, folder, checkpoint)
    else:
        settings = accelerate_file(config.train)
        words = [str(folder), *([str(checkpoint)] if checkpoint else [])]
        spread("train", config.train.processes, config, *words, accelerate=settings)


def fit(config: Config, folder: Path, checkpoint: Path | None) -> None:
    """Trains from a checkpoint, or from the start: as the only process, or as one of several (`pipeline/worker.py`)."""
    quiet_libraries()
    settings = config.train
    speed = choose_speed(settings)
    lines = read_jsonl(config.run / "render" / "train.jsonl")
    base = fetch_base(config.model)
    tokenizer = load_tokenizer(base)
    examples = encode_examples(tokenizer, lines)
    plan = plan_steps(examples, settings, config.seed)
    with told_when_full(UserError, "before training, with one sequence at once", settings):
        model = adapted_model(config, base)
        check_packing(examples, plan, attention_span(model))
        asked = {place for sequence in plan.sequences for place in sequence}
        pad = tokenizer.pad_token_id
        steps = Steps(model, examples, pad, cached_states(config, model, examples, asked, pad))
        announce(steps, settings, plan)
    say(f"  {describe_speed(speed)}")
    if checkpoint:
        say(f"  resuming from {checkpoint.name}")
    at_once = f"with {settings.sequences_at_once} sequence{'s' if settings.sequences_at_once > 1 else ''} at once"
    with ExitStack() as opened, told_when_full(MemoryFullError, at_once, settings):
        watch = watch_steps(folder / "metrics.jsonl", plan, settings, opened)
        trainer = make_trainer(config, folder, tokenizer, steps, plan, watch)
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)


def _last_checkpoint(folder: Path) -> Path | None:
    """The newest checkpoint that was written whole; later, broken ones are removed."""
    found = sorted(folder.glob("checkpoint-*"), key=lambda path: int(path.name.split("-")[1]))
    for path in reversed(found):
        if _is_whole(path):
            return path
        shutil.rmtree(path)
    return None


def _is_whole(checkpoint: Path) -> bool:
    """Whether the file that is written last can be read."""
    try:
        state = json.loads((checkpoint / "trainer_state.json").read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return False
    return "global_step" in state


def _trim_metrics(path: Path, step: int) -> None:
    """Drops what was logged after the step that training goes on from."""
    if path.is_file():
        lines = [
            line
            for line in path.read_text(encoding="utf-8").splitlines()
            if line.endswith("}") and json.loads(line)["step"] <= step
        ]
        path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
