"""A dream on a CUDA device: run by nobody yet, see docs/reference/gpu.md."""

import logging
from typing import Any

import pytest
import torch
from torch import Tensor

from dream_core.dream import Dream
from dream_core.executors import Plan, Way
from dream_core.networks import load_network
from dream_core.spec import DreamSpec
from tests.thin import random_picture, random_weights, thin_model

GPU = torch.device("cuda:0")
SOURCE = random_picture(1, 96, 128)
WAYS = [
    Way("autograd", "exact"),
    *(Way("direct", precision) for precision in ("exact", "balanced", "fast")),
]
MANY = {"conv1_2": -5.0, "relu2_1": 50.0, "relu4_1": 1000.0, "pool4": 0.0}


def dream(way: Way, device: torch.device = GPU, **fields: Any) -> Dream:
    """Start a dream of a thin VGG-19."""
    model = thin_model()
    network = load_network(model, random_weights(model, 19), pooling="max", device=device)
    spec = DreamSpec(**{"layers": MANY, "image_size": 128, "iterations": 20, **fields})
    return Dream(SOURCE, spec, network=network, plan=Plan.make(device, torch.float32, way))


def at_once(started: Dream) -> Dream:
    """Let a dream wait for every iteration."""
    started._ahead = None
    return started


def after(started: Dream, iterations: int) -> Tensor:
    """Return the picture that many iterations later."""
    for _ in range(iterations):
        started.step()
    return started.picture()


@pytest.mark.parametrize("way", WAYS, ids=str)
def test_a_captured_graph_has_the_bits_of_one_operation_after_the_other(
    way: Way, caplog: pytest.LogCaptureFixture
) -> None:
    """And it was captured: the log gives no reason why not."""
    caplog.set_level(logging.WARNING)

    captured, waiting = dream(way), at_once(dream(way))

    assert torch.equal(after(captured, 12), after(waiting, 12))
    assert caplog.records == []


@pytest.mark.parametrize("way", WAYS, ids=str)
def test_a_dream_goes_on_to_the_bit_on_a_gpu(way: Way) -> None:
    """Saved, loaded into a dream made anew, and undisturbed."""
    undisturbed, killed, resumed = (dream(way) for _ in range(3))
    after(killed, 5)

    resumed.load_state_dict(killed.state_dict())

    assert torch.equal(after(resumed, 6), after(undisturbed, 11))


@pytest.mark.parametrize("way", WAYS, ids=str)
def test_a_dose_of_one_moves_nothing_on_a_gpu(way: Way) -> None:
    """Exactly."""
    assert torch.equal(after(dream(way, layers={"relu5_1": 1.0}), 5), SOURCE)


@pytest.mark.parametrize("way", WAYS, ids=str)
def test_a_gradient_of_a_gpu_is_as_near_as_its_precision_says(way: Way) -> None:
    """Against float64 on the CPU; thin layers average less out than real ones."""
    limits = {"exact": 1e-3, "balanced": 0.1, "fast": 0.7}
    model = thin_model()
    sharp = load_network(model, random_weights(model, 19), pooling="max", dtype=torch.float64)
    spec = DreamSpec(layers={"relu3_1": 1000.0}, image_size=128, precision="exact")
    expected, _ = Dream(SOURCE, spec, network=sharp).gradient(SOURCE * 0.9)

    found, _ = dream(way, layers={"relu3_1": 1000.0}).gradient(SOURCE * 0.9)

    away = (found.cpu().double() - expected).norm() / expected.norm()
    assert float(away) < limits[way.precision]


def test_a_frame_arrives_while_the_dream_goes_on() -> None:
    """As it was when it was asked for."""
    started, other = dream(WAYS[-1]), dream(WAYS[-1])
    after(started, 3)

    wait = started.frame()
    after(started, 5)

    assert torch.equal(wait(), after(other, 3))
