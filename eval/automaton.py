"""Which byte may come next in a query about one schema: an automaton over what is written so far.

Reads text byte by byte, each a character of latin-1 in ASCII lower case. It knows where names stand (after FROM a
table, after `t1.` a column of its table) and which tables a subquery sees; it is no full grammar of SQL, and lets
pass what only a parser could refuse. Comments are not allowed. Writes nothing.
"""

import re
from collections.abc import Collection
from typing import NamedTuple

from data.schema import Schema
from eval import vocabulary
from eval.vocabulary import Place, SchemaNames, Words, fold, is_plain

WORD = frozenset("abcdefghijklmnopqrstuvwxyz0123456789_")
# What kind of bracket follows these words; that of a function follows others.
BRACKETS = {"cast": "cast", "over": "window", "filter": "filter", "exists": "", "using": ""}
DIGITS = frozenset("0123456789")
BLANKS = frozenset(" \t\n\r\f")
CLOSING = {"'": "'", '"': '"', "`": "`", "[": "]"}
SYMBOLS = frozenset("= == < <= <> << > >= >> ! != | || & + - * / %".split())
SIGNS = frozenset("+-~")
# What a name without AS after a table may look like; longer, a misspelt keyword would be one.
BARE_ALIAS = re.compile(r"[a-z]{1,3}[0-9]{0,2}")
# After these a query, or what is in a bracket, may end.
ENDS = frozenset({"operator", "joined", "after_table", "frame"})
NUMBER = re.compile(r"[0-9]*(\.[0-9]*)?(e[+-]?[0-9]*)?")
WHOLE_NUMBER = re.compile(r"([0-9]+(\.[0-9]*)?|\.[0-9]+)(e[+-]?[0-9]+)?")


class Frame(NamedTuple):
    """What is open: the query itself, or a bracket in it. `sources`: names of FROM, with their table (None: unknown)."""

    kind: str = ""
    clause: str = ""
    compound: bool = False
    sources: tuple[tuple[str, str | None], ...] = ()


class Context(NamedTuple):
    """What stands before the next word or sign.

    `place` says what is expected, `also` which of "(" and "." may come beside it; `last` is the word or sign before,
    and `aliases` what was named by AS and WITH.
    """

    frames: tuple[Frame, ...] = (Frame(),)
    aliases: frozenset[str] = frozenset()
    place: Place = "start"
    also: str = ""
    last: str = ""


class State(NamedTuple):
    """A context, and what is open after it.

    `mode` is "" between words, "word", "alias" (any word), "number", an opening quote, or "done"; `content` is what was
    read of it, None in quotes that may hold anything. `words` are those that `content` has to become one of.
    """

    mode: str
    content: str | None
    context: Context
    words: Words | None = None


