"""What Prometheus may know: requests, how long they took, tokens, what came of the SQL, what was refused."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

SECONDS = (0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 40, 80, 160)


class Metrics:
    """The figures of one server."""

    def __init__(self) -> None:
        registry = self._registry = CollectorRegistry()
        self.requests = Counter("loraql_requests", "Requests answered", ["route", "status"], registry=registry)
        self.seconds = Histogram(
            "loraql_request_seconds", "Seconds to the end of the answer", ["route"], buckets=SECONDS, registry=registry
        )
        self.tokens = Counter("loraql_tokens", "Tokens written by the model", registry=registry)
        self.outcomes = Counter("loraql_sql", "What came of SQL that was run", ["category"], registry=registry)
        self.rejected = Counter("loraql_rejected", "Requests refused, by the error's code", ["code"], registry=registry)
        self._waiting = Gauge("loraql_waiting", "Requests being answered or waiting for it", registry=registry)

    def count_waiting(self, waiting: Callable[[], int]) -> None:
        self._waiting.set_function(waiting)

    def text(self) -> bytes:
        """All of them in Prometheus's text format, version 0.0.4."""
        return generate_latest(self._registry)
