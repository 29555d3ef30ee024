"""What is measured of a GPU: by whom, in what time, and how true it is. Run by nobody yet."""

import gc
import time

import pytest
import torch

from dream_core import rates
from dream_core.costs import Costs
from dream_core.dream import Dream
from dream_core.executors import Plan, Probe, Way
from dream_core.executors.building import ways_here
from dream_core.spec import DreamSpec
from tests.thin import random_picture

GPU = torch.device("cuda:0")
SIZE = (384, 512)
SPEC = DreamSpec(layers={"relu5_1": 1000.0}, image_size=512, iterations=10_000)
# Twenty times what the clocks of both allow: what a GPU makes once is behind neither.
LONGEST_S = 60.0


@pytest.fixture(scope="module")
def probe() -> Probe:
    """One that has measured nothing yet."""
    return Probe()


def started(way: Way) -> Dream:
    """Start a dream of a VGG-19 of full width."""
    plan = Plan.make(GPU, torch.float32, way)
    return Dream(random_picture(1, *SIZE), SPEC, network=rates._network(GPU), plan=plan)


def test_the_probe_and_the_rates_of_a_gpu_end_in_their_time(probe: Probe) -> None:
    """Each way that can be had has been looked at, and each that is taken is rated."""
    began = time.perf_counter()

    paces, rated = probe.paces(GPU), probe.rates(GPU)

    assert time.perf_counter() - began < LONGEST_S
    assert list(paces.seconds) == list(ways_here(GPU))
    assert min(paces.seconds.values()) > 0
    assert [rate.way for rate in rated.values()] == [probe.way(GPU, word) for word in rated]


@pytest.mark.parametrize("precision", ["exact", "balanced", "fast"])
def test_rates_foretell_a_dream_on_a_gpu(probe: Probe, precision: str) -> None:
    """Before the first one has run: within a factor of two."""
    rate = probe.rates(GPU)[precision]  # type: ignore[index]
    dream = started(rate.way)
    foretold = Costs.of(dream.network.model, SPEC, SIZE, dream.plan.form).seconds(rate.costs)
    for _ in range(3):
        dream.step()
    dream.picture()

    began = time.perf_counter()
    for _ in range(50):
        dream.step()
    dream.picture()
    took = (time.perf_counter() - began) / 50

    assert took / 2 < foretold < took * 2


@pytest.mark.parametrize("executor", ["direct", "autograd"])
def test_an_exact_dream_takes_a_gigabyte_at_most(executor: str) -> None:
    """At 512 × 384: all that torch has taken of the GPU at once, the graph's own pool with it."""
    gc.collect()
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats(GPU)

    dream = started(Way(executor, "exact"))  # type: ignore[arg-type]
    for _ in range(5):
        dream.step()
    dream.picture()

    assert dream.plan.parts == "whole"
    assert torch.cuda.max_memory_reserved(GPU) <= 1e9
