"""Meters: every metric by name, kind, labels and help; and those that the ledger's figures fill."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Final, Literal, get_args

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
)
from prometheus_client.metrics_core import Metric

from jobs.figures import Figures, Histogram
from jobs.presence import Presence, State
from jobs.scripts import RUN_BOUNDS, WAIT_BOUNDS

HTTP_BOUNDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)

Labels = tuple[str, ...]


@dataclass(frozen=True)
class Meter:
    """One metric: what it is called, and what it counts."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    help: str
    labels: Labels = ()

    @property
    def named(self) -> tuple[str, str, Labels]:
        """What prometheus_client's own metrics are made from."""
        return self.name, self.help, self.labels

    def family(self, values: Iterable[tuple[Labels, float]]) -> Metric:
        """Return it with a value for each set of labels."""
        kind = CounterMetricFamily if self.kind == "counter" else GaugeMetricFamily
        family = kind(self.name, self.help, labels=self.labels)
        for labels, value in values:
            family.add_metric(labels, value)
        return family

    def histogram(
        self, bounds: Sequence[float], values: Iterable[tuple[Labels, Histogram]]
    ) -> Metric:
        """Return it with a histogram for each set of labels."""
        family = HistogramMetricFamily(self.name, self.help, labels=self.labels)
        for labels, counted in values:
            limits = [*(f"{float(bound)}" for bound in bounds), "+Inf"]
            buckets = list(zip(limits, accumulate(counted.buckets), strict=True))
            family.add_metric(labels, buckets, counted.sum_s)
        return family


BUILD_INFO = Meter("dream_build_info", "gauge", "1; its label is our version.", ("version",))
REDIS_UP = Meter(
    "dream_redis_up", "gauge", "1 where Redis answered this scrape; else all below but HTTP is out."
)
JOBS = Meter("dream_jobs", "gauge", "Dreams that have not ended, by status.", ("status",))
KEPT = Meter("dream_kept_jobs", "gauge", "Dreams that are kept, those that have ended too.")
ACCEPTED = Meter("dream_accepted_jobs_total", "counter", "Dreams that were accepted.", ("queue",))
ENDED = Meter("dream_ended_jobs_total", "counter", "Dreams that have ended, by how.", ("status",))
FAILED = Meter(
    "dream_failed_jobs_total",
    "counter",
    "Dreams that failed, by the code of the problem.",
    ("code",),
)
ITERATIONS = Meter(
    "dream_iterations_total",
    "counter",
    "Iterations; one that is run again after a worker was lost counts once.",
    ("model",),
)
WAIT = Meter(
    "dream_job_wait_seconds",
    "histogram",
    "From a dream's acceptance to its first start.",
    ("model",),
)
RUN = Meter(
    "dream_job_run_seconds",
    "histogram",
    "From a dream's first start to its end, with all interruptions.",
    ("model", "status"),
)
QUEUE = Meter("dream_queue_jobs", "gauge", "Dreams that wait.", ("queue",))
OLDEST = Meter(
    "dream_queue_oldest_age_seconds",
    "gauge",
    "Since the oldest dream that waits was accepted; 0 where none waits.",
    ("queue",),
)
PAUSED = Meter("dream_queue_paused", "gauge", "1 while no queued dream is started.")
WORKERS = Meter("dream_workers", "gauge", "Workers that are up, by state.", ("state",))
WORKER_UP = Meter(
    "dream_worker_up", "gauge", "1 for each worker that said so within 15 s.", ("worker",)
)
WORKER_BUSY = Meter("dream_worker_busy", "gauge", "1 while a worker has a dream.", ("worker",))
WORKER_INFO = Meter(
    "dream_worker_info",
    "gauge",
    "1; its labels are where a worker computes and its torch.",
    ("worker", "device", "torch"),
)
WORKER_MEMORY = Meter(
    "dream_worker_resident_memory_bytes", "gauge", "Memory that a worker holds.", ("worker",)
)
HOST_SIZE = Meter(
    "dream_host_memory_size_bytes", "gauge", "Memory of a worker's host or container.", ("host",)
)
HOST_FREE = Meter(
    "dream_host_memory_available_bytes", "gauge", "What of it can be had without swap.", ("host",)
)
GPU_SIZE = Meter(
    "dream_gpu_memory_size_bytes", "gauge", "Memory of a worker's GPU.", ("worker", "device")
)
GPU_FREE = Meter(
    "dream_gpu_memory_free_bytes", "gauge", "What of it nobody has taken.", ("worker", "device")
)
HTTP_REQUESTS = Meter(
    "dream_http_requests_total",
    "counter",
    "Answers, by route (the template, not the address) and HTTP status.",
    ("method", "route", "status"),
)
HTTP_SECONDS = Meter(
    "dream_http_request_seconds",
    "histogram",
    "From a request's head to the last byte of its answer.",
    ("method", "route"),
)
HTTP_IN_FLIGHT = Meter(
    "dream_http_in_flight_requests", "gauge", "Requests that are not yet answered; a scrape is one."
)
HTTP_PROBLEMS = Meter(
    "dream_http_problems_total", "counter", "Answers that were a problem, by its code.", ("code",)
)

ALL: Final = tuple(each for each in list(vars().values()) if isinstance(each, Meter))


def families(figures: Figures) -> Iterator[Metric]:
    """Go through what the ledger's figures fill."""
    yield JOBS.family(((status,), count) for status, count in figures.jobs.items())
    yield KEPT.family([((), figures.kept)])
    yield ACCEPTED.family(_by_name(figures.accepted.items()))
    yield ENDED.family(_by_name(figures.ended.items()))
    yield FAILED.family(_by_name(figures.failed.items()))
    yield ITERATIONS.family(_by_name(figures.iterations.items()))
    yield WAIT.histogram(WAIT_BOUNDS, figures.waited.items())
    yield RUN.histogram(RUN_BOUNDS, figures.ran.items())
    yield QUEUE.family(((name,), line.jobs) for name, line in figures.queues.items())
    yield OLDEST.family(((name,), line.oldest_age_s) for name, line in figures.queues.items())
    yield PAUSED.family([((), figures.paused)])
    yield from _workers(figures.workers)


def _by_name(counted: Iterable[tuple[str, int]]) -> Iterator[tuple[Labels, int]]:
    return (((name,), count) for name, count in counted)


def _workers(up: Sequence[Presence]) -> Iterator[Metric]:
    states = [worker.state for worker in up]
    yield WORKERS.family(((state,), states.count(state)) for state in get_args(State))
    yield WORKER_UP.family(((worker.name,), 1) for worker in up)
    yield WORKER_BUSY.family(((worker.name,), worker.job is not None) for worker in up)
    yield WORKER_INFO.family(
        ((worker.name, worker.device or "", worker.versions.get("torch", "")), 1) for worker in up
    )
    yield WORKER_MEMORY.family(_known({(each.name,): each.memory.process_bytes for each in up}))
    # Workers of one host tell the same of it.
    yield HOST_SIZE.family(_known({(each.host,): each.memory.host_total_bytes for each in up}))
    yield HOST_FREE.family(_known({(each.host,): each.memory.host_free_bytes for each in up}))
    gpus = {(each.name, each.device or ""): each.memory for each in up}
    yield GPU_SIZE.family(_known({key: has.gpu_total_bytes for key, has in gpus.items()}))
    yield GPU_FREE.family(_known({key: has.gpu_free_bytes for key, has in gpus.items()}))


def _known(told: dict[Labels, int | None]) -> Iterator[tuple[Labels, int]]:
    return ((labels, value) for labels, value in told.items() if value is not None)
