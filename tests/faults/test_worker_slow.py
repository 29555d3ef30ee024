"""Faults 2 and 3: a job longer than every timeout, and a worker that sleeps through its lease."""

import os
import random
import signal
import time
from collections.abc import Callable
from math import ceil
from pathlib import Path
from typing import Any

import pytest

from jobs.presence import Presence
from tests.faults import census, hasty
from tests.faults.figures import Figures
from tests.faults.service import Service, pass_s, serving, succeeded, until
from tests.faults.trials import trials

DREAM = {"model": "thin", "layers": "relu3_1=100", "iterations": 120, "image_size": 300}


def claims(service: Service, job_id: str) -> int:
    """Return how often a job was claimed."""
    told = [event["type"] for _, event in census.events(service.client, job_id)]
    return told.count("running")


def holder(service: Service, job_id: str) -> Presence:
    """Return the worker that runs a job."""
    found: Presence = until(
        lambda: next((one for one in service.ledger.workers() if one.job == job_id), None),
        f"a worker has {job_id}",
    )
    return found


def lasting(service: Service, picture: Path, seconds: float) -> dict[str, Any]:
    """Return a dream that lasts about so long here: how fast a machine is differs by times."""
    short = service.ended(service.post(picture, **{**DREAM, "iterations": 40, "save_every": 40}))
    pace = short.progress.seconds_per_iteration
    assert pace is not None
    iterations = min(10_000, ceil(seconds / pace))
    return {**DREAM, "iterations": iterations, "save_every": max(1, iterations // 8)}


@trials(few=1)
def test_a_job_longer_than_every_timeout_runs_once(
    crew: Service, picture: Path, figures: Callable[[str], Figures]
) -> None:
    """Lease, sweep, presence and the broker's redelivery pass by; three workers, one claim."""
    seen = figures("2 a job longer than every timeout (hasty), three workers")
    dream = lasting(crew, picture, 5 * hasty.LEASE_S)

    job_id = crew.post(picture, **dream)
    job = crew.ended(job_id)

    succeeded(job)
    seen.doubled += claims(crew, job_id) - 1
    assert claims(crew, job_id) == 1
    assert job.started_at is not None
    assert job.finished_at is not None
    took_s = (job.finished_at - job.started_at).total_seconds()
    assert took_s > 2 * hasty.LEASE_S > hasty.VISIBILITY_S, "it was too short to show anything"
    crew.check(seen)


@pytest.mark.many
@pytest.mark.timeout(600)
def test_a_job_longer_than_the_real_timeouts_runs_once(
    models: Path, picture: Path, tmp_path: Path, figures: Callable[[str], Figures]
) -> None:
    """The same with everything as delivered: lease 15 s, silence 30 s."""
    seen = figures("2 a job longer than lease and socket timeout, three workers")
    with serving(tmp_path / "data", models, workers=3) as service:
        job_id = service.post(picture, **lasting(service, picture, 90))
        job = service.ended(job_id, within_s=500)
        seen.doubled += claims(service, job_id) - 1
        succeeded(job)
        assert claims(service, job_id) == 1
        service.check(seen)


@trials(few=2)
def test_a_worker_that_slept_through_its_lease_writes_nothing(
    crew: Service,
    picture: Path,
    figures: Callable[[str], Figures],
    moment: random.Random,
    compare: Callable[..., None],
    trial: int,
) -> None:
    """Woken beside the attempt that took over (or after its end), it finds its fence void."""
    seen = figures("3 SIGSTOP past the lease (hasty), then SIGCONT")
    crew.settled()
    job_id = crew.post(picture, **DREAM)
    crew.at(job_id, moment.randrange(20, 80))
    pass_s(moment.uniform(0, 0.1))
    sleeper = holder(crew, job_id)
    os.kill(sleeper.pid, signal.SIGSTOP)
    stopped = time.time()
    try:
        until(lambda: claims(crew, job_id) == 2, "another worker has taken the job")
        if trial % 2:
            crew.ended(job_id)
        else:
            # Beside it, and ahead of it: what the sleeper writes now would be written first.
            crew.goes_on(job_id, stopped)
        second = [event for _, event in census.events(crew.client, job_id)]
    finally:
        os.kill(sleeper.pid, signal.SIGCONT)
    until(
        lambda: any(
            one.pid == sleeper.pid and one.job is None and one.state == "idle"
            for one in crew.ledger.workers()
        ),
        "the sleeper has given up",
    )

    job = crew.ended(job_id)
    succeeded(job)
    assert job.attempt == 2
    told = [event for _, event in census.events(crew.client, job_id)]
    assert told[: len(second)] == second
    compare(crew, job_id, seen, **DREAM)
    crew.check(seen)
