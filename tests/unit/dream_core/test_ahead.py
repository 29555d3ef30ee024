"""The loop of a GPU on the CPU, where its bits can be held to those of the loop that waits."""

import gc
import logging
import weakref
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import isfinite, isnan
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from dream_core.ahead import AHEAD, Ahead
from dream_core.dream import Dream, Step
from dream_core.errors import NotFinite
from dream_core.executors import Executor, ExecutorTape, Plan, Way
from dream_core.forms import Form
from dream_core.model import Layer
from dream_core.optim import Adam
from dream_core.spec import DreamSpec
from tests.thin import random_picture, thin_network

SOURCE = random_picture(1, 37, 50)
EXACT, FAST = Way("direct", "exact"), Way("direct", "fast")
MANY = {"conv1_2": -5.0, "relu2_1": 50.0, "relu4_1": 1000.0, "pool4": 0.0}
HELD = {"content_weight": 3e3, "content_layers": ["relu2_1", "relu3_4"]}


@dataclass
class Late:
    """A stream as a GPU's looks from here: it tries out what it captures, and tells when asked."""

    brought: int = 0
    waited_for: list[int] = field(default_factory=list)

    def capture(self, iterate: Callable[[], None]) -> Callable[[], None]:
        """Warm up, and run the same afterwards."""
        iterate()
        iterate()
        return iterate

    def bring(self, tensor: Tensor) -> Callable[[], Tensor]:
        """Copy; note which copy was waited for."""
        self.brought += 1
        number, copied = self.brought, tensor.to("cpu", copy=True)

        def wait() -> Tensor:
            self.waited_for.append(number)
            return copied

        return wait


def dream(stream: Late | None = None, *, way: Way = EXACT, **fields: Any) -> Dream:
    """Start a dream of a thin VGG-19, ahead where there is a stream."""
    spec = DreamSpec(**{"layers": {"relu4_1": 1000.0}, "image_size": 50, **fields})
    plan = Plan.make(torch.device("cpu"), torch.float32, way)
    return Dream(SOURCE, spec, network=thin_network(), plan=plan, stream=stream)


def steps(started: Dream, iterations: int) -> list[Step]:
    """Go on for that many iterations."""
    return [started.step() for _ in range(iterations)]


@pytest.mark.parametrize(
    "fields",
    [
        {"way": Way("autograd", "exact")},
        {"way": FAST},
        {"layers": MANY},
        {"layers": MANY, **HELD},
        {"layers": MANY, **HELD, "normalize_gradients": True},
        {"layers": MANY, "style_scale": 0.7},
    ],
    ids=["autograd", "fast", "many", "content", "normalized", "style_scale"],
)
def test_a_dream_that_runs_ahead_has_the_bits_of_one_that_waits(fields: dict[str, Any]) -> None:
    """Pixels, losses and what is saved: only the time at which one hears of them differs."""
    waiting, ahead = dream(**fields), dream(Late(), **fields)

    told, heard = steps(waiting, 7), steps(ahead, 7)

    assert heard == told
    assert torch.equal(ahead.picture(), waiting.picture())
    for one, other in zip(
        _tensors(ahead.state_dict()), _tensors(waiting.state_dict()), strict=True
    ):
        assert torch.equal(one, other)


def _tensors(state: Mapping[str, Any]) -> list[Tensor]:
    assert state["iteration"] == state["optimizer"]["iteration"] == 7
    return [state["picture"], state["optimizer"]["mean"], state["optimizer"]["square"]]


def test_a_dose_of_one_moves_nothing_ahead() -> None:
    """Exactly, as everywhere: nor does what is tried out for a capture."""
    started = dream(Late(), layers={"relu5_1": 1.0})

    heard = steps(started, 3)

    assert [step.losses for step in heard] == [{"relu5_1": 0.0}] * 3
    assert torch.equal(started.picture(), SOURCE)


def test_no_step_waits_for_one_of_the_last_two() -> None:
    """So the device always has one iteration more to do, and nobody is far ahead of it."""
    stream = Late()
    started = dream(stream, iterations=100)

    steps(started, 6)

    assert stream.brought == 6
    assert stream.waited_for == [1, 2, 3, 4]
    assert started.under_way == AHEAD == 2
    started.picture()
    assert started.under_way == dream().under_way == 0


