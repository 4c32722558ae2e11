"""export: the chosen adapter merged into the full-precision base -> `runs/NAME/export/merged/`.

Reads `evaluate/selection.json`, the adapter and the base. Writes a plain model folder: safetensors,
tokenizer, model card, `loraql.json` with the prompt's settings and `prompt.jinja`. Then loads it again
and compares its answers with those of the unmerged model.
"""

import random
import shutil
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from data.errors import UserError
from eval.extract import is_complete
from pipeline.base import base_identity, fetch_base
from pipeline.bundle import POOL, write_bundle
from pipeline.config import Config
from pipeline.console import progress, say
from pipeline.generation import generate
from pipeline.model import encode_prompts, load_adapter, load_model, load_tokenizer, pick_dtype
from pipeline.stage import BASE_MODEL, Stage, digest_files, read_json, read_jsonl


def _inputs(config: Config) -> dict[str, str]:
    selection = config.run / "evaluate" / "selection.json"
    render = config.run / "render"
    inputs = digest_files(selection, render / "dev.jsonl", *([render / POOL] if config.prompt.shots else []))
    if selection.is_file():
        inputs |= digest_files(config.run / "train" / read_json(selection)["chosen"] / "adapter_model.safetensors")
    return inputs | {BASE_MODEL: base_identity(config.model)}


EXPORT = Stage(
    name="export",
    version=1,
    folder=lambda config: config.run / "export",
    settings=lambda config: {
        "export": config.export.model_dump(mode="json"),
        "prompt": config.prompt.model_dump(mode="json"),
        "evaluate": config.evaluate.model_dump(mode="json"),
        "generate": {"constrain": config.generate.constrain},
        "train": config.train.model_dump(mode="json", exclude={"report_to", "processes"}),
        "seed": config.seed,
    },
    inputs=_inputs,
    work=lambda config, folder: export(config, folder),
)


def export(config: Config, folder: Path, allow_drift: bool = False) -> None:
    """Writes the merged model and checks it. Raises UserError if it answers too differently."""
    selection = read_json(config.run / "evaluate" / "selection.json")
    base = fetch_base(config.model)
    tokenizer = load_tokenizer(base)
    dtype = pick_dtype(config.train.compute)
    merged_folder = folder / "merged"
    shutil.rmtree(merged_folder, ignore_errors=True)
    prompts = _drawn_prompts(config)
    model = load_adapter(load_model(base, dtype=dtype), config.run / "train" / selection["chosen"])
    before = _answers(config, model, tokenizer, prompts, "unmerged")
    merged = model.merge_and_unload()
    merged.save_pretrained(merged_folder)
    tokenizer.save_pretrained(merged_folder)
    del model, merged
    after = _answers(config, load_model(merged_folder, dtype=dtype), load_tokenizer(merged_folder), prompts, "merged")
    drift = sum(old != new for old, new in zip(before, after, strict=True))
    say(f"  merge check: {drift} of {len(prompts)} answers differ between the merged and the unmerged model")
    if drift > config.export.max_drift and not allow_drift:
        raise UserError(
            f"export: {drift} of {len(prompts)} answers differ after merging, more than export.max_drift={config.export.max_drift}; "
            "look at the model, or accept it with --allow-drift"
        )
    write_bundle(
        config,
        merged_folder,
        base=config.model.base,
        checkpoint=selection["chosen"],
        drift={"differing": drift, "checked": len(prompts)},
    )
    (merged_folder / "README.md").write_text(_card(config, selection, drift, len(prompts), dtype), encoding="utf-8")
    size = sum(path.stat().st_size for path in merged_folder.iterdir()) / 1e6
    say(
        f"  {selection['chosen']} merged into the {dtype} base: {size:,.0f} MB of safetensors, tokenizer, card and prompt"
    )


def _drawn_prompts(config: Config) -> list[str]:
    lines = read_jsonl(config.run / "render" / "dev.jsonl")
    count = min(config.export.questions, len(lines))
    return [line["prompt"] for line in random.Random(config.seed).sample(lines, count)]


def _answers(config: Config, model: Any, tokenizer: Any, prompts: Sequence[str], label: str) -> list[str]:
    with progress(f"answering, {label}", len(prompts), "questions") as advance:
        settings = config.evaluate
        answers = generate(
            model,
            tokenizer,
            encode_prompts(tokenizer, prompts),
            max_new_tokens=settings.max_new_tokens,
            batch_size=settings.batch_size,
            is_complete=is_complete,
            on_done=lambda *_: advance(),
        )
    return [answer.text for answer in answers]


def _card(config: Config, selection: dict[str, Any], drift: int, checked: int, dtype: str) -> str:
    import jinja2

    scores = read_json(config.run / "evaluate" / selection["chosen"] / "scores.json")["splits"]["dev"]
    base_scores = read_json(config.run / "evaluate" / "base" / "scores.json")["splits"]["dev"]
    template = jinja2.Environment(undefined=jinja2.StrictUndefined, trim_blocks=True).from_string(
        (files("pipeline") / "card.md.jinja").read_text(encoding="utf-8")
    )
    return template.render(
        config=config,
        selection=selection,
        scores=scores,
        base_scores=base_scores,
        drift=drift,
        checked=checked,
        dtype=dtype,
    )
