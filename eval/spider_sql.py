"""The narrow SQL grammar of Spider's official evaluator.

Reads SQL text, gives a `Query`. It accepts and refuses what the official parser does, oddities included,
since exact match is defined by it: no column aliases, no INNER or LEFT JOIN, no `age=20`; what follows a
whole query is ignored. Everything else goes to `eval/semantic.py`. Source: docs/scoring.md.
"""

from typing import NamedTuple

from eval.query import (
    SET_OPERATIONS,
    STAR,
    Column,
    Condition,
    Conditions,
    Expression,
    Names,
    ParseError,
    Query,
    Table,
    Value,
)
from eval.spider_tokens import tokenize

MOST_NESTED = 60  # queries in queries, set operations among them; what is compared later is as deep
CLAUSES = {"select", "from", "where", "group", "order", "limit", *SET_OPERATIONS}
JOINS = {"join", "on", "as"}
OPERATORS = {"not", "between", "=", ">", "<", ">=", "<=", "!=", "in", "like", "is", "exists"}
ARITHMETIC = {"none", "-", "+", "*", "/"}
AGGREGATES = {"none", "max", "min", "count", "sum", "avg"}
ENDS = {")", ";"}


class Parsed(NamedTuple):
    """The query that a text begins with; `whole` where nothing was passed over, so that it says what it means."""

    query: Query
    whole: bool


def parse(sql: str, names: Names) -> Parsed:
    """Raises ParseError for what the grammar does not hold."""
    tokens = tokenize(sql)
    parser = _Parser(tokens, _aliases(tokens, names), names)
    return Parsed(parser.query(), parser.whole)


def _aliases(tokens: list[str], names: Names) -> dict[str, str]:
    """What each name stands for: one map for the whole text, whatever the nesting."""
    if tokens and tokens[-1] == "as":
        raise ParseError("nothing follows AS")
    aliases = {tokens[place + 1]: tokens[place - 1] for place, token in enumerate(tokens) if token == "as"}
    if taken := aliases.keys() & names.columns.keys():
        raise ParseError(f"the alias {min(taken)} is the name of a table")
    return aliases | {table: table for table in names.columns}


