"""Fault 10: the kernel kills a worker that takes more memory than there is."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from jobs.record import Status
from tests.faults.confined import Group, group
from tests.faults.figures import Figures
from tests.faults.service import Service, serving, succeeded
from tests.faults.trials import trials

SHORT = {"model": "thin", "layers": "relu3_1=100", "iterations": 3, "image_size": 300}
LARGE = {"model": "wide", "layers": "relu5_1=100", "iterations": 3, "image_size": 1536}
LEFT_BYTES = 200 * 2**20


@pytest.fixture
def confined(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[Service, Group]]:
    """Give a service whose workers are in a control group, still without a limit."""
    with group() as made:
        monkeypatch.setenv("FAULTS_WORKERS_IN", str(made.folder))
        with serving(tmp_path / "data", models, hasty=True) as up:
            yield up, made


@pytest.mark.many
@trials(few=1)
def test_a_dream_that_the_kernel_kills_ends_at_three_and_names_the_memory(
    confined: tuple[Service, Group], picture: Path, figures: Callable[[str], Figures]
) -> None:
    """No exception, no word, only a worker that is gone: the record says what it was about to take.

    Left to `make faults`, on a machine where we are root: who isn't can make no control group.
    """
    service, memory = confined
    seen = figures("10 killed by the kernel for want of memory (hasty)")
    succeeded(service.ended(service.post(picture, **SHORT)))
    limit = memory.leave(LEFT_BYTES)

    large, after = service.post(picture, **LARGE), service.post(picture, **SHORT)
    job, following = service.ended(large), service.ended(after)

    assert memory.killed() == job.attempt == 3
    assert (job.status, job.problem and job.problem.code) == (Status.FAILED, "poison")
    assert job.problem is not None
    assert "wide at 1536 × 1024 needs about" in job.problem.detail
    assert job.run is not None
    assert job.run.free_bytes is not None
    assert job.run.free_bytes < limit
    succeeded(following)
    service.check(seen)
