"""Fault 7: a job that kills its worker."""

import os
import signal
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from jobs.record import Status
from tests.faults.figures import Figures
from tests.faults.service import Service, succeeded, until
from tests.faults.trials import trials

# Its first step takes a second or more, so it always dies before there is a checkpoint.
DEADLY = {"model": "wide", "layers": "relu5_1=100", "iterations": 5, "image_size": 768}
NEXT = {"model": "thin", "layers": "relu2_1=100", "iterations": 3, "image_size": 64}


@trials(few=1)
def test_a_job_that_kills_its_worker_stops_at_three_and_the_next_one_runs(
    hasty: Service, picture: Path, figures: Callable[[str], Figures]
) -> None:
    """It takes no more than three workers with it; those behind it are served."""
    seen = figures("7 a job that kills its worker (hasty)")
    hasty.settled()
    deadly = hasty.post(picture, **DEADLY)
    after = hasty.post(picture, **NEXT)

    for attempt in (1, 2, 3):
        until(lambda now=attempt: hasty.job(deadly).attempt == now, f"attempt {attempt}")
        holder = next(one for one in hasty.pids("worker"))
        with suppress(ProcessLookupError):
            os.kill(holder, signal.SIGKILL)
    job, following = hasty.ended(deadly), hasty.ended(after)

    assert job.status is Status.FAILED
    assert job.problem is not None
    assert job.problem.code == "poison"
    assert job.attempt == 3
    succeeded(following)
    hasty.check(seen)
