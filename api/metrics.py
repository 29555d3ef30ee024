"""Metrics: what the service does and did, as Prometheus reads it.

The API counts its own requests. All else is the ledger's: one read of Redis a scrape.
"""

from collections.abc import Iterable, Iterator

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.exposition import generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from api import meters
from dream_core.errors import DreamError
from dream_core.version import version
from jobs.ledger import Ledger


class Metrics:
    """What one API process counts, and where it asks for the rest."""

    def __init__(self, ledger: Ledger) -> None:
        """Ask `ledger` at every scrape; one that gives up soon, as who scrapes has a timeout."""
        disable_created_metrics()  # type: ignore[no-untyped-call]  # when each counter began: a third more lines, read by nobody
        registry = self._registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        registry.register(_Told(ledger))
        self.in_flight = Gauge(*meters.HTTP_IN_FLIGHT.named, registry=registry)
        self._requests = Counter(*meters.HTTP_REQUESTS.named, registry=registry)
        self._problems = Counter(*meters.HTTP_PROBLEMS.named, registry=registry)
        self._seconds = Histogram(
            *meters.HTTP_SECONDS.named, buckets=meters.HTTP_BOUNDS, registry=registry
        )
        # By method, route and status: to look for a child by its labels costs more than to count.
        self._answers: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}

    def answered(
        self, method: str, route: str, status: int, seconds: float, problem: str | None
    ) -> None:
        """Count an answer."""
        of = method, route, status
        if of not in self._answers:
            counter = self._requests.labels(method, route, str(status))
            self._answers[of] = counter, self._seconds.labels(method, route)
        counter, histogram = self._answers[of]
        counter.inc()
        histogram.observe(seconds)
        if problem:
            self._problems.labels(problem).inc()

    def page(self) -> bytes:
        """Return all metrics in Prometheus' text format."""
        return generate_latest(self._registry)


class _Told(Collector):
    """What the ledger tells; without Redis, that it doesn't."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def describe(self) -> Iterable[Metric]:
        """Name nothing before the first scrape: the registry would ask Redis for it."""
        return []

    def collect(self) -> Iterator[Metric]:
        yield meters.BUILD_INFO.family([((version(),), 1)])
        try:
            figures = self._ledger.figures()
        except DreamError:
            yield meters.REDIS_UP.family([((), 0)])
            return
        yield meters.REDIS_UP.family([((), 1)])
        yield from meters.families(figures)
