import torch
from torch.testing import assert_close

from dream_core.objectives import ContentHold


def test_the_pull_is_the_derivative_of_the_mean_square() -> None:
    """2 / N · (F − F₀), written out, against autograd in float64."""
    generator = torch.Generator().manual_seed(1)
    source, features = torch.rand(2, 1, 5, 3, 7, generator=generator, dtype=torch.float64)
    features.requires_grad_()
    hold = ContentHold(source)

    loss, pull = hold.solve(hold.measure(features))

    (expected,) = torch.autograd.grad((features - source).square().mean(), features)
    assert_close(loss, (features - source).square().mean())
    assert_close(pull(features.detach()), expected)


def test_the_source_is_held_by_nothing() -> None:
    """At the source itself, loss and pull are exactly zero."""
    source = torch.rand(1, 4, 6, 6, generator=torch.Generator().manual_seed(2))
    hold = ContentHold(source)

    loss, pull = hold.solve(hold.measure(source))

    assert float(loss) == 0
    assert not pull(source).any()


def test_it_says_that_it_cannot_be_asked_in_parts() -> None:
    """A part's features don't say where they lie; tiling must leave it whole."""
    assert not ContentHold.splits
