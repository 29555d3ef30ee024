"""Fault 1: kill -9 of the worker, at any moment."""

import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.figures import Figures
from tests.faults.service import Service, pass_s, runs, succeeded, until
from tests.faults.trials import MANY, trials

DREAM = {"model": "thin", "layers": "relu3_1=100", "iterations": 60, "image_size": 300}
PROMISED_S = 30
KILLS = 20 if MANY else 3


@trials(few=1)
def test_a_killed_worker_costs_a_job_half_a_minute_and_not_a_bit(
    service: Service,
    picture: Path,
    figures: Callable[[str], Figures],
    moment: random.Random,
    compare: Callable[..., None],
) -> None:
    """The promise no peer makes: one ending, every frame the same bytes, on again within 30 s."""
    seen = figures("1 kill -9 the worker, once")
    service.settled()
    job_id = service.post(picture, **DREAM)
    service.at(job_id, moment.randrange(0, 55))
    pass_s(moment.uniform(0, 0.1))

    killed = service.kill("worker")

    took_s = service.goes_on(job_id, killed)
    seen.recovered(took_s)
    succeeded(service.ended(job_id))
    compare(service, job_id, seen, **DREAM)
    service.check(seen)
    assert took_s <= PROMISED_S


@pytest.mark.timeout(1800)
def test_a_job_outlives_any_number_of_kills(
    request: pytest.FixtureRequest,
    picture: Path,
    figures: Callable[[str], Figures],
    moment: random.Random,
    compare: Callable[..., None],
) -> None:
    """Each attempt gets further, so none of them counts against the job; the bytes stay."""
    service: Service = request.getfixturevalue("service" if MANY else "hasty")
    seen = figures(f"1 kill -9 the worker, {KILLS} times in one job{'' if MANY else ' (hasty)'}")
    dream = {**DREAM, "iterations": 12 * KILLS}
    service.settled()
    job_id = service.post(picture, **dream)
    killed: list[float] = []
    for attempt in range(1, KILLS + 1):
        worker = service.pid("worker")
        if attempt % 2:
            stood = service.job(job_id).progress.iteration
            service.at(job_id, stood + moment.randrange(1, 9))
            pass_s(moment.uniform(0, 0.1))
        else:  # just when it has promised that all frames so far are there
            service.told(job_id, "checkpoint", attempt)
        os.kill(worker, signal.SIGKILL)
        killed.append(time.time())
        until(lambda gone=worker: not runs(gone), "the worker is gone")

    job = service.ended(job_id)
    for at in killed:
        seen.recovered(service.goes_on(job_id, at))
    succeeded(job)
    assert job.attempt == KILLS + 1
    compare(service, job_id, seen, **dream)
    service.check(seen)
    assert (seen.slowest_s or 0) <= PROMISED_S
