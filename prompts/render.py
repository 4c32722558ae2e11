"""A question, a context and examples become the text of a prompt.

Reads the Jinja templates beside it, or one that an exported model carries. Values are put in
literally, once: a schema may hold `{`, `%` or Jinja syntax.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from typing import Literal

import jinja2
from jinja2.sandbox import ImmutableSandboxedEnvironment

from data.errors import UserError
from data.schema import Schema
from prompts.describe import ForeignKeys, create_tables, describe

Preset = Literal["seed", "corrected", "ddl"]
Order = Literal["question-first", "schema-first"]

# The words of `seed` are fixed, and DDL before the question is what `ddl` is.
ORDERS: dict[str, tuple[Order, ...]] = {
    "seed": ("question-first",),
    "corrected": ("question-first", "schema-first"),
    "ddl": ("schema-first",),
}


@dataclass(frozen=True)
class Shot:
    """One worked example inside a prompt."""

    question: str
    context: str
    query: str


@dataclass(frozen=True)
class PromptStyle:
    """All that decides the text of a prompt; `template` is Jinja source."""

    preset: Preset
    order: Order
    foreign_keys: ForeignKeys
    template: str

    def context(self, schema: Schema) -> str:
        """The schema as this style shows it."""
        show = create_tables if self.preset == "ddl" else describe
        return show(schema, self.foreign_keys)

    def text(self, question: str, context: str, shots: Sequence[Shot] = ()) -> str:
        """The prompt, without a newline at its end. Raises UserError for a template that cannot be filled in."""
        try:
            return self._compiled.render(
                question=question, context=context, shots=shots, schema_first=self.order == "schema-first"
            )
        except (jinja2.TemplateError, TypeError, ArithmeticError) as error:
            raise UserError(f"prompt template: cannot be filled in: {error}") from error

    @cached_property
    def _compiled(self) -> jinja2.Template:
        # Sandboxed, since the template of an exported model is somebody else's file.
        environment = ImmutableSandboxedEnvironment(
            undefined=jinja2.StrictUndefined, trim_blocks=True, autoescape=False
        )
        try:
            return environment.from_string(self.template)
        except jinja2.TemplateSyntaxError as error:
            raise UserError(f"prompt template, line {error.lineno}: {error.message}") from error


def preset_style(
    preset: Preset, order: Order | None = None, foreign_keys: ForeignKeys = "both", shots: bool = False
) -> PromptStyle:
    """A shipped preset in its zero-shot or n-shot form. Raises UserError for an order it does not have."""
    allowed = ORDERS[preset]
    if order is not None and order not in allowed:
        raise UserError(f"prompt.order: the preset {preset!r} has only {' and '.join(allowed)}")
    name = f"{preset}-shots.jinja" if shots else f"{preset}.jinja"
    source = (files("prompts") / "templates" / name).read_text(encoding="utf-8")
    return PromptStyle(preset, order or allowed[0], foreign_keys, source)
