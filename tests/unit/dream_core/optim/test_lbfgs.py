from itertools import pairwise
from math import inf

import pytest
import torch
from torch import Tensor

from dream_core.errors import NotFinite
from dream_core.optim import LBFGS, Look
from dream_core.optim.strong_wolfe import CURVATURE, DECREASE, Point, search


def valley(picture: Tensor) -> Look:
    """Rosenbrock's banana in pairs of pixels: curved, badly scaled, lowest (0) at all ones."""
    x = picture.detach().requires_grad_()
    left, right = x.flatten()[::2], x.flatten()[1::2]
    loss = (100 * (right - left**2) ** 2 + (1 - left) ** 2).sum()
    (gradient,) = torch.autograd.grad(loss, x)
    return Look({"valley": float(loss.detach())}, gradient)


def start() -> Tensor:
    """Return a picture far up the valley, every pixel elsewhere."""
    return torch.linspace(-1.4, -0.6, 12, dtype=torch.float64).view(3, 2, 2)


def test_it_goes_on_falling_to_the_bottom_of_a_curved_valley() -> None:
    """Every iteration is lower than the last: nothing ends it early."""
    picture = start()
    lbfgs = LBFGS(picture)

    losses = [lbfgs.follow(picture, valley).loss for _ in range(100)]

    assert all(later < earlier for earlier, later in pairwise(losses))
    assert valley(picture).loss < 1e-10


def test_the_look_is_taken_before_the_move_and_never_twice() -> None:
    """The search has already looked where it ends, so an iteration costs little more than one."""
    picture = start()
    lbfgs = LBFGS(picture)
    seen: list[Tensor] = []

    def counted(x: Tensor) -> Look:
        seen.append(x.clone())
        return valley(x)

    for _ in range(20):
        before = valley(picture).loss
        assert lbfgs.follow(picture, counted).loss == before

    assert len(seen) == len({tuple(x.flatten().tolist()) for x in seen})
    assert len(seen) < 40


def test_a_wall_without_numbers_is_a_step_too_far_and_no_end() -> None:
    """Where the loss overflows behind a wall, the search comes back; the picture stays finite."""
    picture = start()
    lbfgs = LBFGS(picture)
    hits = []

    def walled(x: Tensor) -> Look:
        if x.max() > -0.4:
            hits.append(1)
            raise NotFinite(["valley"])
        return valley(x)

    losses = [lbfgs.follow(picture, walled).loss for _ in range(15)]

    assert hits
    assert picture.isfinite().all()
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < losses[0]


def test_a_start_without_numbers_is_said() -> None:
    """There is nothing to come back to: the picture stays where it was."""
    picture = start()

    def broken(_: Tensor) -> Look:
        raise NotFinite(["valley"])

    with pytest.raises(NotFinite):
        LBFGS(picture).follow(picture, broken)

    assert torch.equal(picture, start())


def test_where_nothing_pulls_nothing_moves() -> None:
    """Dose 1: a gradient of zero has no direction, and is no reason to divide by zero."""
    picture = start()
    lbfgs = LBFGS(picture)

    for _ in range(3):
        lbfgs.follow(picture, lambda x: Look({"flat": 0.0}, torch.zeros_like(x)))

    assert torch.equal(picture, start())


def test_a_stale_estimate_is_forgotten_within_the_iteration() -> None:
    """Pairs that point uphill must not stop it: that is how L-BFGS "always stops early"."""
    picture = start()
    lbfgs = LBFGS(picture)
    for _ in range(5):
        lbfgs.follow(picture, valley)
    before = valley(picture).loss

    state = lbfgs.state_dict()
    state["products"] = [-product for product in state["products"]]
    lbfgs.load_state_dict(state)
    lbfgs.follow(picture, valley)

    assert valley(picture).loss < before


def test_an_interrupted_descent_has_the_same_bits() -> None:
    """The pairs and the last look are all that the next iteration depends on."""
    picture = start()
    lbfgs = LBFGS(picture)
    for _ in range(14):
        lbfgs.follow(picture, valley)
    other, resumed = picture.clone(), LBFGS(picture)
    resumed.load_state_dict(lbfgs.state_dict())

    for _ in range(6):
        lbfgs.follow(picture, valley)
        resumed.follow(other, valley)

    assert torch.equal(picture, other)


@pytest.mark.parametrize("first", [1e-4, 0.1, 1.0, 30.0])
def test_a_search_ends_where_both_conditions_hold(first: float) -> None:
    """Enough decrease and a flatter slope, however badly the first step is guessed."""

    def at(step: float) -> Point:
        loss = (step - 2) ** 4 - 3 * step
        look = Look({}, torch.zeros(1))
        return Point(step, loss, 4 * (step - 2) ** 3 - 3, look)

    origin = at(0.0)

    found = search(at, origin, first)

    assert found
    assert found.loss <= origin.loss + DECREASE * found.step * origin.slope
    assert abs(found.slope) <= -CURVATURE * origin.slope


def test_a_search_that_finds_only_walls_finds_nothing() -> None:
    """It ends, and says so."""
    found = search(
        lambda step: Point(step, inf, 0.0, None), Point(0, 1.0, -1.0, Look({}, torch.ones(1))), 1.0
    )

    assert found is None
