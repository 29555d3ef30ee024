"""What a job is told of an error, and when nothing can be told."""

import logging
from pathlib import Path
from threading import Event

import pytest

from dream_core.errors import WeightsMissing
from jobs.errors import LedgerAway
from tests.unit.worker.stand_ins import Engine, claim, dream, problem


def test_an_error_of_ours_fails_the_job_with_its_code() -> None:
    """The user reads the same sentence as on the command line."""
    missing = WeightsMissing("vgg19", Path("/models"), "bring them")

    found = problem(dream(claim(iterations=3), Engine(3, missing)))

    assert (found.code, found.detail) == (
        "weights-missing",
        "the weights of vgg19 are not in /models; bring them",
    )


def test_an_unforeseen_error_fails_the_job_and_goes_to_the_log_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The user gets the id to ask with; the traceback stays in the log."""
    told = dream(claim(iterations=3), Engine(3, ZeroDivisionError("secret")))

    found = problem(told)
    assert told[-1] == ("fail", found)  # the process stays
    assert found.code == "internal"
    assert "01KAT3Y5W7ZQH9N4C8RSBV6XEM" in found.detail
    assert "secret" not in found.detail
    assert [bool(line.exc_info) for line in caplog.records if line.levelno > logging.INFO] == [True]


def test_a_spec_that_no_catalogue_fits_any_more_fails_its_job() -> None:
    """A model can be removed while its job is queued."""
    gone = claim(iterations=3)
    gone.job.spec["model"] = "mine"

    assert problem(dream(gone, Engine(3))).code == "unknown-model"


@pytest.mark.parametrize("lost_at", ["begin", "frame", "progress", "succeed", "give_back"])
def test_a_worker_that_lost_its_fence_stops_quietly(lost_at: str) -> None:
    """Another attempt runs by now: this one neither fails the job nor leaves a traceback."""
    stopping = Event()
    if lost_at == "give_back":
        stopping.set()
    lost = claim(iterations=1)
    lost.lost_at = lost_at

    told = dream(lost, Engine(1), stopping)

    assert "fail" not in [what[0] for what in told]


def test_a_redis_that_is_away_at_the_end_fails_no_job() -> None:
    """Nothing can be written down; the lease runs out and another attempt goes on."""
    told = dream(claim(iterations=3), Engine(3, LedgerAway("gone")))

    assert "fail" not in [what[0] for what in told]
