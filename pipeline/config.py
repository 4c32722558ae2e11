"""The one typed configuration: a YAML recipe, then `key=value` overrides.

Reads shipped recipes by name or a YAML file by path; every stage gets its own slice of the frozen
`Config`. Unknown keys are refused, and an error names the key, what was given and what is allowed.
"""

import shlex
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml
from pydantic import Field, PrivateAttr, ValidationError

from data.errors import UsageError
from pipeline.export_settings import ExportSettings
from pipeline.settings import (
    CacheSettings,
    DataSettings,
    EvaluateSettings,
    GenerateSettings,
    ModelSettings,
    PromptSettings,
    SandboxSettings,
    SelectionSettings,
    Settings,
    TrainSettings,
)

PUBLISHED = ("sample", "spider")  # what `download` knows; all else was imported
RECIPES = files("pipeline") / "recipes"


class Config(Settings):
    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", description="the run's folder under `runs`")
    runs: Path = Field(Path("runs"), description="where runs are kept")
    seed: int = Field(
        0, ge=0, lt=2**32, description="for every draw; the same seed on the same machine gives the same files"
    )
    data: DataSettings = DataSettings()
    selection: SelectionSettings = SelectionSettings()
    prompt: PromptSettings = PromptSettings()
    model: ModelSettings = ModelSettings()
    train: TrainSettings = TrainSettings()
    cache: CacheSettings = CacheSettings()
    evaluate: EvaluateSettings = EvaluateSettings()
    generate: GenerateSettings = GenerateSettings()
    sandbox: SandboxSettings = SandboxSettings()
    export: ExportSettings = ExportSettings()
    # No settings: a run is the same whatever its recipe is called.
    _recipe: str | None = PrivateAttr(None)
    _arguments: str | None = PrivateAttr(None)

    @property
    def recipe(self) -> str | None:
        """The recipe's name or file that this was read from."""
        return self._recipe

    @property
    def arguments(self) -> str | None:
        """The words that give a command this configuration again: recipe, overrides, options."""
        return self._arguments

    @property
    def run(self) -> Path:
        """The folder of this run."""
        return self.runs / self.name

    def dump(self) -> dict[str, Any]:
        """Plain values, as YAML and manifests hold them."""
        return self.model_dump(mode="json")


def recipe_names() -> list[str]:
    return sorted(path.name.removesuffix(".yaml") for path in RECIPES.iterdir() if path.name.endswith(".yaml"))


def load_config(recipe: str, overrides: list[str], quick: bool = False, seed: int | None = None) -> Config:
    """The recipe with its overrides. Raises UsageError with the key, what was given and what is allowed."""
    values, origin = _read_recipe(recipe)
    shortcut = values.pop("quick", None)
    if quick:
        if not isinstance(shortcut, dict):
            raise UsageError(f"{origin}: has no `quick` section, which --quick uses")
        _merge(values, shortcut)
    if seed is not None:
        values["seed"] = seed
    for override in overrides:
        _apply(values, override)
    config = _validate(values, origin)
    options = [*(["--quick"] if quick else []), *(["--seed", str(seed)] if seed is not None else [])]
    config._recipe, config._arguments = recipe, shlex.join([recipe, *overrides, *options])
    return config


def dataset_config(name: str, overrides: list[str]) -> Config | None:
    """A configuration that only says which data set, for one given by its name instead of a recipe."""
    if name not in PUBLISHED:
        return None
    values: dict[str, Any] = {"name": name, "data": {"source": name}}
    for override in overrides:
        _apply(values, override)
    return _validate(values, f"data set {name}")


def _validate(values: dict[str, Any], origin: str) -> Config:
    try:
        return Config.model_validate(values)
    except ValidationError as error:
        raise UsageError(f"{origin}: {explain(error)}") from error


def _read_recipe(recipe: str) -> tuple[dict[str, Any], str]:
    if recipe in recipe_names():
        text, origin = (RECIPES / f"{recipe}.yaml").read_text(encoding="utf-8"), f"recipe {recipe}"
    elif recipe.endswith((".yaml", ".yml")):
        if not Path(recipe).is_file():
            raise UsageError(f"{recipe}: no such recipe file")
        try:
            text, origin = Path(recipe).read_text(encoding="utf-8"), recipe
        except UnicodeDecodeError as error:
            raise UsageError(f"{recipe}: not UTF-8 text") from error
    else:
        raise UsageError(f"{recipe}: no such recipe; there are {', '.join(recipe_names())}, or give a YAML file")
    try:
        values = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError) as error:  # ValueError: an impossible date
        place = getattr(error, "problem_mark", None)
        where = f", line {place.line + 1}" if place else ""
        raise UsageError(f"{origin}{where}: not valid YAML: {getattr(error, 'problem', error)}") from error
    if not isinstance(values, dict):
        raise UsageError(f"{origin}: not a mapping of settings")
    return values, origin


def _merge(values: dict[str, Any], changes: dict[str, Any]) -> None:
    for key, change in changes.items():
        if isinstance(change, dict) and isinstance(values.get(key), dict):
            _merge(values[key], change)
        else:
            values[key] = change


def _apply(values: dict[str, Any], override: str) -> None:
    path, equals, text = override.partition("=")
    if not equals or not path:
        raise UsageError(f"{override!r}: settings are given as key=value, for example train.learning_rate=1e-4")
    *parents, last = path.split(".")
    node = values
    for name in parents:
        node = node.setdefault(name, {})
        if not isinstance(node, dict):
            raise UsageError(f"{path}: {name!r} is a value, not a section")
    try:
        node[last] = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError) as error:
        raise UsageError(f"{override!r}: the value is not valid YAML") from error


def explain(error: ValidationError) -> str:
    """pydantic's first complaint as one line, with the setting that it is about."""
    first = error.errors(include_url=False)[0]
    path = [str(part) for part in first["loc"]]
    key, given = ".".join(path), first.get("input")
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    if first["type"] == "extra_forbidden":
        return f"{key}: no such setting; {_allowed_keys(path)}{more}"
    if first["type"] == "value_error":
        return f"{first['ctx']['error']}{more}"
    if first["type"] == "missing":
        return f"{key}: must be given{more}"
    return f"{key}: {given!r} was given: {first['msg'].lower()}{more}"


def _allowed_keys(path: list[str]) -> str:
    import difflib

    model: Any = Config
    for name in path[:-1]:
        model = model.model_fields[name].annotation
    names = list(model.model_fields)
    close = difflib.get_close_matches(path[-1], names, n=1)
    return f"did you mean {close[0]!r}?" if close else f"allowed here: {', '.join(names)}"
