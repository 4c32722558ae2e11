"""What models wrote, kept in the cache by prompt: the same model, prompt and way of decoding write the same.

One file for each model and way of decoding, a line an answer.
"""

import hashlib
import json
from dataclasses import asdict

from pipeline.generation import Generation
from pipeline.stage import cache_folder

VERSION = 1  # to be raised where the generation loop or constraints come to write something else
FOLDER = "answers"


class Answers:
    """The answers of one model, as far as they are known."""

    def __init__(self, **made_of: object) -> None:
        """`made_of`: all that an answer depends on beside its prompt."""
        digest = hashlib.sha256(json.dumps([VERSION, made_of], sort_keys=True).encode()).hexdigest()[:32]
        self._path = cache_folder() / FOLDER / f"{digest}.jsonl"
        self._known: dict[str, Generation] = {}
        self._starts_line = True
        if self._path.is_file():
            text = self._path.read_text(encoding="utf-8", errors="replace")
            self._starts_line = text.endswith("\n") or not text
            self._known = dict(filter(None, map(_answer, text.split("\n"))))

    def get(self, prompt: str) -> Generation | None:
        return self._known.get(prompt)

    def keep(self, prompt: str, generation: Generation) -> None:
        self._known[prompt] = generation
        line = json.dumps({"prompt": prompt, **asdict(generation)}, ensure_ascii=False) + "\n"
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("a", encoding="utf-8") as file:  # one write, which other runs do not come between
            file.write(line if self._starts_line else f"\n{line}")
        self._starts_line = True


def _answer(line: str) -> tuple[str, Generation] | None:
    """None for a line that a kill has cut."""
    try:
        values = json.loads(line)
        return values.pop("prompt"), Generation(**values)
    except (ValueError, TypeError, KeyError, AttributeError):
        return None