class Automaton:
    """Of one schema. States are values: equal ones go on alike."""

    start = State("", "", Context())

    def __init__(self, schema: Schema) -> None:
        self._names = SchemaNames.of(schema)
        self._words: dict[tuple[object, ...], Words] = {}

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

    def text(self, text: str) -> tuple[State | None, int]:
        """The state after a text, and how many of its bytes were read; None where the next may not come."""
        state = self.start
        for place, character in enumerate(fold(text)):
            after = self.step(state, character)
            if after is None:
                return None, place
            state = after
        return state, len(fold(text))

    def may_end(self, state: State) -> bool:
        """Whether the text may end here: nothing is open, and nothing has to follow."""
        context = self._finished(state)
        return state.mode == "done" or (context is not None and self._is_whole(context))

    def free(self, state: State) -> str | None:
        """The quote that alone ends what is written now, "w" in a word of any letters; None where names are read."""
        if state.mode == "alias" or (state.mode == "" and state.context.place == "alias"):
            return "w"
        return state.mode if state.mode in CLOSING and state.content is None else None

    def _is_whole(self, context: Context) -> bool:
        only = context.frames[0]
        return len(context.frames) == 1 and context.place in ENDS and only.clause != "with"

    def _begin(self, state: State, character: str) -> State | None:
        """After a character that begins something, `state` being between words."""
        context, before = state.context, state.content
        place = context.place
        if context.last == "!" and character != "=" and character not in BLANKS:
            return None
        if character in BLANKS:
            if character == before == "\n":  # a blank line ends a query, as for those who read it
                return State("done", "", context) if self._is_whole(context) else None
            return State("", "\n" if character == "\n" else " ", context)
        if character in CLOSING:
            return self._open_quote(context, before, character)
        if character in DIGITS or (character == "." and "." not in context.also):
            return State("number", character, context) if place in ("operand", "frame") else None
        if character in WORD or character >= "\x80":
            if place == "alias":
                return State("alias", character, context) if character in WORD else None
            words = self._expected(context)
            bare = place == "after_table" and BARE_ALIAS.fullmatch(character)
            return State("word", character, context, words) if bare or character in words.prefixes else None
        after = self._sign(context, character, adjacent=before == "")
        if after and character == ";":
            return State("done", "", after)
        return State("", "", after) if after else None

    def _sign(self, context: Context, character: str, adjacent: bool) -> Context | None:
        """After a bracket, comma, dot or operator."""
        place, last, top = context.place, context.last, context.frames[-1]
        if character == "(":
            return self._opened(context)
        if character == ")":
            empty = last == "(" and top.kind in ("call", "window")
            return self._closed(context) if len(context.frames) > 1 and (place in ENDS or empty) else None
        if character == ";":
            return context if self._is_whole(context) else None
        if character == ".":
            return context._replace(place="column", also="")
        if character == ",":
            following = {"from": "table", "with": "alias"}.get(
                top.clause, "alias" if top.kind == "names" else "operand"
            )
            return context._replace(place=following, also="", last=",") if place in ENDS else None
        if character == "*" and (
            place == "column"
            or (place == "operand" and last in ("(", ",", "select", "distinct", "all") and _counts_all(top))
        ):
            return context._replace(place="operator", also="", last="*")
        if place == "operator" and character in SYMBOLS:
            return context._replace(place="operand", also="", last=character)
        if place == "operand" and last + character in SYMBOLS:
            return context._replace(last=last + character)
        if place == "operand" and character in SIGNS and not (adjacent and last == character == "-"):
            return context._replace(last=character)
        return None

    def _opened(self, context: Context) -> Context | None:
        place, last = context.place, context.last
        top = context.frames[-1]
        if "(" in context.also:
            kind = "names" if place == "joined" else BRACKETS.get(last, "call")
            inner = Frame(kind, kind)
        elif place == "operand":
            inner = Frame()
        elif place == "table":
            inner = Frame("source", "from")
        elif place == "alias" and top.clause == "with" and last == "as":
            inner = Frame()
        else:
            return None
        following = {"source": "table", "names": "alias"}.get(inner.kind, "operand")
        return Context((*context.frames, inner), context.aliases, following, "", "(")

    def _closed(self, context: Context) -> Context:
        *outer, inner = context.frames
        closed = context._replace(frames=tuple(outer), place="operator", also="", last=")")
        if inner.kind == "source":
            return _with_source(closed, "", None)._replace(place="after_table")
        return closed._replace(place="joined") if outer[-1].clause == "with" else closed

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
        return State(character, "", context, self._expected(context, quoted=True))

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
                return State("", " ", self._named(context, ""))
            return State("", mode, context._replace(place="operator", also="", last=""))
        if not words or content not in words.whole:
            return None
        after = self._after_name(context, content)
        return State("", " ", after) if after else None

    def _finished(self, state: State) -> Context | None:
        """The context after what is being written, if that is whole."""
        mode, content, context, words = state
        if mode == "":
            return context
        assert content is not None or mode in CLOSING
        if mode == "number" and WHOLE_NUMBER.fullmatch(content or ""):
            return context._replace(place="frame" if context.place == "frame" else "operator", also="", last="0")
        if mode == "alias" and content and is_plain(content):
            return self._named(context, content)
        if mode == "word" and content and words:
            if content in words.whole:
                return self._after_word(context, content)
            if context.place == "after_table" and is_plain(content):
                return self._named(context, content)
        return None

    def _after_word(self, context: Context, word: str) -> Context | None:
        following = self._keywords(context).get(word)
        if following is None:
            return self._after_name(context, word)
        *outer, top = context.frames
        if word == "select":
            top = top._replace(clause="select", sources=())
        elif word in vocabulary.COMPOUND:
            top = top._replace(compound=True)
        elif word == "order" and top.kind != "window":
            top = top._replace(clause="order")
        elif word in ("where", "group", "having"):
            top = top._replace(clause="where")
        elif word in ("from", "limit", "with", "values") and top.kind != "window":
            top = top._replace(clause=word)
        also = "(" if following == "(" or context.place == "type" else ""
        return Context((*outer, top), context.aliases, following.replace("(", "nothing"), also, word)

    def _after_name(self, context: Context, word: str) -> Context | None:
        if context.place == "table":
            bound = _with_source(
                context, word, word if word in self._names.tables and word not in context.aliases else None
            )
            return bound._replace(place="after_table", also="", last=word)
        if context.place == "column":
            return context._replace(place="operator", also="", last=word)
        is_column = word in self._columns(context)
        also = "(" * (word in vocabulary.functions()) + "." * (word in self._qualifiers(context))
        return context._replace(place="operator" if is_column else "nothing", also=also, last=word)

    def _named(self, context: Context, name: str) -> Context:
        """After an alias."""
        *outer, top = context.frames
        if top.clause == "with" and name == "recursive" and context.last == "with":
            return context._replace(last=name)
        if top.clause == "from":
            *earlier, (_, table) = top.sources
            top = top._replace(sources=(*earlier, (name, table)))
            return Context((*outer, top), context.aliases, "joined", "", name)
        aliases = context.aliases | {name} if name else context.aliases
        also = "(" if top.clause == "with" and context.last != "as" else ""
        return Context(context.frames, aliases, "joined", also, name)

    def _expected(self, context: Context, quoted: bool = False) -> Words:
        """The words that may come next, or the names that may be in quotes."""
        key = (
            context.place,
            context.frames,
            context.aliases,
            context.last if context.place in ("column", "operand", "table") else "",
            quoted,
        )
        if key not in self._words:
            names: Collection[str] = self._place_names(context)
            if not quoted:
                plain = {name for name in names if is_plain(name)}
                names = plain.union(
                    self._keywords(context), vocabulary.functions() if context.place == "operand" else ()
                )
            self._words[key] = Words(names)
        return self._words[key]

    def _place_names(self, context: Context) -> frozenset[str]:
        if context.place == "operand":
            return self._columns(context) | self._qualifiers(context)
        if context.place == "table":
            return context.aliases.union(self._names.tables)
        return self._qualified(context) if context.place == "column" else frozenset()

    def _keywords(self, context: Context) -> dict[str, Place]:
        place, top = context.place, context.frames[-1]
        if place in ("operand", "table"):
            first = vocabulary.OPENINGS.get(top.kind, {}) if context.last == "(" else {}
            return first if place == "table" else {**vocabulary.OPERANDS, **first}
        if place == "operator":
            return {**vocabulary.OPERATORS, **vocabulary.CLAUSES.get(top.clause, {})}
        if place in ("joined", "after_table"):
            named = place == "joined" and top.clause != "with"
            return {
                word: to for word, to in vocabulary.CLAUSES.get(top.clause, {}).items() if not (named and word == "as")
            }
        return vocabulary.PLACES.get(place, {})

    def _columns(self, context: Context) -> frozenset[str]:
        """What may be named without a table: columns of the tables in sight, and what AS named."""
        seen: set[str] = set()
        for frame in context.frames:
            if _is_open(frame) or any(table is None for _, table in frame.sources):
                return self._names.columns | context.aliases
            seen |= {table for _, table in frame.sources if table is not None}
        return context.aliases.union(*(self._names.tables[table] for table in seen))

    def _qualifiers(self, context: Context) -> frozenset[str]:
        """What a column may be qualified by: names of FROM; any as long as a FROM is still to come."""
        bound = frozenset(name for frame in context.frames for name, _ in frame.sources)
        if "" in bound or any(_is_open(frame) for frame in context.frames):
            return bound.union(self._names.tables, context.aliases, vocabulary.SHORT_ALIASES) - {""}
        return bound

    def _qualified(self, context: Context) -> frozenset[str]:
        """The columns of what stands before the dot."""
        qualifier, anything = context.last, self._names.columns | context.aliases
        for frame in reversed(context.frames):
            for name, table in frame.sources:
                if name == qualifier:
                    return self._names.tables[table] if table is not None else anything
            if _is_open(frame):
                break
        return self._names.tables.get(qualifier, anything) if qualifier not in context.aliases else anything


def _is_open(frame: Frame) -> bool:
    """Whether names may be used here of tables that are not known yet, or no more."""
    return frame.clause == "select" or (frame.compound and frame.clause in ("order", "limit"))


def _counts_all(frame: Frame) -> bool:
    return frame.clause == "select" or frame.kind == "call"


def _with_source(context: Context, name: str, table: str | None) -> Context:
    *outer, top = context.frames
    return context._replace(frames=(*outer, top._replace(sources=(*top.sources, (name, table)))))
