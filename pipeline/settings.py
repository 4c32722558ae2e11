"""The settings of each stage, as a recipe's sections hold them, with what is allowed.

Frozen, and unknown keys are refused. `pipeline/config.py` reads them from recipes and puts them together.
"""

from pathlib import Path
from typing import Any, Literal, Self, get_args

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    field_validator,
    model_validator,
)

from eval.sandbox import Limits
from prompts.compose import View
from prompts.context import ContextKind
from prompts.describe import ForeignKeys
from prompts.render import ORDERS, Order, Preset
from prompts.select import Choice
from prompts.values import SAMPLED

TEMPERATURE = 0.7


class Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class DataSettings(Settings):
    """Where examples and databases come from."""

    source: str = Field(
        "sample", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", description="`sample`, `spider`, or the name of an import"
    )
    folder: Path = Field(Path("data/raw"), description="where data sets are kept")
    sha256: str | None = Field(None, pattern="^[0-9a-f]{64}$", description="the archive must have this digest")
    limit: PositiveInt | None = Field(None, description="a random draw of this many questions of each split")
    synthetic: tuple[Path, ...] = Field((), description="files of `loraql synth`, as training data besides")

    @field_validator("synthetic", mode="before")
    @classmethod
    def _one_or_more(cls, given: Any) -> Any:
        return (given,) if isinstance(given, str | Path) else given

    @property
    def root(self) -> Path:
        """The folder of this data set."""
        return self.folder / self.source


class SelectionSettings(Settings):
    """How the best checkpoint is chosen."""

    databases: NonNegativeInt | tuple[str, ...] = Field(
        20,
        description="training databases held out for choosing checkpoints: how many (a seeded draw), or which; "
        "0 where the data set has a select split of its own",
    )
    on: Literal["select", "dev"] = Field("select", description="`select` is the training databases held out")
    race: float | None = Field(
        None,
        gt=0.5,
        lt=1,
        description="drop checkpoints behind the best with this confidence (0.95), before they have answered all; "
        "not for figures to be published",
    )


