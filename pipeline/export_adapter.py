"""export --kind adapter: the chosen adapter by itself -> `runs/NAME/export/adapter/`.

Reads the checkpoint that `evaluate` chose and the base. Writes a PEFT folder that names the base as others can find
it, with tokenizer, prompt and card: a few megabytes, to be put on the base anywhere. Then puts it on the base and
compares its answers with the checkpoint's.
"""

import shutil
from pathlib import Path

from pipeline.base import fetch_base
from pipeline.bundle import write_bundle
from pipeline.card import base_name, write_card
from pipeline.config import Config
from pipeline.console import show_files
from pipeline.drift import answers, check_drift, drawn_prompts
from pipeline.model import load_adapter, load_model, load_tokenizer, pick_dtype
from pipeline.stage import PARTIAL_KEY, read_json, write_json

WEIGHTS, SETTINGS = "adapter_model.safetensors", "adapter_config.json"


def export_adapter(config: Config, folder: Path) -> None:
    """Writes the adapter and checks it. Raises UserError if it answers too differently."""
    chosen = read_json(config.run / "evaluate" / "selection.json")["chosen"]
    checkpoint = config.run / "train" / chosen
    base = fetch_base(config.model)
    tokenizer = load_tokenizer(base)
    settings = read_json(checkpoint / SETTINGS)
    # While training this was a folder of this machine.
    settings |= {"base_model_name_or_path": base_name(config), "revision": config.model.revision}
    write_json(folder / SETTINGS, settings)
    shutil.copyfile(checkpoint / WEIGHTS, folder / WEIGHTS)
    tokenizer.save_pretrained(folder)
    prompts = drawn_prompts(config)
    model = load_adapter(load_model(base, dtype=pick_dtype(config.train.compute)), checkpoint, "trained")
    before = answers(config, model, tokenizer, prompts, "the checkpoint")
    model.load_adapter(folder, adapter_name="exported", use_safetensors=True)
    model.set_adapter("exported")
    after = answers(config, model, load_tokenizer(folder), prompts, "the exported adapter")
    drift = check_drift(config, before, after, "between the exported adapter and the checkpoint")
    notes = {"differing": drift, "checked": len(prompts)}
    write_bundle(config, folder, base=base_name(config), checkpoint=chosen, drift=notes)
    write_card(
        config,
        folder,
        "adapter",
        f"This is the adapter alone, to be put on the base; put on it again, {drift} of {len(prompts)} answers differed.",
    )
    show_files(f"{chosen}, an adapter for {base_name(config)}", folder, [PARTIAL_KEY])
