"""What a hub reads of a model card: its front matter, and results for a benchmark's leaderboard.

Makes YAML of what the stages recorded, with huggingface_hub's own classes. A licence that is not known is left out,
and `loraql push` asks for it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from pipeline.config import PUBLISHED, Config

METRICS = {"ex": ("execution_accuracy", "Execution accuracy (EX), %"), "em": ("exact_match", "Exact match (EM), %")}
# By whose rules both are computed.
RULES = ("loraql, by the rules of Spider's evaluator", "https://github.com/taoyds/test-suite-sql-eval")
RELATIONS = {"adapter": "adapter", "gguf": "quantized"}  # of the base; all others are fine-tuned
LIBRARIES = {"adapter": "peft", "gguf": "gguf"}  # all others are read by transformers
RESULTS = Path(".eval_results") / "loraql.yaml"


@dataclass(frozen=True)
class HubData:
    """A data set as the hub knows it: its id, what people call it, what the split is called there that we call dev."""

    id: str
    name: str
    split: str


HUB_DATA = {"spider": HubData("xlangai/spider", "Spider", "validation")}


@dataclass(frozen=True)
class Licences:
    """Of the model, its base and its training data, as the hub spells them; None where not known."""

    model: str | None
    base: str | None
    data: str | None


def front_matter(config: Config, kind: str, base: str, licences: Licences, scores: Mapping[str, Any]) -> str:
    """The YAML between the two `---` of a card; `scores` are the exported model's on dev, `base` an id of the hub or a name."""
    from huggingface_hub import ModelCardData

    known = HUB_DATA.get(config.data.source)
    card = ModelCardData(
        license=licences.model,
        base_license=licences.base,
        data_license=licences.data,
        base_model=base if "/" in base else None,
        base_model_relation=RELATIONS.get(kind, "finetune"),
        datasets=[known.id] if known else None,
        language="en" if config.data.source in PUBLISHED else None,
        library_name=LIBRARIES.get(kind, "transformers"),
        pipeline_tag="text-generation",
        tags=["text-to-sql", "lora", "sqlite"],
        metrics=[type_ for type_, _ in METRICS.values()],
        model_name=config.name,
        eval_results=_results(config, scores),
    )
    written: str = card.to_yaml()
    return written


def _results(config: Config, scores: Mapping[str, Any]) -> list[Any]:
    """One result a metric, with its 95% interval and what it counts; all in per cent."""
    from huggingface_hub import EvalResult

    source = config.data.source
    data = HUB_DATA.get(source, HubData(source, source, "dev"))
    return [
        EvalResult(
            task_type="text-generation",
            task_name="text-to-SQL",
            dataset_type=data.id,
            dataset_name=data.name,
            dataset_split=data.split,
            metric_type=type_,
            metric_name=name,
            metric_value=_percent(scores["intervals"][metric]["value"]),
            metric_args={
                "confidence": 0.95,
                "low": _percent(scores["intervals"][metric]["low"]),
                "high": _percent(scores["intervals"][metric]["high"]),
                "right": scores[metric],
                "questions": scores["n"],
                "decoding": "greedy, constrained" if config.generate.constrain else "greedy",
            },
            source_name=RULES[0],
            source_url=RULES[1],
        )
        for metric, (type_, name) in METRICS.items()
    ]


def write_results(config: Config, folder: Path, scores: Mapping[str, Any]) -> None:
    """EX for the leaderboard of `export.benchmark`, where one is named: `.eval_results/loraql.yaml`."""
    if not config.export.benchmark:
        return
    from huggingface_hub import EvalResultEntry, eval_result_entries_to_yaml

    dataset, _, task = config.export.benchmark.partition(":")
    interval = scores["intervals"]["ex"]
    entry = EvalResultEntry(
        dataset_id=dataset,
        task_id=task or "default",
        value=_percent(interval["value"]),
        source_name=RULES[0],
        source_url=RULES[1],
        notes=f"execution accuracy (EX) in %, 95% interval {_percent(interval['low'])} to {_percent(interval['high'])}, "
        f"{scores['n']} questions, greedy",
    )
    path = folder / RESULTS
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(eval_result_entries_to_yaml([entry]), sort_keys=False), encoding="utf-8")


def _percent(share: float) -> float:
    return round(100 * share, 2)
