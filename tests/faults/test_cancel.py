"""Fault 8: cancel, whatever the job is doing."""

import os
import random
import signal
from collections.abc import Callable
from pathlib import Path

from jobs.record import Status
from tests.faults import census
from tests.faults.figures import Figures
from tests.faults.service import Service, pass_s, succeeded, until
from tests.faults.trials import trials

DREAM = {"model": "thin", "layers": "relu3_1=100", "iterations": 40, "image_size": 300}
FAULT = "8 cancel ({})"


def never_ran_after(service: Service, job_id: str) -> bool:
    """Whether nothing at all followed the cancel."""
    told = [event["type"] for _, event in census.events(service.client, job_id)]
    asked = next(at for at, kind in enumerate(told) if kind in ("canceling", "canceled"))
    return "running" not in told[asked:]


@trials(few=1)
def test_a_queued_job_is_cancelled_at_once_and_never_runs(
    hasty: Service, picture: Path, figures: Callable[[str], Figures]
) -> None:
    """Its message is still on its way; twice is once; the job before it is left alone."""
    seen = figures(FAULT.format("queued, twice"))
    hasty.settled()
    first = hasty.post(picture, **DREAM)
    queued = hasty.post(picture, **DREAM)

    once = hasty.ledger.cancel(queued)
    twice = hasty.ledger.cancel(queued)

    assert (once.status, once.attempt) == (Status.CANCELED, 0)
    assert once == twice
    succeeded(hasty.ended(first))
    succeeded(hasty.ended(hasty.post(picture, **{**DREAM, "iterations": 1})))
    assert hasty.ended(queued) == once
    hasty.check(seen)


@trials(few=2)
def test_a_running_job_stops_and_never_runs_again(
    hasty: Service,
    picture: Path,
    figures: Callable[[str], Figures],
    moment: random.Random,
    trial: int,
) -> None:
    """At a random moment, in its last step too: it ends as one thing; asking again is idle."""
    seen = figures(FAULT.format("running or finishing, twice"))
    hasty.settled()
    job_id = hasty.post(picture, **DREAM)
    hasty.at(job_id, 39 if trial % 2 else moment.randrange(0, 38))
    pass_s(moment.uniform(0, 0.12))

    hasty.ledger.cancel(job_id)
    hasty.ledger.cancel(job_id)

    job = hasty.ended(job_id)
    assert job.status in (Status.CANCELED, Status.SUCCEEDED)
    assert hasty.ledger.cancel(job_id) == job
    if job.status is Status.CANCELED:
        assert never_ran_after(hasty, job_id)
    hasty.check(seen)


@trials(few=1)
def test_a_job_whose_worker_is_gone_is_cancelled_and_never_runs_later(
    hasty: Service,
    picture: Path,
    figures: Callable[[str], Figures],
    moment: random.Random,
) -> None:
    """Killed first, cancelled then: whoever comes up finds it ended."""
    seen = figures(FAULT.format("its worker was killed"))
    hasty.settled()
    job_id = hasty.post(picture, **DREAM)
    hasty.at(job_id, moment.randrange(1, 30))
    os.kill(hasty.pid("worker"), signal.SIGKILL)

    cancelled = hasty.ledger.cancel(job_id)

    assert cancelled.status is Status.CANCELING
    assert hasty.ended(job_id).status is Status.CANCELED
    until(hasty.ledger.workers, "a worker is up again")
    succeeded(hasty.ended(hasty.post(picture, **{**DREAM, "iterations": 1})))
    assert never_ran_after(hasty, job_id)
    hasty.check(seen)
