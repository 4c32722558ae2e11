"""export: the chosen adapter merged into the full-precision base -> `runs/NAME/export/merged/`.

Reads `evaluate/selection.json`, the adapter and the base. Writes a plain model folder: safetensors,
tokenizer, model card, `loraql.json` with the prompt's settings and `prompt.jinja`. Then loads it again
and compares its answers with those of the unmerged model. Other kinds of export are made from it.
"""

import shutil
from pathlib import Path

from pipeline.base import base_identity, fetch_base
from pipeline.bundle import POOL, write_bundle
from pipeline.card import base_name, write_card
from pipeline.config import Config
from pipeline.console import show_files
from pipeline.drift import answers, check_drift, drawn_prompts
from pipeline.model import load_adapter, load_model, load_tokenizer, pick_dtype
from pipeline.stage import BASE_MODEL, Stage, digest_files, read_json

# What only other kinds of export read.
OF_KINDS = {"gguf", "block"}
KEPT = ("adapter", "gguf", "pgllm")


def _inputs(config: Config) -> dict[str, str]:
    selection = config.run / "evaluate" / "selection.json"
    render = config.run / "render"
    inputs = digest_files(selection, render / "dev.jsonl", *([render / POOL] if config.prompt.shots else []))
    if selection.is_file():
        inputs |= digest_files(config.run / "train" / read_json(selection)["chosen"] / "adapter_model.safetensors")
    return inputs | {BASE_MODEL: base_identity(config.model)}


EXPORT = Stage(
    name="export",
    version=2,
    folder=lambda config: config.run / "export",
    settings=lambda config: {
        "export": config.export.model_dump(mode="json", exclude=OF_KINDS),
        "prompt": config.prompt.model_dump(mode="json"),
        "evaluate": config.evaluate.model_dump(mode="json"),
        "generate": {"constrain": config.generate.constrain},
        "train": config.train.model_dump(mode="json", exclude={"report_to", "processes"}),
        "seed": config.seed,
    },
    inputs=_inputs,
    work=lambda config, folder: export(config, folder),
    keeps=KEPT,
)


def export(config: Config, folder: Path) -> None:
    """Writes the merged model and checks it. Raises UserError if it answers too differently."""
    chosen = read_json(config.run / "evaluate" / "selection.json")["chosen"]
    base = fetch_base(config.model)
    tokenizer = load_tokenizer(base)
    dtype = pick_dtype(config.train.compute)
    merged_folder = folder / "merged"
    shutil.rmtree(merged_folder, ignore_errors=True)
    prompts = drawn_prompts(config)
    model = load_adapter(load_model(base, dtype=dtype), config.run / "train" / chosen)
    before = answers(config, model, tokenizer, prompts, "unmerged")
    merged = model.merge_and_unload()
    merged.save_pretrained(merged_folder)
    tokenizer.save_pretrained(merged_folder)
    del model, merged
    after = answers(config, load_model(merged_folder, dtype=dtype), load_tokenizer(merged_folder), prompts, "merged")
    drift = check_drift(config, before, after, "between the merged and the unmerged model")
    write_bundle(
        config,
        merged_folder,
        base=base_name(config),
        checkpoint=chosen,
        drift={"differing": drift, "checked": len(prompts)},
    )
    write_card(
        config,
        merged_folder,
        "merged",
        f"These weights are the {dtype} base with the adapter merged into it; "
        f"after merging, {drift} of {len(prompts)} answers differed.",
    )
    show_files(f"{chosen}, merged into the {dtype} base", merged_folder)
