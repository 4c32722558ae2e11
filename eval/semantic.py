"""All of SQLite's SQL as a `Query`, through sqlglot.

What the narrow grammar of `eval/spider_sql.py` refuses for its spelling (`age=20`, INNER JOIN, `<>`, column
aliases, comma joins, CTEs, quoted names) is read here as what it means, so that exact match can be asked
of any query. What has no place in a `Query`, such as CASE, becomes a column named by its own text.
"""

import logging

import sqlglot
from sqlglot import exp

from data.imports.dialects import check_joins
from eval.clauses import append, conjunction, connect, lift_joins
from eval.query import STAR, Column, Condition, Conditions, Expression, Names, ParseError, Query, Table, Value, parts
from eval.scopes import Scope

# It warns of statements that it only half knows, and those are no queries.
logging.getLogger("sqlglot").setLevel(logging.ERROR)

# Predictions are hostile: a second or so to parse; as deep as can be compared; CTEs that use each other double
# the size of what they stand for with each.
MOST_CHARACTERS = 10_000
MOST_NESTED = 60
MOST_QUERIES = 1_000
AGGREGATES: dict[type[exp.Expr], str] = {
    exp.Max: "max",
    exp.Min: "min",
    exp.Count: "count",
    exp.Sum: "sum",
    exp.Avg: "avg",
    exp.GroupConcat: "group_concat",
}
ARITHMETIC: dict[type[exp.Expr], str] = {exp.Add: "+", exp.Sub: "-", exp.Mul: "*", exp.Div: "/"}
COMPARISONS: dict[type[exp.Expr], str] = {
    exp.EQ: "=",
    exp.NEQ: "!=",
    exp.GT: ">",
    exp.GTE: ">=",
    exp.LT: "<",
    exp.LTE: "<=",
    exp.Like: "like",
    exp.Glob: "glob",
    exp.Is: "is",
}
FLIPPED = {"=": "=", "!=": "!=", ">": "<", ">=": "<=", "<": ">", "<=": ">="}
NEGATED = {"=": "!=", "!=": "=", ">": "<=", ">=": "<", "<": ">=", "<=": ">"}


def parse(sql: str, names: Names | None = None) -> Query:
    """The query as `Query`. Raises ParseError where sqlglot does not read it as one.

    With `names`, columns are resolved to their tables, and the equalities by which a comma join joins are
    taken for the ON that they stand for.
    """
    if len(sql) > MOST_CHARACTERS:
        raise ParseError(f"longer than {MOST_CHARACTERS} characters")
    try:
        check_joins(sql, "sqlite")
        tree = sqlglot.parse_one(sql, read="sqlite")
        return _Reader(names).query(tree, Scope())
    except (sqlglot.errors.SqlglotError, RecursionError) as error:
        raise ParseError(str(error).partition("\n")[0] or "nested too deeply") from error
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        # Of some malformed texts sqlglot makes a tree with holes.
        raise ParseError(f"not the tree of a query: {error}") from error


