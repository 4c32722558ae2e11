"""What the routes share: the model, the databases, the desk where work is done, and the figures."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from eval.execution import plain_rows
from eval.sandbox import Row
from pipeline.serving.errors import ApiError
from pipeline.serving.messages import QueryError, SqlAnswer
from pipeline.serving.metrics import Metrics
from pipeline.serving.work import Desk

if TYPE_CHECKING:
    from pipeline.answerer import Answer, Answerer
    from pipeline.databases import Database

RESULT_BYTES = 4_000_000  # of a result's cells; the rows after them are left out, as those after `max_rows` are


@dataclass(frozen=True)
class Service:
    """One server's parts. `hosts`: by which names it may be asked, None for any."""

    answerer: "Answerer"
    databases: "dict[str, Database]"
    desk: Desk
    corrections: Path
    max_rows: int = 1000
    key: str | None = None
    hosts: frozenset[str] | None = None
    rate: int = 0
    metrics: Metrics = field(default_factory=Metrics)

    def database(self, name: str) -> "Database":
        """Raises ApiError 404."""
        found = self.databases.get(name)
        if found is None:
            known = ", ".join(self.databases) or "none"
            raise ApiError(404, f"no database is called {name[:80]!r}; there are: {known}", "database_not_found")
        return found

    def count(self, answer: "Answer") -> None:
        self.metrics.tokens.inc(answer.tokens)
        if answer.outcome is not None:
            self.metrics.outcomes.labels(answer.outcome.category).inc()

    def shape(self, database: "Database", answer: "Answer") -> SqlAnswer:
        """An answer as clients get it. Where files lie on this machine is not their concern."""
        outcome, error = answer.outcome, None
        if outcome is None:
            error = QueryError(category="no_sql", message="the model wrote no SQL")
        elif outcome.category != "ok":
            message = outcome.message or outcome.category.replace("_", " ")
            error = QueryError(category=outcome.category, message=hide_path(message, database))
        found = outcome.rows if outcome is not None else ()
        rows = plain_rows(_first(found, self.max_rows))
        return SqlAnswer.model_construct(
            database=database.name,
            question=answer.question,
            sql=answer.sql,
            columns=list(outcome.columns) if outcome is not None else [],
            rows=rows,
            row_count=len(found),
            truncated=len(rows) < len(found),
            tables=list(answer.tables),
            warnings=list(answer.warnings),
            error=error,
            ms=round(answer.milliseconds, 1),
        )


def _first(rows: Sequence[Row], most: int) -> Sequence[Row]:
    """The rows within both limits."""
    size = 0
    for number, row in enumerate(rows[:most]):
        size += sum(len(cell) if isinstance(cell, str | bytes) else 8 for cell in row)
        if size > RESULT_BYTES:
            return rows[:number]
    return rows[:most]


def hide_path(text: str, database: "Database") -> str:
    return text.replace(str(database.path.absolute()), database.name).replace(str(database.path), database.name)
