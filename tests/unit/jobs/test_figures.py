"""Figures: what the script tells, as numbers with names."""

from datetime import UTC, datetime

import pytest
from ulid import ULID

from jobs.figures import Figures
from jobs.record import Status
from jobs.scripts import RUN_BOUNDS, WAIT_BOUNDS

NOW = 1_800_000_000_000


def figures(ids: list[str] | None = None, counted: list[str] | None = None) -> Figures:
    """What is told of one queue and its counters."""
    return Figures.of([NOW, None, 0, [["bulk", len(ids or []), ids or []]], [], counted or [], []])


def came(seconds_ago: float) -> str:
    """The id of a dream that came so long ago."""
    return str(ULID.from_datetime(datetime.fromtimestamp(NOW / 1000 - seconds_ago, UTC)))


def test_the_oldest_of_a_queue_is_found_wherever_it_stands() -> None:
    """One that was given back stands before those that came earlier."""
    told = figures([came(10), came(30), came(20)])

    assert told.queues["bulk"].oldest_age_s == pytest.approx(30)


def test_an_age_is_never_below_zero() -> None:
    """The clock of Redis may be behind that of the API, which makes the ids."""
    assert figures([came(-5)]).queues["bulk"].oldest_age_s == 0


def test_counters_are_told_by_their_labels_and_those_to_come_are_0() -> None:
    """A rate needs a number before the first event; a name may have blanks."""
    told = figures(counted=["ended\tfailed", "2", "iterations\tmy model", "7"])

    assert told.ended[Status.FAILED] == 2
    assert told.ended[Status.EXPIRED] == 0
    assert told.accepted == {"interactive": 0, "bulk": 0}
    assert told.iterations == {"my model": 7}


def test_a_histogram_has_every_bucket() -> None:
    """Redis knows only those that something fell into; the last one has no bound."""
    told = figures(
        counted=[
            "wait\tm\t1",
            "4",
            "wait\tm\tms",
            "1500",
            f"run\tm\tfailed\t{len(RUN_BOUNDS) + 1}",
            "3",
        ]
    )

    waited, ran = told.waited["m",], told.ran["m", "failed"]
    assert waited.buckets == (4, *[0] * len(WAIT_BOUNDS))
    assert waited.sum_s == 1.5
    assert ran.buckets == (*[0] * len(RUN_BOUNDS), 3)
