"""Ollama's Modelfile for an exported model: which file, which chat template, which settings.

Reads a tokenizer's chat template by having it write short dialogues, and says the same in the template language of
Ollama, which is Go's. Writes nothing.
"""

import json
from dataclasses import dataclass
from typing import Any

from pipeline.config import Config

ROOM = 64  # tokens, for what a chat template adds to a prompt
LICENSES = {
    "apache-2.0": "Apache License 2.0, https://www.apache.org/licenses/LICENSE-2.0",
    "mit": "MIT License, https://opensource.org/license/mit",
    "cc-by-sa-4.0": "CC BY-SA 4.0, https://creativecommons.org/licenses/by-sa/4.0/",
}


@dataclass(frozen=True)
class Dialogue:
    """What a chat template writes around messages: before the first question, after each, before later ones.

    `answer`: before an answer. `system`: before a system message, and between it and the first question. None: the
    template does not have that.
    """

    first: str
    asked: str
    answer: str
    later: str | None
    system: tuple[str, str] | None

    def text(self, messages: list[dict[str, str]]) -> str:
        """Messages as `template` has Ollama write them, in Python."""
        written = ""
        for place, message in enumerate(messages):
            role, content = message["role"], message["content"]
            if role == "system" and self.system:
                written += self.system[0] + content
            elif role == "user":
                after_system = place == 1 and messages[0]["role"] == "system" and self.system
                before = self.first if place == 0 else self.system[1] if after_system and self.system else self.later
                written += f"{before or ''}{content}{self.asked}"
            elif role == "assistant":
                written += self.answer + content
        return written

    @property
    def template(self) -> str:
        """The same in Go's template language."""
        if self.later is None:
            return f"{_go(self.first)}{{{{ .Prompt }}}}{_go(self.asked)}"
        after_system = '{{ else if and (eq $i 1) (eq (index $.Messages 0).Role "system") }}'
        lines = [
            "{{- range $i, $_ := .Messages }}",
            '{{- if eq .Role "user" }}',
            f"{{{{- if eq $i 0 }}}}{_go(self.first)}"
            + (after_system + _go(self.system[1]) if self.system and self.system[1] != self.later else "")
            + f"{{{{ else }}}}{_go(self.later)}{{{{ end }}}}{{{{ .Content }}}}{_go(self.asked)}",
            f'{{{{- else if eq .Role "assistant" }}}}{_go(self.answer)}{{{{ .Content }}}}',
            *([f'{{{{- else if eq .Role "system" }}}}{_go(self.system[0])}{{{{ .Content }}}}'] if self.system else []),
            "{{- end }}",
            "{{- end }}",
        ]
        return "\n".join(lines)


def read_dialogue(tokenizer: Any) -> Dialogue:
    """What the tokenizer's chat template writes around messages; without one, a question ends with a line break."""
    if not tokenizer.chat_template:
        return Dialogue("", "\n", "", None, None)
    question, answer, again, system = "QUESTION-1", "ANSWER-1", "QUESTION-2", "SYSTEM-1"
    first, _, asked = _render(tokenizer, ("user", question)).partition(question)
    whole = _render(tokenizer, ("user", question), ("assistant", answer), ("user", again))
    begin, end = f"{first}{question}{asked}", f"{again}{asked}"
    before_answer, found, rest = whole.removeprefix(begin).partition(answer)
    later = rest.removesuffix(end) if whole.startswith(begin) and found and rest.endswith(end) else None
    with_system = _render_or_none(tokenizer, ("system", system), ("user", question))
    around = None
    if later is not None and with_system and with_system.endswith(f"{question}{asked}") and system in with_system:
        before, _, rest = with_system.removesuffix(f"{question}{asked}").partition(system)
        around = (before, rest)
    return Dialogue(first, asked, before_answer if later is not None else "", later, around)


def modelfile(config: Config, tokenizer: Any, file: str, license: str) -> str:
    """The text of a Modelfile that answers as loraql does: greedily, to the end token."""
    needed = config.prompt.max_length + config.evaluate.max_new_tokens + ROOM
    lines = [
        f"# {config.name}, a text-to-SQL model. In this folder: ollama create {config.name} -f Modelfile",
        f"FROM ./{file}",
        f'TEMPLATE """{read_dialogue(tokenizer).template}"""',
        f"PARAMETER stop {json.dumps(tokenizer.eos_token, ensure_ascii=False)}",
        "PARAMETER temperature 0",
        "PARAMETER repeat_penalty 1",  # Ollama's own is 1.1, under which a model is not greedy
        f"PARAMETER num_ctx {1 << (needed - 1).bit_length()}",
        f"PARAMETER num_predict {config.evaluate.max_new_tokens}",
    ]
    if license != "unknown":
        lines.append(f'LICENSE """{LICENSES.get(license, license)}"""')
    return "\n".join(lines) + "\n"


def _render(tokenizer: Any, *turns: tuple[str, str]) -> str:
    messages = [{"role": role, "content": content} for role, content in turns]
    text: str = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    return text


def _render_or_none(tokenizer: Any, *turns: tuple[str, str]) -> str | None:
    """None where the chat template refuses such a dialogue."""
    from jinja2 import TemplateError

    try:
        return _render(tokenizer, *turns)
    except TemplateError:
        return None


def _go(text: str) -> str:
    """A text as a string of Go's template language, whose escapes are those of JSON."""
    return f"{{{{ {json.dumps(text, ensure_ascii=False)} }}}}" if text else ""
