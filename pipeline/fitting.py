"""Settings that fit a model, a data set, a machine and a time: the rules by which `init` writes a recipe.

Reads and writes nothing. All are rules of thumb, from shapes of common models and from figures of LOG.md; once prompts are
rendered, `loraql plan` reckons with the real shape and the real lengths.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from data.errors import UserError

# --- The rules. A billion parameters are 1.0; bytes, seconds and floating-point operations are plain numbers.


@dataclass(frozen=True)
class Size:
    """What suits models of up to so many billions of parameters."""

    billions: float
    learning_rate: str  # smaller models take larger steps
    rank: int


SIZES = (Size(0.3, "1.0e-3", 32), Size(2, "5.0e-4", 32), Size(10, "2.0e-4", 64), Size(float("inf"), "1.0e-4", 64))
# What is tried in turn, until it fits: (quantization, gradient checkpointing, fewest examples at once). Four bits cost
# small models much, checkpointing costs a third of the time, a batch of a few examples wastes a machine.
WAYS = (("none", False, 4), ("none", True, 4), ("nf4", False, 4), ("nf4", True, 1))
BYTES = {"none": {"cpu": 4.0, "gpu": 2.0}, "nf4": {"cpu": 0.55, "gpu": 0.55}}  # of a weight
ACTIVATIONS = {"cpu": 2.6e6, "gpu": 0.76e6}  # bytes a token of a model of 135M parameters; a CPU's allocator holds more
ACTIVATIONS_GROW = 0.445  # with this power of the parameters: 7B models take six times as much
CHECKPOINTED = 1 / 6  # of activations, that stay
FILLED = 0.85  # of the memory, in training at the most: lengths and models vary
WHOLE_FILLED = 0.95  # in scoring and export, which load the base in full precision and take little else
OTHER_BYTES = 1.2e9  # Python, libraries, the device's own
ADAPTERS = 0.6  # bytes for each weight of the base: adapters, gradients and AdamW of rank 64; half that of rank 32
EXAMPLES = ((1000, 8), (float("inf"), 16))  # a step, with up to so many training questions: few want many steps
PACKING = 8  # on a CPU, questions of a database share a sequence: a quarter of the tokens, less variety in a step
EPOCHS = 3
FREEZE = 0.27  # of the layers, where time is short; more costs too much (LOG.md)
TOKENS = {"packed": 110, "alone": 420}  # of an example
TRAIN_FLOPS = 4  # a weight and token: forward, and back to the adapters
ANSWER_FLOPS = 2 * 210  # a weight and answer
USED = {"cpu": 0.7, "gpu": 0.3}  # of what a matrix product reaches
SHARE_OF_TRAINING = 0.5  # of the time; scoring has the rest
FEWEST_STEPS = 16
CHECKPOINTS = 3
# Base and checkpoints on select, base and chosen one on dev: so many answers for each question that a split may have.
ANSWERS_A_LIMIT = 1 + CHECKPOINTS + 2


@dataclass(frozen=True)
class Model:
    base: str
    billions: float
    layers: int | None = None  # where it is known


@dataclass(frozen=True)
class Data:
    """A data set by name, with its numbers of questions."""

    source: str
    train: int
    select: int
    dev: int
    has_select: bool  # a split of its own
    select_databases: str = "0"  # as YAML


@dataclass(frozen=True)
class Machine:
    """`kind`: cpu or gpu. Bytes that can be had, and floating-point operations a second of a matrix product."""

    kind: str
    memory: float
    flops: float
    label: str


@dataclass(frozen=True)
class Fit:
    """The settings, and what they are reckoned to take: bytes, and hours of training and of scoring."""

    quantization: str
    checkpointing: bool
    batch: int
    accumulation: int
    packing: int
    learning_rate: str
    rank: int
    freeze: int
    limit: int | None
    steps: int
    passes: float
    checkpoints: int
    max_length: int
    memory: float
    train_hours: float
    score_hours: float


def fit(model: Model, data: Data, machine: Machine, hours: float, max_length: int) -> Fit:
    """Chooses by the rules above. Raises UserError where memory or time would not do, with what would."""
    size = next(size for size in SIZES if model.billions <= size.billions)
    most_packed = PACKING if machine.kind == "cpu" else 1
    speed = machine.flops * USED[machine.kind] / (model.billions * 1e9)  # tokens a second, at one operation a weight
    answer = ANSWER_FLOPS / speed
    training, scoring = (hours * 3600 * share for share in (SHARE_OF_TRAINING, 1 - SHARE_OF_TRAINING))
    limit = None if _answers(data, None) * answer <= scoring else int(scoring / answer / ANSWERS_A_LIMIT)
    seen = min(data.train, data.train if limit is None else limit)
    step = next(count for questions, count in EXAMPLES if seen <= questions)
    quantization, checkpointing, batch, memory = _fits(model, machine, size.rank, max_length, most_packed, step)
    packing = min(most_packed, batch)
    example = TOKENS["packed" if packing > 1 else "alone"] * TRAIN_FLOPS / speed * (4 / 3 if checkpointing else 1)
    least = FEWEST_STEPS * max(step * example / SHARE_OF_TRAINING, ANSWERS_A_LIMIT * answer / (1 - SHARE_OF_TRAINING))
    if hours * 3600 < least:
        raise UserError(
            f"{hours:g} hours are too short for {model.base} on {machine.label}: {FEWEST_STEPS} steps of {step} examples, "
            f"with scoring, take about {_up(least / 3600)} hours; give --hours {_up(least / 3600)} or a smaller --model"
        )
    affordable = int(training / example)
    is_short = affordable < EPOCHS * seen
    steps = max(min(affordable, EPOCHS * seen) // step, FEWEST_STEPS)
    return Fit(
        quantization=quantization,
        checkpointing=checkpointing,
        batch=batch,
        accumulation=step // batch,
        packing=packing,
        learning_rate=size.learning_rate,
        rank=size.rank,
        freeze=int(FREEZE * model.layers) if is_short and model.layers else 0,
        limit=limit,
        steps=steps,
        passes=steps * step / max(seen, 1),
        checkpoints=CHECKPOINTS,
        max_length=max_length,
        memory=memory,
        train_hours=steps * step * example / 3600,
        score_hours=_answers(data, limit) * answer / 3600,
    )


def _fits(
    model: Model, machine: Machine, rank: int, max_length: int, packing: int, step: int
) -> tuple[str, bool, int, float]:
    """Quantization, gradient checkpointing, examples at once, and the bytes that they take together."""
    whole = model.billions * 1e9 * BYTES["none"][machine.kind] + OTHER_BYTES
    if whole > WHOLE_FILLED * machine.memory:
        raise UserError(
            f"{model.base} takes about {whole / 1e9:.0f} GB when it is scored and exported, which is not in four bits, and "
            f"{machine.label} has {machine.memory / 1e9:.0f} GB; give a smaller --model, or --gpu GB for one elsewhere"
        )
    needs = 0.0
    for quantization, checkpointing, fewest in WAYS:
        for batch in _halves(step if packing == 1 else packing):
            needs = _memory(model, machine.kind, rank, quantization, checkpointing, max_length * batch / packing)
            if batch >= fewest and needs <= FILLED * machine.memory:
                return quantization, checkpointing, batch, needs
    raise UserError(
        f"{model.base} takes about {needs / 1e9:.0f} GB in four bits, one example at a time, and {machine.label} has "
        f"{machine.memory / 1e9:.0f} GB; give a smaller --model, or --gpu GB for training elsewhere"
    )


def _memory(model: Model, kind: str, rank: int, quantization: str, checkpointing: bool, tokens: float) -> float:
    weights = model.billions * 1e9 * BYTES[quantization][kind]
    adapters = model.billions * 1e9 * ADAPTERS * rank / 64
    token: float = ACTIVATIONS[kind] * (model.billions / 0.135) ** ACTIVATIONS_GROW
    return weights + adapters + tokens * token * (CHECKPOINTED if checkpointing else 1) + OTHER_BYTES


def _halves(most: int) -> Iterator[int]:
    while most:
        yield most
        most //= 2


def _answers(data: Data, limit: int | None) -> int:
    select, dev = (min(count, limit or count) for count in (data.select, data.dev))
    return (1 + CHECKPOINTS) * select + 2 * dev


def _up(hours: float) -> str:
    return f"{hours + 0.05:.1f}" if hours < 10 else f"{hours + 0.5:.0f}"