def test_whoever_reads_losses_waits_for_them_and_nobody_else() -> None:
    """Each is waited for once, however often it is read, and for no other."""
    stream = Late()
    started = dream(stream, iterations=100)
    first, second = steps(started, 2)
    assert stream.waited_for == []

    assert dict(second.losses) == dict(second.losses)

    assert stream.waited_for == [2]
    assert first.losses == dream().step().losses
    assert stream.waited_for == [2, 1]
    started.step()
    assert stream.waited_for == [2, 1]


def test_the_last_step_has_waited_for_all() -> None:
    """What was to be said of any of them has been said by then."""
    stream = Late()

    steps(dream(stream, iterations=4), 4)

    assert stream.waited_for == [1, 2, 3, 4]


def test_a_frame_is_the_picture_as_it_was_asked_for() -> None:
    """Another thread may wait for it, while the dream goes on."""
    waiting, started = dream(), dream(Late(), iterations=100)
    steps(started, 3)

    wait = started.frame()
    steps(started, 3)

    steps(waiting, 3)
    assert torch.equal(wait(), waiting.picture())
    assert not torch.equal(wait(), started.picture())


@pytest.mark.parametrize("saved_by", ["ahead", "waiting"])
def test_a_dream_goes_on_ahead_from_what_either_loop_has_saved(saved_by: str) -> None:
    """And while others of its iterations are still under way: they are forgotten."""
    saving = dream(Late() if saved_by == "ahead" else None)
    steps(saving, 5)
    state = saving.state_dict()
    resumed, undisturbed = dream(Late()), dream()
    steps(resumed, 2)

    resumed.load_state_dict(state)

    steps(undisturbed, 5)
    assert resumed.iteration == 5
    assert steps(resumed, 4) == steps(undisturbed, 4)
    assert torch.equal(resumed.picture(), undisturbed.picture())


@dataclass
class Wall:
    """An executor whose gradient leaves the numbers at some pictures."""

    inner: Executor
    at: Collection[int]  # which of the pictures that it has seen, by the order they came in
    seen: list[Tensor] = field(default_factory=list)
    looks: int = 0
    lean = False
    gives = None

    def forward(
        self, picture: Tensor, layers: Sequence[Layer], asked: Collection[str], *equals: object
    ) -> tuple[dict[str, Tensor], ExecutorTape]:
        """Look, and make the way back lead nowhere where the wall is."""
        self.looks += 1
        features, tape = self.inner.forward(picture, layers, asked, *equals)
        known = [number for number, one in enumerate(self.seen) if torch.equal(one, picture)]
        if not known:
            self.seen.append(picture.clone())
        number = known[0] if known else len(self.seen) - 1
        return features, Nowhere(tape) if number in self.at else tape


@dataclass
class Nowhere:
    """A tape that ends in infinity."""

    inner: ExecutorTape

    def backward(self, gradients: Mapping[str, Tensor]) -> Tensor:
        """Return what no picture may follow."""
        return self.inner.backward(gradients) * torch.inf


def walled(started: Dream, at: Collection[int]) -> Dream:
    """Let a dream run out of numbers in some iterations, the first being 0."""
    started.network.executor = Wall(started.network.executor, at)
    started.load_state_dict(started.state_dict())  # it looks once more, now at the wall
    return started


def looks(started: Dream) -> int:
    """Return how often a walled dream has looked with fewer bits."""
    assert isinstance(started.network.executor, Wall)
    return started.network.executor.looks


AGAIN = "the gradient: not finite in 16 bit, done again in full precision"


@pytest.mark.parametrize("at", [{0}, {3}, {3, 4}, {8}, {3, 5, 8}], ids=str)
def test_a_step_that_runs_out_of_numbers_ahead_is_done_again(at: set[int]) -> None:
    """In full precision, and so are those that were under way: bits, losses and notes are the same.

    Which iteration it was is said by whichever step has heard of it.
    """
    waiting = walled(dream(way=FAST, iterations=9), at)
    ahead = walled(dream(Late(), way=FAST, iterations=9), at)

    told, heard = steps(waiting, 9), steps(ahead, 9)

    assert torch.equal(ahead.picture(), waiting.picture())
    assert [step.losses for step in heard] == [step.losses for step in told]
    assert [step.iteration for step in heard] == list(range(1, 10))
    notes = [note for step in heard for note in step.note.split("; ") if note]
    assert notes == [f"iteration {lost + 1}: {AGAIN}" for lost in sorted(at)]
    assert [step.iteration for step in told if step.note] == [lost + 1 for lost in sorted(at)]


