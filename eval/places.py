"""Where a query about one schema stands between two words, and what may follow there.

Reads words and signs one by one, as `eval/automaton.py` finds them: after FROM a table is expected, after `t1.` a
column of its table; a subquery sees the tables of those around it. No full grammar of SQL: it lets pass what only a
parser could refuse. Writes nothing.
"""

from typing import NamedTuple

from data.schema import Schema
from eval import vocabulary
from eval.vocabulary import Place, SchemaNames, Words, is_plain

SYMBOLS = frozenset("= == < <= <> << > >= >> ! != | || & + - * / %".split())
SIGNS = frozenset("+-~")
# What kind of bracket follows these words; that of a function follows others.
BRACKETS = {"cast": "cast", "over": "window", "filter": "filter", "exists": "", "using": ""}
# After these a query, or what is in a bracket, may end.
ENDS = frozenset({"operator", "joined", "after_table", "frame"})
# Kept at once, of which it is known what may follow.
MOST_CONTEXTS = 10_000


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

    @property
    def is_whole(self) -> bool:
        """Whether nothing is open, and nothing has to follow."""
        only = self.frames[0]
        return len(self.frames) == 1 and self.place in ENDS and only.clause != "with"

    def after_value(self) -> "Context":
        """After a number or a text."""
        return self._replace(place="frame" if self.place == "frame" else "operator", also="", last="")


class Places:
    """Of one schema."""

    def __init__(self, schema: Schema) -> None:
        self._names = SchemaNames.of(schema)
        # Few sets of words serve many contexts.
        self._words: dict[frozenset[str], Words] = {}
        self._expected: dict[tuple[object, ...], Words] = {}

    def after_word(self, context: Context, word: str) -> Context:
        """After a whole word that was expected."""
        following = self._keywords(context).get(word)
        if following is None:
            return self.after_name(context, word)
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

    def after_name(self, context: Context, word: str) -> Context:
        """After a name that was expected, in quotes or not."""
        if context.place == "table":
            is_table = word in self._names.tables and word not in context.aliases
            bound = _with_source(context, word, word if is_table else None)
            return bound._replace(place="after_table", also="", last=word)
        if context.place == "column":
            return context._replace(place="operator", also="", last=word)
        is_column = word in self._columns(context)
        also = "(" * (word in vocabulary.functions()) + "." * (word in self._qualifiers(context))
        return context._replace(place="operator" if is_column else "nothing", also=also, last=word)

    def named(self, context: Context, name: str) -> Context:
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

    def expected(self, context: Context, quoted: bool = False) -> Words:
        """The words that may come next, or the names that may be in quotes."""
        place, last = context.place, context.last
        key = (place, context.frames, context.aliases, last if place == "column" else last == "(", quoted)
        if key not in self._expected:
            names = self._place_names(context)
            if not quoted:
                own = vocabulary.functions() if place == "operand" else frozenset[str]()
                names = own.union(filter(is_plain, names), self._keywords(context))
            if len(self._expected) >= MOST_CONTEXTS:
                self._expected.clear()
            if names not in self._words:
                self._words[names] = Words(names)
            self._expected[key] = self._words[names]
        return self._expected[key]

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
        if place == "after_table":
            return {**vocabulary.CLAUSES["from"], "as": "alias"}
        if place == "joined":
            if top.clause == "with":
                return {"as": "alias"} if context.last != ")" else vocabulary.CLAUSES["with"]
            return {word: to for word, to in vocabulary.CLAUSES.get(top.clause, {}).items() if word != "as"}
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


def after_sign(context: Context, character: str, adjacent: bool) -> Context | None:
    """After a bracket, comma, dot or operator."""
    place, last, top = context.place, context.last, context.frames[-1]
    if character == "(":
        return _opened(context)
    if character == ")":
        empty = last == "(" and top.kind in ("call", "window")
        return _closed(context) if len(context.frames) > 1 and (place in ENDS or empty) else None
    if character == ";":
        return context if context.is_whole else None
    if character == ".":
        return context._replace(place="column", also="")
    if character == ",":
        if top.clause == "with" and last != ")":  # the query of the name before is missing
            return None
        following = {"from": "table", "with": "alias"}.get(top.clause, "alias" if top.kind == "names" else "operand")
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


def _opened(context: Context) -> Context | None:
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


def _closed(context: Context) -> Context:
    *outer, inner = context.frames
    closed = context._replace(frames=tuple(outer), place="operator", also="", last=")")
    if inner.kind == "source":
        return _with_source(closed, "", None)._replace(place="after_table")
    return closed._replace(place="joined") if outer[-1].clause == "with" else closed


def _is_open(frame: Frame) -> bool:
    """Whether names may be used here of tables that are not known yet, or no more."""
    return frame.clause == "select" or (frame.compound and frame.clause in ("order", "limit"))


def _counts_all(frame: Frame) -> bool:
    return frame.clause == "select" or frame.kind == "call"


def _with_source(context: Context, name: str, table: str | None) -> Context:
    *outer, top = context.frames
    return context._replace(frames=(*outer, top._replace(sources=(*top.sources, (name, table)))))
