"""A dream on a CUDA device: run by nobody yet, see docs/reference/gpu.md."""

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor

from dream_core.dream import Dream
from dream_core.executors import Executor, ExecutorTape, Plan, Way
from dream_core.model import Layer
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
HELD = {"content_weight": 3e3, "content_layers": ["relu2_1", "relu3_4"]}
ASKED = [{}, HELD, {**HELD, "normalize_gradients": True}]


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


@pytest.mark.parametrize("fields", ASKED, ids=["dosed", "content", "normalized"])
@pytest.mark.parametrize("way", WAYS, ids=str)
def test_a_captured_graph_has_the_bits_of_one_operation_after_the_other(
    way: Way, fields: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    """And it was captured: the log gives no reason why not."""
    caplog.set_level(logging.WARNING)

    captured, waiting = dream(way, **fields), at_once(dream(way, **fields))

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


@dataclass
class Wrapped:
    """An executor that does something to each look and to the way back from it."""

    inner: Executor
    look: Callable[[Tensor], None] = lambda _: None
    back: Callable[[Tensor, Tensor], Tensor] = lambda _, gradient: gradient
    lean: bool = False
    gives: torch.dtype | None = None

    def forward(
        self, picture: Tensor, layers: Sequence[Layer], asked: Collection[str], *equals: object
    ) -> tuple[dict[str, Tensor], ExecutorTape]:
        """Look."""
        self.look(picture)
        features, tape = self.inner.forward(picture, layers, asked, *equals)
        return features, WayBack(tape, picture, self.back)


@dataclass
class WayBack:
    """The way back from a look."""

    inner: ExecutorTape
    picture: Tensor
    back: Callable[[Tensor, Tensor], Tensor]

    def backward(self, gradients: Mapping[str, Any]) -> Tensor:
        """Return what becomes of the gradient."""
        return self.back(self.picture, self.inner.backward(gradients))


def wrapped(started: Dream, **does: Any) -> Dream:
    """Let a dream that hasn't been stepped yet look so."""
    executor = started.network.executor
    started.network.executor = Wrapped(executor, lean=executor.lean, gives=executor.gives, **does)
    started.load_state_dict(started.state_dict())  # or one that waits would look once less
    return started


AGAIN = "the gradient: not finite in 16 bit, done again in full precision"


@pytest.mark.parametrize("way", WAYS[2:], ids=str)
def test_an_iteration_that_runs_out_of_numbers_is_done_again_on_a_gpu(way: Way) -> None:
    """In full precision, and noted; those that were under way follow, to the bits of one by one."""
    seen: list[Tensor] = []
    after(wrapped(at_once(dream(way)), look=lambda picture: seen.append(picture.clone())), 3)

    def lose(picture: Tensor, gradient: Tensor) -> Tensor:
        return gradient.masked_fill((picture == seen[2]).all(), torch.inf)

    ahead, waiting = wrapped(dream(way), back=lose), wrapped(at_once(dream(way)), back=lose)
    heard, told = ([each.step() for _ in range(8)] for each in (ahead, waiting))

    assert torch.equal(ahead.picture(), waiting.picture())
    assert [step.losses for step in heard] == [step.losses for step in told]
    assert [step.note for step in heard if step.note] == [f"iteration 3: {AGAIN}"]
    assert [(step.iteration, step.note) for step in told if step.note] == [(3, AGAIN)]


def reading(picture: Tensor) -> None:
    """Ask a GPU for a number, which no capture allows."""
    picture.sum().item()


def test_a_capture_that_fails_is_in_nobodys_way(caplog: pytest.LogCaptureFixture) -> None:
    """The dream goes on operation by operation; caches can be emptied, and the next has a graph."""
    caplog.set_level(logging.WARNING)
    way = Way("direct", "exact")
    reads = wrapped(dream(way), look=reading)

    picture = after(reads, 4)
    said = [record.message for record in caplog.records]
    caplog.clear()
    torch.cuda.empty_cache()
    captured = after(dream(way), 4)

    assert len(said) == 1
    assert "no graph can be captured on cuda:0" in said[0]
    assert caplog.records == []
    assert torch.equal(picture, captured)


def test_all_memory_of_a_capture_that_failed_comes_back() -> None:
    """Not where torch itself keeps it as long as the process lives: 2.12 and 2.13 (#190348)."""
    way = Way("direct", "exact")
    after(dream(way), 2)
    torch.cuda.empty_cache()
    before = torch.cuda.memory_reserved(GPU)

    for _ in range(3):
        after(wrapped(dream(way), look=reading), 2)
    torch.cuda.empty_cache()

    assert torch.cuda.memory_reserved(GPU) <= before
