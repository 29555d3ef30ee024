"""Fault 10: the kernel kills a worker that takes more memory than there is."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.faults.confined import Group, group
from tests.faults.figures import Figures
from tests.faults.service import Service, serving, succeeded, until
from tests.faults.trials import trials

SHORT = {"model": "thin", "layers": "relu3_1=100", "iterations": 3, "image_size": 300}
LARGE = {"model": "wide", "layers": "relu5_1=100", "iterations": 3, "image_size": 1024}
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
def test_a_dream_that_the_kernel_kills_goes_on_in_a_smaller_form(
    confined: tuple[Service, Group], picture: Path, figures: Callable[[str], Figures]
) -> None:
    """No exception, no word, only a worker that is gone: the record says what it was about to take.

    Left to `make faults`, on a machine where we are root: who isn't can make no control group.
    """
    service, memory = confined
    seen = figures("10 killed by the kernel for want of memory (hasty)")
    succeeded(service.ended(service.post(picture, **SHORT)))
    large = service.post(picture, **LARGE)
    until(lambda: service.job(large).run, "the large dream to begin")
    memory.leave(LEFT_BYTES)

    job, following = service.ended(large), service.ended(service.post(picture, **SHORT))

    assert memory.killed() == job.attempt - 1 == 1
    succeeded(job)
    assert job.run is not None
    assert job.run.plan["parts"] != "whole"
    service.told(large, "out-of-memory", 2)
    succeeded(following)
    service.check(seen)
