"""Figures: what the service has done and does now, counted by the ledger's own scripts.

Counters lie in Redis, each raised by the very script that makes the move: they outlive every
process, and a worker that lost its fence can't raise them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Self

from ulid import ULID

from jobs.presence import Presence
from jobs.record import QUEUES, Status
from jobs.scripts import RUN_BOUNDS, WAIT_BOUNDS


@dataclass(frozen=True)
class Line:
    """One queue."""

    jobs: int
    oldest_age_s: float  # 0 where nothing waits


@dataclass(frozen=True)
class Histogram:
    """How many took how long."""

    buckets: tuple[int, ...]  # one for each bound, then one for all that took longer
    sum_s: float


@dataclass(frozen=True)
class Figures:
    """All of it, as it is at one moment."""

    paused: bool
    kept: int  # jobs that the ledger knows
    jobs: Mapping[Status, int]  # those that have not ended
    queues: Mapping[str, Line]
    workers: tuple[Presence, ...]
    accepted: Mapping[str, int]  # by queue
    ended: Mapping[Status, int]
    failed: Mapping[str, int]  # by the code of the problem
    iterations: Mapping[str, int]  # by model
    waited: Mapping[tuple[str, ...], Histogram]  # by model
    ran: Mapping[tuple[str, ...], Histogram]  # by model and ending

    @classmethod
    def of(cls, told: Any) -> Self:
        """Return the figures that the `figures` script tells."""
        now, paused, kept, queues, claimed, counted, workers = told
        lines = {name: _line(count, ids, now) for name, count, ids in queues}
        counts = {
            tuple(name.split("\t")): int(value)
            for name, value in zip(counted[::2], counted[1::2], strict=True)
        }
        return cls(
            paused=bool(paused),
            kept=kept,
            jobs={
                Status.QUEUED: sum(line.jobs for line in lines.values()),
                **{each: claimed.count(each) for each in (Status.RUNNING, Status.CANCELING)},
            },
            queues=lines,
            workers=tuple(
                sorted(map(Presence.model_validate_json, workers), key=lambda each: each.name)
            ),
            accepted=dict.fromkeys(QUEUES, 0) | _named(counts, "accepted"),
            ended={each: 0 for each in Status if each.terminal}
            | {Status(name): count for name, count in _named(counts, "ended").items()},
            failed=_named(counts, "failed"),
            iterations=_named(counts, "iterations"),
            waited=_histograms(counts, "wait", len(WAIT_BOUNDS)),
            ran=_histograms(counts, "run", len(RUN_BOUNDS)),
        )


def _line(count: int, ids: list[str], now: int) -> Line:
    """Ids are ULIDs: they sort by time, and hold it."""
    if not ids:
        return Line(count, 0.0)
    came: datetime = ULID.from_str(min(ids)).datetime
    return Line(count, max((datetime.fromtimestamp(now / 1000, UTC) - came).total_seconds(), 0.0))


def _named(counts: Mapping[tuple[str, ...], int], kind: str) -> dict[str, int]:
    """Return the counters of a kind that has one label."""
    return {key[1]: count for key, count in counts.items() if key[0] == kind}


def _histograms(
    counts: Mapping[tuple[str, ...], int], kind: str, bounds: int
) -> dict[tuple[str, ...], Histogram]:
    """Return the histograms of a kind by their labels; fields end in a bucket or in `ms`."""
    found = {}
    for labels in sorted({key[1:-1] for key in counts if key[0] == kind}):
        buckets = (counts.get((kind, *labels, str(each)), 0) for each in range(1, bounds + 2))
        found[labels] = Histogram(tuple(buckets), counts.get((kind, *labels, "ms"), 0) / 1000)
    return found
