"""Questions said differently by a local instruct model, and a strict look at what it wrote.

Reads a model folder or a base's name. A rewording counts only if it still holds every value and number of
the question and what turns its meaning: negation, direction, "different".
"""

import re
from collections.abc import Sequence

from data.errors import UserError
from pipeline.base import fetch_base
from pipeline.console import progress
from pipeline.settings import ModelSettings

MAX_NEW_TOKENS = 96
BATCH_SIZE = 16
SHORTEST, LONGEST = 0.4, 2.0  # of the question's length
KEPT_WORDS = 0.5  # of the words that say what is asked about
SHOTS = (
    ("List the names of singers whose age is greater than 30.", "Which singers are over 30? Give their names."),
    ("What is the average price of all products?", "How much does a product cost on average? Give the average price."),
    ("For each city, show the number of hotels.", "How many hotels are there in each city?"),
    ("Find the titles of films that have no reviews.", "Which films do not have any reviews? List the titles."),
)
PROMPT = "Say the question in other words. Keep its meaning, and every name, number and quoted text exactly. Answer with one line.\n\n"
# Words that turn a question's meaning: where it has one of a group, so must a rewording, and the other way round.
GROUPS = (
    {"no", "not", "without", "except", "but", "never", "none", "anything", "excluding", "neither", "lack", "cannot"},
    {"true"},
    {"false"},
    {"different", "distinct", "unique", "once"},
    {"ascending", "alphabetical", "earliest", "lowest", "smallest", "fewest", "least", "minimum", "cheapest", "low"},
    {"descending", "latest", "highest", "largest", "greatest", "most", "maximum", "recent", "high"},
    {"above", "over", "more", "greater", "higher", "after", "later", "older"},
    {"below", "under", "less", "lower", "before", "earlier", "younger", "fewer", "cheaper"},
    {"or", "either"},
    {"average", "mean"},
    {"total", "sum", "number", "many", "count"},
)
# How a request begins that does not end in a question mark; what else does is taken for an answer.
REQUESTS = {
    "among", "compute", "count", "determine", "display", "find", "for", "get", "give", "i", "identify", "list", "name",
    "output", "please", "provide", "report", "retrieve", "return", "select", "show", "state", "tell",
}  # fmt: skip
# What questions are made of, whatever they are about.
FILLERS = set().union(*GROUPS) | {
    "among", "also", "and", "are", "called", "each", "find", "for", "from", "give", "has", "have", "how", "list", "named",
    "please", "return", "show", "sorted", "tell", "than", "that", "the", "their", "there", "these", "those", "what",
    "which", "whose", "who", "with",
}  # fmt: skip


def reword_all(questions: Sequence[tuple[str, Sequence[str]]], model: str) -> list[str | None]:
    """Each question, given with the values that it must keep, in other words; None where none will do."""
    from pipeline.generation import generate
    from pipeline.model import encode_prompts, load_model, load_tokenizer, pick_dtype, wrap_prompt

    try:
        folder = fetch_base(ModelSettings(base=model))
    except UserError as error:
        raise UserError(f"--reword {model}: {error}") from error
    tokenizer = load_tokenizer(folder)
    loaded = load_model(folder, dtype=pick_dtype("auto"))
    prompts = encode_prompts(tokenizer, [wrap_prompt(tokenizer, prompt(question)) for question, _ in questions])
    with progress("re-wording", len(questions), "questions") as advance:
        written = generate(
            loaded,
            tokenizer,
            prompts,
            max_new_tokens=MAX_NEW_TOKENS,
            batch_size=BATCH_SIZE,
            on_done=lambda *_: advance(),
        )
    texts = [clean(one.text) if one.ended else "" for one in written]
    return [
        text if holds(question, text, needed) else None
        for (question, needed), text in zip(questions, texts, strict=True)
    ]


def prompt(question: str) -> str:
    shots = "".join(f"Question: {asked}\nIn other words: {said}\n\n" for asked, said in SHOTS)
    return f"{PROMPT}{shots}Question: {question}\nIn other words:"


def clean(text: str) -> str:
    """Without the label and the quotes that models put around an answer."""
    text = text.strip().removeprefix("In other words:").strip()
    whole = len(text) > 1 and text[0] == text[-1] == '"' and text.count('"') == 2
    return text[1:-1].strip() if whole else text


def holds(question: str, text: str, needed: Sequence[str]) -> bool:
    """Whether a rewording says what the question does, as far as its words tell."""
    if not text.isprintable() or not text.endswith(("?", ".")) or not text[:1].isalpha():
        return False
    if not SHORTEST * len(question) <= len(text) <= LONGEST * len(question):
        return False
    if any(value not in text for value in needed) or _numbers(question) != _numbers(text):
        return False
    asked, said = _words(question, needed), _words(text, needed)
    is_request = text.endswith("?") or "? " in text or said[:1] in [[verb] for verb in REQUESTS]
    # A name that the question does not have would be another value, or an answer.
    if not is_request or _named(text) - set(re.findall(r"\w+", question)):
        return False
    if said == asked or any(bool(set(asked) & group) != bool(set(said) & group) for group in GROUPS):
        return False
    about = {word[:4] for word in asked if word not in FILLERS and len(word) > 2}
    return len(about & {word[:4] for word in said}) >= KEPT_WORDS * len(about)


def _named(text: str) -> set[str]:
    """Capitalized words that do not begin a sentence."""
    return set(re.findall(r"(?<![.?!:]) ([A-Z]\w+)", text))


def _numbers(text: str) -> set[str]:
    return set(re.findall(r"\d+(?:\.\d+)?", text))


def _words(text: str, needed: Sequence[str]) -> list[str]:
    """In lower case, without the values, which are not what is asked."""
    for value in sorted(needed, key=len, reverse=True):
        text = text.replace(value, " ") if not value.isalpha() or len(value) > 2 else text
    return re.findall(r"[^\W\d_]+", text.lower())
