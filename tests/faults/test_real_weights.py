"""Fault 1 with the real VGG-19: the promise as a user has it."""

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from dream_core.catalogue import default_model_dir
from tests.faults.figures import Figures
from tests.faults.service import pass_s, serving, succeeded
from tests.faults.test_worker_killed import PROMISED_S
from tests.faults.trials import MANY

DREAM = {"model": "vgg19", "layers": "relu5_1=1000", "iterations": 24, "image_size": 160}


@pytest.mark.weights
@pytest.mark.timeout(1800)
def test_a_real_dream_outlives_its_worker_bit_by_bit(
    picture: Path,
    tmp_path: Path,
    figures: Callable[[str], Figures],
    moment: random.Random,
    compare: Callable[..., None],
) -> None:
    """VGG-19, everything as delivered, kill -9 in mid-iteration."""
    seen = figures("1 kill -9 the worker, real VGG-19")
    with serving(tmp_path / "data", default_model_dir(), preload="vgg19") as service:
        for _ in range(20 if MANY else 1):
            job_id = service.post(picture, **DREAM)
            service.at(job_id, moment.randrange(1, 20))
            pass_s(moment.uniform(0, 0.5))
            killed = service.kill("worker")
            seen.recovered(service.goes_on(job_id, killed))
            succeeded(service.ended(job_id))
            compare(service, job_id, seen, **DREAM)
        seen.trials += 19 if MANY else 0
        service.check(seen)
    assert (seen.slowest_s or 0) <= PROMISED_S