class _Parser:
    """Reads tokens from left to right; one method a part of the grammar."""

    def __init__(self, tokens: list[str], aliases: dict[str, str], names: Names) -> None:
        self._tokens, self._aliases, self._names = tokens, aliases, names
        self._place = self._depth = 0
        self._passed_over = False

    @property
    def whole(self) -> bool:
        """Whether every token so far was read as what it stands for."""
        return not self._passed_over and not self._more

    def query(self) -> Query:
        """One query with all that is in it and after it."""
        self._depth += 1
        if self._depth > MOST_NESTED:
            raise ParseError("nested too deeply")
        try:
            return self._query()
        finally:
            self._depth -= 1

    def _query(self) -> Query:
        enclosed = self._skip("(")
        start = self._place
        tables, on, sources = self._from()
        end, self._place = self._place, start
        distinct, select = self._select(sources)
        self._note_passed_over(self._token != "from")
        self._place = end
        where = self._conditions(sources) if self._skip("where") else ()
        group = self._group(sources)
        having = self._conditions(sources) if self._skip("having") else ()
        direction, order = self._order(sources)
        limit = self._limit()
        self._skip_semicolons()
        if enclosed:
            self._expect(")")
        self._skip_semicolons()
        operation, branch = None, None
        if self._token in SET_OPERATIONS:
            operation = self._token
            self._place += 1
            branch = self.query()
        return Query(distinct, select, tables, on, where, group, having, direction, order, limit, operation, branch)

    @property
    def _token(self) -> str:
        """The token here; "" at the end, which fits nowhere."""
        return self._tokens[self._place] if self._place < len(self._tokens) else ""

    @property
    def _more(self) -> bool:
        return self._place < len(self._tokens)

    def _skip(self, token: str) -> bool:
        found = self._token == token
        self._place += found
        return found

    def _note_passed_over(self, it_was: bool) -> None:
        self._passed_over = self._passed_over or it_was

    def _expect(self, token: str) -> None:
        if not self._skip(token):
            raise ParseError(f"{self._token or 'the end'} where {token} was expected")

    def _skip_semicolons(self) -> None:
        while self._skip(";"):
            pass

    def _from(self) -> tuple[tuple[Table | Query, ...], Conditions, list[str]]:
        """The units of FROM, the conditions of all ON, and the tables that bare columns are looked up in."""
        try:
            self._place = self._tokens.index("from", self._place) + 1
        except ValueError as error:
            raise ParseError("no FROM") from error
        units: list[Table | Query] = []
        on: Conditions = ()
        sources: list[str] = []
        while self._more:
            enclosed = self._skip("(")
            if self._token == "select":
                units.append(self.query())
            else:
                self._note_passed_over(not self._skip("join") and bool(units))
                table = self._table()
                units.append(Table(table))
                sources.append(table)
            if self._skip("on"):
                on = (*on, *(("and",) if on else ()), *self._conditions(sources))
            if enclosed:
                self._expect(")")
            if self._token in CLAUSES or self._token in ENDS:
                break
        return tuple(units), on, sources

    def _table(self) -> str:
        name = self._aliases.get(self._token)
        if name not in self._names.columns:
            raise ParseError(f"{self._token or 'the end'} is not a table")
        self._place += 3 if self._tokens[self._place + 1 : self._place + 2] == ["as"] else 1
        return name

    def _select(self, sources: list[str]) -> tuple[bool, tuple[tuple[str, Expression], ...]]:
        self._expect("select")
        distinct = self._skip("distinct")
        items: list[tuple[str, Expression]] = []
        while self._more and self._token not in CLAUSES:
            aggregate = self._token if self._token in AGGREGATES else "none"
            self._place += self._token in AGGREGATES
            items.append((aggregate, self._expression(sources)))
            self._note_passed_over(not self._skip(",") and self._token not in CLAUSES)
        return distinct, tuple(items)

    def _expression(self, sources: list[str]) -> Expression:
        enclosed = self._skip("(")
        operator, left, right = "none", self._column(sources), None
        if self._token in ARITHMETIC:
            operator = self._token
            self._place += 1
            right = self._column(sources)
        if enclosed:
            self._expect(")")
        return Expression(operator, left, right)

    def _column(self, sources: list[str]) -> Column:
        enclosed = self._skip("(")
        if self._token in AGGREGATES:
            aggregate = self._token
            self._place += 1
            self._expect("(")
            distinct = self._skip("distinct")
            column = Column(aggregate, self._name(sources), distinct)
            self._expect(")")
            return column  # an opening bracket before the aggregate is never closed, as in the original
        distinct = self._skip("distinct")
        column = Column("none", self._name(sources), distinct)
        if enclosed:
            self._expect(")")
        return column

    def _name(self, sources: list[str]) -> str:
        token = self._token
        self._place += 1
        if token == STAR:
            return STAR
        if "." in token:
            alias, _, column = token.partition(".")
            table = self._aliases.get(alias, "")
            if column not in self._names.columns.get(table, ()):
                raise ParseError(f"{token} is not a column")
            return f"{table}.{column}"
        for table in sources:
            if token in self._names.columns[table]:
                return f"{table}.{token}"
        raise ParseError(f"{token or 'the end'} is not a column")

    def _conditions(self, sources: list[str]) -> Conditions:
        found: list[Condition | str] = []
        while self._more:
            found.append(self._condition(sources))
            if self._token in CLAUSES or self._token in ENDS or self._token in JOINS:
                break
            if self._token in ("and", "or"):
                found.append(self._token)
                self._place += 1
        if any(isinstance(unit, str) for unit in found[::2]):
            raise ParseError("a connector of conditions is missing")
        return tuple(found)

    def _condition(self, sources: list[str]) -> Condition:
        left = self._expression(sources)
        negated = self._skip("not")
        operator = self._token
        if operator not in OPERATORS:
            raise ParseError(f"{operator or 'the end'} is not an operator")
        self._place += 1
        right = self._value(sources)
        upper: Value = None
        if operator == "between":
            self._expect("and")
            upper = self._value(sources)
        return Condition(negated, operator, left, right, upper)

    def _value(self, sources: list[str]) -> Value:
        start = self._place
        enclosed = self._skip("(")
        value: Value
        if self._token == "select":
            value = self.query()
        elif '"' in self._token:
            value = self._token
            self._place += 1
        else:
            try:
                value = float(self._token)
                self._place += 1
            except ValueError:
                value = self._column_value(start, sources)
        if enclosed:
            self._expect(")")
        return value

    def _column_value(self, start: int, sources: list[str]) -> Column:
        """A column on the right: all up to the next clause belongs to it, though only its head is read."""
        while self._more and self._token not in CLAUSES | JOINS | {",", ")", "and"}:
            self._place += 1
        part = _Parser(self._tokens[start : self._place], self._aliases, self._names)
        column = part._column(sources)
        self._note_passed_over(not part.whole)
        return column

    def _group(self, sources: list[str]) -> tuple[Column, ...]:
        if not self._skip("group"):
            return ()
        self._expect("by")
        columns: list[Column] = []
        while self._more and self._token not in CLAUSES and self._token not in ENDS:
            columns.append(self._column(sources))
            if not self._skip(","):
                break
        return tuple(columns)

    def _order(self, sources: list[str]) -> tuple[str | None, tuple[Expression, ...]]:
        """One direction for all: the last that is written, ascending if none is."""
        if not self._skip("order"):
            return None, ()
        self._expect("by")
        direction, items = "asc", list[Expression]()
        while self._more and self._token not in CLAUSES and self._token not in ENDS:
            items.append(self._expression(sources))
            if self._token in ("asc", "desc"):
                direction = self._token
                self._place += 1
            if not self._skip(","):
                break
        return direction, tuple(items)

    def _limit(self) -> bool:
        if not self._skip("limit"):
            return False
        if not self._more:
            raise ParseError("nothing follows LIMIT")
        self._place += 1
        return True
