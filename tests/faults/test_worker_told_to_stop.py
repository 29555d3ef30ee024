"""Fault 4: SIGTERM in the middle of an iteration."""

import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path

from jobs.record import Status
from tests.faults.figures import Figures
from tests.faults.service import Service, pass_s, runs, succeeded, until
from tests.faults.test_worker_slow import holder
from tests.faults.trials import trials

DREAM = {"model": "thin", "layers": "relu3_1=100", "iterations": 120, "image_size": 300}
PROMISED_S = 5


def stop(pid: int) -> float:
    """Send SIGTERM to a process; return how long it took to be gone."""
    began = time.monotonic()
    os.kill(pid, signal.SIGTERM)
    until(lambda: not runs(pid), "the worker is gone", within_s=20)
    return time.monotonic() - began


@trials(few=2)
def test_a_worker_told_to_stop_is_out_in_five_seconds_and_its_job_goes_on(
    crew: Service,
    picture: Path,
    figures: Callable[[str], Figures],
    moment: random.Random,
    compare: Callable[..., None],
) -> None:
    """A deploy costs a job no iteration: it was saved where it stood, and another goes on."""
    seen = figures("4 SIGTERM in mid-iteration")
    crew.settled()
    job_id = crew.post(picture, **DREAM)
    crew.at(job_id, moment.randrange(1, 80))
    pass_s(moment.uniform(0, 0.1))

    told_at = time.time()
    took_s = stop(holder(crew, job_id).pid)

    seen.recovered(crew.goes_on(job_id, told_at))
    job = crew.ended(job_id)
    succeeded(job)
    assert job.attempt == 2
    compare(crew, job_id, seen, **DREAM)
    crew.check(seen)
    assert took_s <= PROMISED_S


@trials(few=1)
def test_a_worker_whose_step_takes_longer_than_the_grace_is_out_in_five_seconds_too(
    crew: Service,
    picture: Path,
    figures: Callable[[str], Figures],
    moment: random.Random,
) -> None:
    """It gives its job back and leaves in mid-step; the job is claimed again."""
    seen = figures("4 SIGTERM in a step longer than the grace")
    crew.settled()
    job_id = crew.post(picture, model="wide", layers="relu5_1=100", iterations=5, image_size=1536)
    until(lambda: crew.job(job_id).run, "the dream has begun")
    pass_s(moment.uniform(0.2, 1.0))
    told_at = time.time()

    took_s = stop(holder(crew, job_id).pid)

    until(lambda: crew.job(job_id).attempt == 2, "another attempt")
    seen.recovered(time.time() - told_at)
    crew.ledger.cancel(job_id)
    for worker in crew.ledger.workers():  # nobody waits for the long step that is under way
        if worker.job == job_id and runs(worker.pid):  # the first one has left, its card has not
            os.kill(worker.pid, signal.SIGKILL)
    assert crew.ended(job_id).status is Status.CANCELED
    crew.check(seen)
    assert took_s <= PROMISED_S