class _Reader:
    def __init__(self, names: Names | None) -> None:
        self._names = names
        self._sizes: dict[int, int] = {}  # how many queries are in each that was read, by identity
        self._read: list[Query] = []  # keeps those identities theirs

    def query(self, tree: exp.Expr, outer: Scope) -> Query:
        """A SELECT or a chain of set operations; what orders the whole chain belongs to its last branch."""
        ctes = dict(outer.ctes)
        branches: list[exp.Expr] = []
        operations: list[str] = []
        tails: list[exp.Expr] = []
        node = tree
        while isinstance(node, exp.SetOperation | exp.Subquery):  # the first branch is the innermost
            self._add_ctes(node, ctes, outer)
            tails.append(node)
            if isinstance(node, exp.SetOperation):
                branches.insert(0, node.expression)
                operations.insert(0, _operation(node))
            node = node.this
        if len(branches) + len(list(outer.chain())) > MOST_NESTED:
            raise ParseError("nested too deeply")
        *first, last = [node, *branches]
        chain = self._select(last, Scope(ctes=dict(ctes), outer=outer), tails)
        for branch, operation in zip(reversed(first), reversed(operations), strict=True):
            query = self._select(branch, Scope(ctes=dict(ctes), outer=outer), [])
            chain = self._sized(append(query, operation, chain))
        return chain

    def _add_ctes(self, node: exp.Expr, ctes: dict[str, Query], outer: Scope) -> None:
        with_ = node.args.get("with_")
        for cte in with_.expressions if with_ else ():
            ctes[cte.alias.lower()] = self.query(cte.this, Scope(ctes=dict(ctes), outer=outer))

    def _select(self, node: exp.Expr, scope: Scope, tails: list[exp.Expr]) -> Query:
        if isinstance(node, exp.Subquery | exp.SetOperation):  # a branch in brackets
            return self.query(node, scope)
        if not isinstance(node, exp.Select):
            raise ParseError(f"{type(node).__name__} is not a SELECT")
        self._add_ctes(node, scope.ctes, scope)
        tables, on, bare_join = self._from(node, scope)
        scope.aliases = {item.alias.lower(): item.unalias() for item in node.expressions if item.alias}
        where = self._clause(node, "where", scope)
        if bare_join and self._names:
            on, where = lift_joins(on, where)
        group = node.args.get("group")
        grouped = group.expressions if group else []
        holders = [*tails, node]
        order = next((holder.args["order"] for holder in holders if holder.args.get("order")), None)
        ordered = order.expressions if order else []
        directions = [
            "desc" if item.args.get("desc") else "asc" for item in ordered if item.args.get("desc") is not None
        ]
        query = Query(
            distinct=node.args.get("distinct") is not None,
            select=tuple(self._item(item.unalias(), scope) for item in node.expressions),
            tables=tables,
            on=on,
            where=where,
            group=tuple(self._column(self._meant(item, node, scope), scope) for item in grouped),
            having=self._clause(node, "having", scope),
            direction=(directions or ["asc"])[-1] if order else None,
            order=tuple(self._expression(self._meant(item.this, node, scope), scope) for item in ordered),
            limit=any(holder.args.get("limit") for holder in holders),
        )
        return self._sized(query)

    def _sized(self, query: Query) -> Query:
        """The query, if it is of a size that can be compared."""
        size = self._size(query)
        if size > MOST_QUERIES:
            raise ParseError(f"more than {MOST_QUERIES} queries in one")
        self._sizes[id(query)] = size
        self._read.append(query)
        return query

    def _size(self, query: Query) -> int:
        return self._sizes.get(id(query)) or 1 + sum(map(self._size, parts(query)))

    def _meant(self, item: exp.Expr, select: exp.Select, scope: Scope) -> exp.Expr:
        """What ORDER BY or GROUP BY names: a place in SELECT, an alias of it, or the expression itself."""
        if isinstance(item, exp.Literal) and item.this.isdigit() and 0 < int(item.this) <= len(select.expressions):
            item = select.expressions[int(item.this) - 1]
            return item.unalias()
        if isinstance(item, exp.Column) and not item.table:
            return scope.aliases.get(item.name.lower(), item)
        return item

    def _from(self, node: exp.Expr, scope: Scope) -> tuple[tuple[Table | Query, ...], Conditions, bool]:
        """The units of FROM, the conditions of all ON, and whether some join has none."""
        from_ = node.args.get("from_")
        joins = node.args.get("joins") or []
        units: list[Table | Query] = []
        on: Conditions = ()
        bare = False
        for source, join in [(from_.this, None), *((join.this, join) for join in joins)] if from_ else []:
            nested = source.this if isinstance(source, exp.Subquery) and isinstance(source.this, exp.Table) else source
            kind = " ".join(join.args[key].lower() for key in ("method", "side") if join.args.get(key)) if join else ""
            units.append(self._unit(nested, kind, scope))
            inner = nested.args.get("joins") if isinstance(nested, exp.Table) else None
            if inner:  # tables joined in brackets
                more, conditions, _ = self._from(exp.Select(from_=exp.From(this=exp.Table()), joins=inner), scope)
                units, on = [*units, *more[1:]], conjunction(on, conditions)
            if join:
                condition, using = join.args.get("on"), join.args.get("using") or ()
                bare = bare or not (condition or using or kind)
                shared = [_unresolved_condition(column.name) for column in using]
                on = conjunction(on, self._conditions(condition, scope), connect(shared, "and"))
        return tuple(units), on, bare

    def _unit(self, source: exp.Expr, kind: str, scope: Scope) -> Table | Query:
        alias = source.alias_or_name.lower()
        if isinstance(source, exp.Subquery):
            query = self.query(source, scope)
            scope.sources[alias] = query
            return query
        name = source.name.lower()
        for level in scope.chain():
            if name in level.ctes:
                scope.sources[alias] = level.ctes[name]
                return level.ctes[name]
        scope.sources[alias] = name
        return Table(name, kind)

    def _item(self, node: exp.Expr, scope: Scope) -> tuple[str, Expression]:
        """One unit of SELECT: the outermost aggregate, and the expression in it."""
        node = _open(node)
        if (aggregate := AGGREGATES.get(type(node))) and not node.args.get("separator"):
            argument, distinct = _argument(node)
            inner = self._expression(argument, scope)
            return aggregate, inner._replace(left=inner.left._replace(distinct=distinct))
        return "none", self._expression(node, scope)

    def _expression(self, node: exp.Expr, scope: Scope) -> Expression:
        node = _open(node)
        if operator := ARITHMETIC.get(type(node)):
            return Expression(operator, self._column(node.left, scope), self._column(node.right, scope))  # type: ignore[attr-defined]
        return Expression("none", self._column(node, scope), None)

    def _column(self, node: exp.Expr, scope: Scope) -> Column:
        node = _open(node)
        if (aggregate := AGGREGATES.get(type(node))) and not node.args.get("separator"):
            argument, distinct = _argument(node)
            return Column(aggregate, self._name(argument, scope), distinct)
        return Column("none", self._name(node, scope), False)

    def _name(self, node: exp.Expr, scope: Scope) -> str:
        """A column as "table.column", anything else as its text with the columns in it resolved."""
        node = _open(node)
        if isinstance(node, exp.Star) or (isinstance(node, exp.Column) and isinstance(node.this, exp.Star)):
            return STAR
        if isinstance(node, exp.Column):
            return scope.resolve(node, self._names) or f'"{node.name}"'

        def resolve(inner: exp.Expr) -> exp.Expr:
            if isinstance(inner, exp.Column):
                return exp.Var(this=self._name(inner, scope))
            return inner

        return str(node.transform(resolve).sql("sqlite", normalize_functions="lower"))

    def _clause(self, node: exp.Expr, name: str, scope: Scope) -> Conditions:
        clause = node.args.get(name)
        return self._conditions(clause.this, scope) if clause else ()

    def _conditions(self, node: exp.Expr | None, scope: Scope) -> Conditions:
        """Conditions and connectors in reading order; brackets around groups are opened."""
        if node is None:
            return ()
        opened = _open(node)
        if isinstance(opened, exp.And | exp.Or):
            connector = "and" if isinstance(opened, exp.And) else "or"
            return (*self._conditions(opened.left, scope), connector, *self._conditions(opened.right, scope))
        return (self._condition(opened, scope, negated=False),)

    def _condition(self, node: exp.Expr, scope: Scope, negated: bool) -> Condition:
        node = _open(node)
        if isinstance(node, exp.Escape):
            node = node.this
        negated = negated != bool(node.args.get("negate"))
        if isinstance(node, exp.Not):
            return self._condition(node.this, scope, not negated)
        if isinstance(node, exp.Exists):
            return Condition(negated, "exists", None, self.query(node.this, scope))
        if isinstance(node, exp.In):
            subquery = node.args.get("query")
            values = node.expressions
            right = self._value(subquery or (values[0] if len(values) == 1 else exp.Null()), scope)
            return Condition(negated, "in", self._expression(node.this, scope), right)
        if isinstance(node, exp.Between):
            low, high = (self._value(node.args[key], scope) for key in ("low", "high"))
            return Condition(negated, "between", self._expression(node.this, scope), low, high)
        operator = COMPARISONS.get(type(node))
        if operator is None:
            return Condition(negated, "true", self._expression(node, scope), None)
        left, right_node = node.this, node.expression
        if operator in FLIPPED and _is_value(left) and not _is_value(right_node):
            left, right_node, operator = right_node, left, FLIPPED[operator]
        if negated and operator in NEGATED:
            negated, operator = False, NEGATED[operator]
        if operator == "is":  # IS NOT is an operator of its own, not a negated condition
            negated, operator = False, "is not" if negated else "is"
        return Condition(negated, operator, self._expression(left, scope), self._value(right_node, scope))

    def _value(self, node: exp.Expr, scope: Scope) -> Value:
        node = _open(node)
        if isinstance(node, exp.Query):
            return self.query(node, scope)
        if isinstance(node, exp.Literal) and not node.is_string:
            try:
                return float(node.this)
            except ValueError:
                return str(node.this)
        if isinstance(node, exp.Column):
            name = scope.resolve(node, self._names)
            return Column("none", name, False) if name else f'"{node.name}"'
        if isinstance(node, exp.Literal):
            return f'"{node.this}"'
        return self._name(node, scope)


def _open(node: exp.Expr) -> exp.Expr:
    """Without the brackets around it."""
    while isinstance(node, exp.Paren):
        node = node.this
    return node


def _argument(aggregate: exp.Expr) -> tuple[exp.Expr, bool]:
    """What an aggregate is of, and whether of distinct values."""
    argument = aggregate.this or exp.Star()
    if isinstance(argument, exp.Distinct):
        return (argument.expressions or [exp.Star()])[0], True
    return argument, False


def _is_value(node: exp.Expr) -> bool:
    return isinstance(_open(node), exp.Literal | exp.Neg | exp.Subquery)


def _operation(node: exp.SetOperation) -> str:
    kind = type(node).__name__.lower()
    return kind if node.args.get("distinct") else f"{kind} all"


def _unresolved_condition(name: str) -> Condition:
    column = Column("none", name.lower(), False)
    return Condition(False, "=", Expression("none", column, None), column)