def test_a_lost_step_takes_only_those_with_it_that_were_under_way() -> None:
    """Behind them the loop runs ahead again."""
    started = walled(dream(Late(), way=FAST, iterations=20), {3})

    steps(started, 20)

    tried_out, again = 2, 1 + AHEAD
    assert looks(started) == tried_out + 20 + again


def test_a_lost_step_is_forgotten_with_the_state_that_it_led_to() -> None:
    """Whoever loads another while it is under way goes on from that one."""
    started, undisturbed = walled(dream(Late()), {0}), walled(dream(), ())
    steps(undisturbed, 5)
    steps(started, 2)

    started.load_state_dict(undisturbed.state_dict())

    assert steps(started, 4) == steps(undisturbed, 4)
    assert torch.equal(started.picture(), undisturbed.picture())


def test_where_full_precision_has_no_numbers_either_the_picture_stays() -> None:
    """Where it had come to, whatever had been started behind it, and each time it is tried."""
    waiting, started = walled(dream(), {3}), walled(dream(Late()), {3})
    steps(waiting, 3)

    heard = steps(started, 5)
    with pytest.raises(NotFinite, match="the gradient: not a finite number"):
        started.step()

    assert started.iteration == 3
    assert torch.equal(started.picture(), waiting.picture())
    assert isfinite(heard[2].losses["relu4_1"])
    assert isnan(heard[3].losses["relu4_1"])
    assert isnan(heard[4].losses["relu4_1"])
    with pytest.raises(NotFinite):
        steps(started, 3)
    assert started.iteration == started.state_dict()["optimizer"]["iteration"] == 3
    assert torch.equal(started.picture(), waiting.picture())


@pytest.mark.parametrize("broken", ["loss", "gradient"])
def test_a_loss_that_is_not_finite_counts_as_a_gradient_does(broken: str) -> None:
    """Either is enough for the picture and Adam to stay, until somebody has seen to it."""
    picture, calls = torch.full((3, 4, 5), 0.5), []

    def look(_: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        calls.append(1)
        gone = torch.inf if len(calls) == 4 else 1.0  # two were tried out, one was fine
        loss, pull = (gone, 1.0) if broken == "loss" else (1.0, gone)
        return {"layer": torch.tensor(loss)}, torch.full_like(picture, pull)

    adam = Adam(picture, 10.0)
    ahead = Ahead(picture, adam, look, Late())
    fine, lost, behind = (ahead.start() for _ in range(3))
    before = picture.clone()

    again = ahead.settle()

    assert len(again) == 2
    assert again[0] is lost
    assert again[1] is behind
    assert fine == {"layer": 1.0}
    assert adam.iteration == 1
    ahead.start()
    assert ahead.settle() == []
    assert_close(before, torch.full((3, 4, 5), 0.5 - 10 / 256))
    assert not torch.equal(picture, before)


def test_a_frame_is_of_no_step_that_was_lost() -> None:
    """It waits for what is under way, and for what has to be done again."""
    waiting, ahead = walled(dream(way=FAST), {1}), walled(dream(Late(), way=FAST), {1})
    steps(waiting, 2)
    steps(ahead, 2)

    assert torch.equal(ahead.picture(), waiting.picture())
    assert ahead.step().note == f"iteration 2: {AGAIN}"


def test_a_dream_that_nobody_holds_is_gone_at_once() -> None:
    """And with it what it holds of a GPU: the next one is made before any collector comes by."""
    gc.disable()
    try:
        started = dream(Late())
        told = started.step()
        gone = weakref.ref(started)

        del started, told

        assert gone() is None
    finally:
        gc.enable()


@pytest.mark.parametrize("why", ["by L-BFGS", "in tiles"])
def test_what_decides_by_numbers_steps_at_once_and_says_so(
    why: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A line search, and a stop between parts."""
    caplog.set_level(logging.INFO, "dream_core.dream")
    spec = DreamSpec(
        layers={"relu2_1": 5.0}, image_size=50, optimizer="lbfgs" if "L" in why else "adam"
    )
    plan = Plan.make(torch.device("cpu"), torch.float32, EXACT)
    plan = plan.of_form(Form("tiles", 32)) if why == "in tiles" else plan
    stream = Late()
    started = Dream(SOURCE, spec, network=thin_network(), plan=plan, stream=stream)

    told = started.step()

    assert isinstance(told.losses, dict)
    assert stream.brought == 0
    assert f"a dream {why} steps at once" in caplog.text
    assert replace(told, losses={}).note == ""
