"""Which byte may come next in a query about one schema: an automaton over what is written so far.

Reads text byte by byte, each a character of latin-1 in ASCII lower case, and takes it apart into words, numbers,
quoted texts and signs; what may follow them is told by `eval/places.py`. There are no comments. Writes nothing.
"""

import re
from typing import NamedTuple

from data.schema import Schema
from eval.places import Context, Places, after_sign
from eval.vocabulary import Words, is_plain

WORD = frozenset("abcdefghijklmnopqrstuvwxyz0123456789_")
DIGITS = frozenset("0123456789")
BLANKS = frozenset(" \t\n\r\f")
CLOSING = {"'": "'", '"': '"', "`": "`", "[": "]"}
# What a name without AS after a table may look like; longer, a misspelt keyword would be one.
BARE_ALIAS = re.compile(r"[a-z]{1,3}[0-9]{0,2}")
NUMBER = re.compile(r"[0-9]*(\.[0-9]*)?(e[+-]?[0-9]*)?")
WHOLE_NUMBER = re.compile(r"([0-9]+(\.[0-9]*)?|\.[0-9]+)(e[+-]?[0-9]+)?")


class State(NamedTuple):
    """A context, and what is open after it.

    `mode` is "" between words, "word", "alias" (any word), "number", an opening quote, or "done"; `content` is what was
    read of it, None in quotes that may hold anything. `words` are those that `content` has to become one of.
    """

    mode: str
    content: str | None
    context: Context
    words: Words | None = None


START = State("", "", Context())


class Automaton:
    """Of one schema. States are values: equal ones go on alike."""

    def __init__(self, schema: Schema) -> None:
        self._places = Places(schema)

    def step(self, state: State, character: str) -> State | None:
        """The state after one more character; None where it may not come."""
        mode, content, context, words = state
        if mode == "word":
            if character in WORD or character >= "\x80":
                assert words is not None and content is not None
                longer = content + character
                if longer in words.prefixes or (context.place == "after_table" and BARE_ALIAS.fullmatch(longer)):
                    return State("word", longer, context, words)
                return None
        elif mode == "":
            return self._begin(state, character)
        elif mode in CLOSING:
            return self._quoted(state, character)
        elif mode == "alias":
            if character in WORD:
                return State("alias", f"{content}{character}", context)
        elif mode == "number":
            if character in WORD or character == "." or (character in "+-" and f"{content}".endswith("e")):
                longer = f"{content}{character}"
                return State("number", longer, context) if NUMBER.fullmatch(longer) else None
        else:
            return None
        after = self._finished(state)
        return self._begin(State("", "", after), character) if after else None

    def read(self, text: str, state: State = START) -> tuple[State | None, int]:
        """The state after more text, as `fold` has it, and how much of it was read; None where what is next may not come."""
        for place, character in enumerate(text):
            after = self.step(state, character)
            if after is None:
                return None, place
            state = after
        return state, len(text)

    def may_end(self, state: State) -> bool:
        """Whether the text may end here: nothing is open, and nothing has to follow."""
        context = self._finished(state)
        return state.mode == "done" or (context is not None and context.is_whole)

    def free(self, state: State) -> str | None:
        """The quote that alone ends what is written now, "w" in a word of any letters; None where not all may come."""
        if state.mode == "alias":
            return "w"
        return CLOSING.get(state.mode) if state.content is None else None

    def _begin(self, state: State, character: str) -> State | None:
        """After a character that begins something, `state` being between words."""
        context, before = state.context, state.content
        place = context.place
        if context.last == "!" and character != "=" and character not in BLANKS:
            return None
        if character in BLANKS:
            if character == before == "\n":  # a blank line ends a query, as for those who read it
                return State("done", "", context) if context.is_whole else None
            return State("", "\n" if character == "\n" else " ", context)
        if character in CLOSING:
            return self._open_quote(context, before, character)
        if character in DIGITS or (character == "." and "." not in context.also):
            return State("number", character, context) if place in ("operand", "frame") else None
        if character in WORD or character >= "\x80":
            if place == "alias":
                return State("alias", character, context) if character in WORD else None
            words = self._places.expected(context)
            bare = place == "after_table" and BARE_ALIAS.fullmatch(character)
            return State("word", character, context, words) if bare or character in words.prefixes else None
        after = after_sign(context, character, adjacent=before == "")
        if after and character == ";":
            return State("done", "", after)
        return State("", "", after) if after else None

    def _open_quote(self, context: Context, before: str | None, character: str) -> State | None:
        place = context.place
        if before == character and character in "'\"":  # a doubled quote stands for itself
            return State(character, None, context._replace(place="operand", also=""))
        if character == "'":
            return State(character, None, context) if place in ("operand", "alias") else None
        if place == "alias":
            return State(character, None, context)
        if place not in ("operand", "table", "column"):
            return None
        return State(character, "", context, self._places.expected(context, quoted=True))

    def _quoted(self, state: State, character: str) -> State | None:
        mode, content, context, words = state
        if character != CLOSING[mode]:
            if content is None:
                return state
            assert words is not None
            if content + character in words.prefixes:
                return State(mode, content + character, context, words)
            # SQLite takes what is in double quotes and no name for a text, as Spider's golds do.
            return State(mode, None, context) if mode == '"' and context.place == "operand" else None
        if content is None or (mode == '"' and context.place == "operand" and words and content not in words.whole):
            if context.place == "alias":
                return State("", " ", self._places.named(context, ""))
            return State("", mode, context.after_value())
        if not words or content not in words.whole:
            return None
        return State("", " ", self._places.after_name(context, content))

    def _finished(self, state: State) -> Context | None:
        """The context after what is being written, if that is whole."""
        mode, content, context, words = state
        if mode == "":
            return context
        if mode == "number" and WHOLE_NUMBER.fullmatch(content or ""):
            return context.after_value()
        if mode == "alias" and content and is_plain(content):
            return self._places.named(context, content)
        if mode == "word" and content and words:
            if content in words.whole:
                return self._places.after_word(context, content)
            if context.place == "after_table" and is_plain(content):
                return self._places.named(context, content)
        return None
