import numpy as np
import pytest
import torch
from torch import Tensor

from dream_core.errors import NotFinite
from dream_core.optim import Adam, Look


def gradients(scale: float) -> list[Tensor]:
    """Return eight gradients of a size."""
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(3, 4, 5, generator=generator) * scale for _ in range(8)]


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("scale", [1e3, 1e-3, 1e-6])
def test_the_update_is_torch7s_on_the_scale_of_2015(scale: float, fused: bool) -> None:
    """ε before bias correction, on BGR × 256; torch's own Adam goes elsewhere.

    Its kernel doesn't, which a GPU runs: it is told that its own correction is long over.
    """
    picture = torch.full((3, 4, 5), 0.5)
    pulls = gradients(scale)
    coming = iter(pulls)
    adam = Adam(picture, learning_rate=10.0, fused=fused)

    for _ in pulls:
        adam.follow(picture, lambda _: Look({"a": 1.0}, next(coming)))

    x = np.full((3, 4, 5), 128.0)
    m, v = np.zeros_like(x), np.zeros_like(x)
    for t, pull in enumerate(pulls, start=1):
        g = pull.numpy().astype(np.float64) / 256
        m = 0.9 * m + 0.1 * g
        v = 0.999 * v + 0.001 * g * g
        step = 10 * np.sqrt(1 - 0.999**t) / (1 - 0.9**t)
        x -= step * m / (np.sqrt(v) + 1e-8)
    np.testing.assert_allclose(picture.numpy(), x / 256, rtol=2e-5, atol=1e-6)


def test_the_look_is_taken_before_the_move() -> None:
    """The losses of step t are those of frame t − 1."""
    picture = torch.full((3, 1, 1), 0.25)
    adam = Adam(picture, learning_rate=1.0)

    look = adam.follow(picture, lambda x: Look({"a": float(x.sum())}, torch.ones_like(x)))

    assert look.loss == 0.75
    assert float(picture.sum()) < 0.75


def test_a_picture_without_a_gradient_is_left_where_it_is() -> None:
    """And so are the moments: the state is still that of the last good iteration."""
    picture = torch.full((3, 2, 2), 0.25)
    adam = Adam(picture, learning_rate=1.0)

    def broken(_: Tensor) -> Look:
        raise NotFinite(["relu5_1"])

    with pytest.raises(NotFinite, match="relu5_1: not a finite number"):
        adam.follow(picture, broken)

    assert torch.equal(picture, torch.full((3, 2, 2), 0.25))
    assert adam.state_dict()["iteration"] == 0


@pytest.mark.parametrize("fused", [False, True])
def test_a_step_that_is_lost_moves_nothing(fused: bool) -> None:
    """Neither the picture nor the moments, whatever is in the gradient; nobody has to ask."""
    picture, (first, second, *_) = torch.full((3, 4, 5), 0.25), gradients(1.0)
    adam = Adam(picture, learning_rate=1.0, fused=fused)
    adam.follow(picture, lambda _: Look({"a": 1.0}, first))
    before, state = picture.clone(), adam.state_dict()

    adam.move(picture, second * torch.inf, lost=torch.ones(()))

    assert torch.equal(picture, before)
    assert all(torch.equal(adam.state_dict()[one], state[one]) for one in ("mean", "square"))
    adam.move(picture, second, lost=torch.zeros(()))
    assert not torch.equal(picture, before)