class PromptSettings(Settings):
    """What a prompt says and shows."""

    preset: Preset = Field("corrected", description="how a schema is described and a question asked")
    order: Order | None = Field(None, description="the preset's own if not given")
    foreign_keys: ForeignKeys = Field(
        "both", description="`both`: shown if both ends are; `child`: whenever its table is"
    )
    context: ContextKind = Field(
        "mixed", description="what training prompts show; all others do as `prompt.linking` says"
    )
    linking: bool = Field(False, description="show what the question seems to be about, not the whole schema")
    top_columns: PositiveInt | None = Field(None, description="linked columns at most, besides those that join")
    samples: NonNegativeInt = Field(0, le=SAMPLED, description="frequent values shown of each text column")
    matches: bool = Field(False, description="show the database's values that the question mentions")
    meanings: bool = Field(True, description="show what columns mean, where the data set says it")
    shuffle: bool = Field(False, description="tables and columns of training prompts in random order")
    shots: NonNegativeInt = Field(0, description="worked examples in the prompt")
    choice: Choice = Field("keyword", description="of worked examples; `keyword` is BM25")
    embedder: str | None = Field(
        None, description="a sentence-transformers model; `vector` has one of its own, `skeleton` does without"
    )
    same_database: bool = Field(False, description="may examples come from the database asked about?")
    max_length: PositiveInt = Field(
        1024, description="tokens of a prompt, in training with its completion; longer ones are shortened"
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.order and self.order not in ORDERS[self.preset]:
            raise ValueError(f"prompt.order: the preset {self.preset!r} has only {' and '.join(ORDERS[self.preset])}")
        if self.context == "linked" and not self.linking:
            raise ValueError("prompt.context: linked wants prompt.linking=true, or scoring would show full schemas")
        if self.top_columns and not self.linking:
            raise ValueError("prompt.top_columns: wants prompt.linking=true")
        if self.embedder and self.choice not in ("vector", "skeleton"):
            raise ValueError(f"prompt.embedder: prompt.choice={self.choice} does not use one")
        return self

    @property
    def view(self) -> View:
        return View(self.linking, self.top_columns, self.samples, self.matches)


class ModelSettings(Settings):
    """The base model: the embedded one, a Hugging Face id, or a local folder."""

    base: str = Field(
        "smollm2-135m-instruct",
        description="the embedded model, a Hugging Face id, or a local folder with safetensors",
    )
    revision: str | None = Field(None, description="commit, branch or tag of a Hugging Face id")


class LoraSettings(Settings):
    """The adapters."""

    rank: PositiveInt = Field(16, description="of the two matrices of an adapter")
    alpha: PositiveInt = Field(32, description="the update is scaled by alpha / rank")
    dropout: float = Field(0.05, ge=0, lt=1, description="on what adapters read, in training")
    targets: tuple[str, ...] | Literal["all-linear"] = Field(
        "all-linear", description="names of linear modules of the decoder layers"
    )


Speed = Literal["fused", "adam8bit", "liger", "compile"]


class TrainSettings(Settings):
    """Which weights learn, how, and on what hardware."""

    quantization: Literal["nf4", "int8", "none"] = Field(
        "nf4", description="of the base while training; nf4: 4 bits, with double quantization"
    )
    compute: Literal["auto", "fp32", "bf16"] = Field(
        "auto", description="auto: fp32 on a CPU, bf16 on a GPU that has it"
    )
    lora: LoraSettings = LoraSettings()
    freeze_layers: NonNegativeInt = Field(0, description="the first n decoder layers get no adapter")
    learning_rate: PositiveFloat = Field(2e-4, description="the peak")
    scheduler: Literal["cosine", "linear", "constant_with_warmup"] = Field(
        "cosine", description="how the learning rate goes on after the warm-up"
    )
    warmup: float = Field(0.05, ge=0, lt=1, description="share of the steps")
    weight_decay: float = Field(0.0, ge=0, description="AdamW's")
    max_grad_norm: PositiveFloat = Field(1.0, description="gradients are clipped to this norm")
    epochs: PositiveFloat = Field(3.0, description="how often each training example is seen")
    max_steps: PositiveInt | None = Field(None, description="stop here, whatever epochs says")
    batch_size: PositiveInt = Field(8, description="examples of a batch")
    accumulation: PositiveInt = Field(1, description="batches of a step")
    packing: PositiveInt = Field(
        1, description="questions of one context that share a sequence; wants `prompt.order=schema-first`"
    )
    checkpoints: PositiveInt = Field(3, description="how many, evenly spaced, the last at the end")
    gradient_checkpointing: bool = Field(False, description="costs a third of the time where memory is short")
    processes: PositiveInt = Field(
        1, description="that share the batch: a GPU each, or the cores; `loraql train --num-processes N`"
    )
    sharding: Literal["none", "fsdp", "zero3"] = Field(
        "none",
        description="spread the model over the processes, too; `zero3` wants `pip install 'loraql[deepspeed]'`",
    )
    speed: Literal["auto", "off"] | tuple[Speed, ...] = Field(
        "auto", description="what makes steps faster; auto: what is known to help here"
    )
    report_to: tuple[Literal["tensorboard", "wandb", "mlflow", "trackio"], ...] = Field(
        (), description="beside `metrics.jsonl`"
    )

    @field_validator("speed", mode="before")
    @classmethod
    def _named(cls, given: Any) -> Any:
        if given is False:  # what YAML makes of a bare off
            return "off"
        if given in ("auto", "off"):
            return given
        names = [given] if isinstance(given, str) else given
        for name in names if isinstance(names, list | tuple) else [names]:
            if name not in get_args(Speed):
                raise ValueError(f"train.speed: {name!r} was given; there are auto, off, {', '.join(get_args(Speed))}")
        return names

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.batch_size % self.packing:
            raise ValueError(
                f"train.packing: {self.packing} does not divide train.batch_size, which is {self.batch_size}"
            )
        if self.batch_size % self.processes or not self.parts:
            raise ValueError(
                f"train.processes: {self.processes} do not share the {self.batch_size} examples of a batch, packed by "
                f"{self.packing}, evenly; change train.batch_size or train.packing"
            )
        if {"fused", "adam8bit"} <= set(self.speed):
            raise ValueError("train.speed: fused and adam8bit are two kinds of one optimizer; choose one")
        if self.sharding != "none" and self.processes == 1:
            raise ValueError(f"train.sharding: {self.sharding} wants train.processes of 2 or more, a GPU for each")
        if self.sharding != "none" and self.quantization == "int8":
            raise ValueError(
                f"train.sharding: {self.sharding} cannot split 8-bit weights; set train.quantization to nf4 or none"
            )
        return self

    @property
    def parts(self) -> int:
        """Into how many a packed sequence is divided, so that there are some for all processes; 0 if that cannot be."""
        fitting = (
            parts
            for parts in range(1, self.packing + 1)
            if self.packing % parts == 0 and self.batch_size // self.packing * parts % self.processes == 0
        )
        return next(fitting, 0)

    @property
    def sequences_at_once(self) -> int:
        """In one process."""
        return self.batch_size // self.packing * self.parts // self.processes


class CacheSettings(Settings):
    """What is kept for later epochs and runs: what frozen layers make of the training examples, and answers."""

    max_gb: float = Field(20.0, ge=0, description="room for what frozen layers give; 0: they run each time")
    dtype: Literal["auto", "fp32", "bf16", "fp16"] = Field("auto", description="auto: as the model computes")
    answers: bool = Field(True, description="what a model wrote to a prompt is not asked for again")


class EvaluateSettings(Settings):
    """Greedy decoding and what it is scored on; the base is loaded in full precision, as exported."""

    batch_size: PositiveInt = Field(32, description="prompts that are written to at a time, at most")
    max_new_tokens: PositiveInt = Field(128, description="of an answer")


class GenerateSettings(Settings):
    """How answers are written for scoring."""

    engine: Literal["transformers", "vllm"] = Field(
        "transformers", description="`transformers`: loraql's own loop; `vllm`: a GPU and `pip install 'loraql[vllm]'`"
    )
    processes: PositiveInt = Field(
        1,
        description="that share the questions; with vllm, GPUs that share the model; `loraql evaluate --num-processes N`",
    )
    constrain: bool = Field(False, description="names of the schema and words of SQL only")
    vote: PositiveInt = Field(
        1, description="answers drawn to each question, of which the commonest result counts; scored beside greedy"
    )
    retry: NonNegativeInt = Field(
        0, description="how often a query that fails is asked for again, with its error; scored beside greedy"
    )
    temperature: PositiveFloat = Field(TEMPERATURE, description="of the answers that vote")

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.engine == "vllm" and self.constrain:
            raise ValueError("generate.constrain: wants generate.engine=transformers")
        if self.temperature != TEMPERATURE and self.vote == 1:
            raise ValueError("generate.temperature: is of the answers that vote; it wants generate.vote above 1")
        return self


class SandboxSettings(Settings):
    """What one query may use."""

    seconds: PositiveFloat = Field(5.0, description="of a query, on the clock and of the processor")
    memory_mb: PositiveInt = Field(512, description="of a query")
    rows: PositiveInt = Field(100_000, description="of a result")
    workers: PositiveInt | None = Field(None, description="processes that run SQL; one for each core if not given")

    @property
    def limits(self) -> Limits:
        return Limits(seconds=self.seconds, cpu_seconds=self.seconds, memory_mb=self.memory_mb, rows=self.rows)
