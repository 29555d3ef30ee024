"""What is measured of a GPU, and what memory a dream takes there. Run by nobody yet."""

import gc

import pytest
import torch

from dream_core import rates
from dream_core.dream import Dream
from dream_core.executors import Plan, Probe, Way
from dream_core.executors.building import ways_here
from dream_core.spec import DreamSpec
from tests.thin import random_picture

GPU = torch.device("cuda:0")
SIZE = (384, 512)
SPEC = DreamSpec(layers={"relu5_1": 1000.0}, image_size=512, iterations=10_000)


def started(way: Way) -> Dream:
    """Start a dream of a VGG-19 of full width."""
    plan = Plan.make(GPU, torch.float32, way)
    return Dream(random_picture(1, *SIZE), SPEC, network=rates._network(GPU), plan=plan)


def test_each_way_of_a_gpu_is_looked_at_and_each_that_is_taken_is_rated() -> None:
    """In what time, and how well rates foretell a dream: `benchmarks.gpu` tells."""
    probe = Probe()

    paces, rated = probe.paces(GPU), probe.rates(GPU)

    assert list(paces.seconds) == list(ways_here(GPU))
    assert min(paces.seconds.values()) > 0
    assert [rate.way for rate in rated.values()] == [probe.way(GPU, word) for word in rated]


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
