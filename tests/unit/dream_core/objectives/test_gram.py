import torch
from torch import Tensor
from torch.testing import assert_close

from dream_core.objectives import GramDose, correlate


def uniform(seed: int, *shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """Return features between 0 and 1."""
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def test_parts_of_a_picture_add_up_to_the_pull_of_the_whole() -> None:
    """What exact tiles rest on: asked in parts, a dose pulls every position as if asked at once."""
    elements = 8 * 6 * 10
    features = uniform(7, 1, 8, 6, 10)
    source = correlate(uniform(8, 1, 8, 6, 10)) / elements
    dose = GramDose.capture(source, -5.0, elements)
    parts = features.split(7, dim=-1)

    _, pull = dose.solve(torch.stack([dose.measure(part) for part in parts]).sum(0))
    _, whole = dose.solve(dose.measure(features))

    assert_close(torch.cat([pull(part) for part in parts], dim=-1), whole(features))


def test_the_pull_is_the_derivative_of_the_loss() -> None:
    """4 / (C² · N) · (G − dose · G₀) F, written out, against autograd in float64."""
    features = uniform(1, 1, 5, 3, 7, dtype=torch.float64).requires_grad_()
    gram = correlate(uniform(2, 1, 5, 4, 4, dtype=torch.float64)) / 80
    dose = GramDose.capture(gram, 30.0, elements=105)

    loss, pull = dose.solve(dose.measure(features))

    (expected,) = torch.autograd.grad(loss, features)
    assert_close(pull(features.detach()), expected)


def test_a_dose_of_one_pulls_at_nothing() -> None:
    """Exactly: not one bit of the source's own features is asked to change."""
    features = uniform(3, 1, 8, 9, 11)
    elements = features.numel()
    dose = GramDose.capture(correlate(features) / elements, 1.0, elements)

    loss, pull = dose.solve(dose.measure(features))

    assert float(loss) == 0
    assert not pull(features).any()


def test_a_gram_matrix_stays_finite_under_half_precision() -> None:
    """A peer's bug: the sum passes 65,504 and one inf makes every pixel NaN. Autocast or not."""
    ones = torch.ones(1, 4, 300, 300, dtype=torch.float16)

    plain = correlate(ones)
    with torch.autocast("cpu", dtype=torch.float16):
        cast = correlate(ones)

    assert plain.dtype == cast.dtype == torch.float32
    assert plain.unique().tolist() == cast.unique().tolist() == [90_000.0]


def test_the_target_is_divided_by_the_source_and_the_gram_by_the_picture() -> None:
    """With style_scale the two differ in size; a texture repeated has the same Gram matrix."""
    tile = uniform(4, 1, 3, 4, 4)
    repeated = tile.repeat(1, 1, 2, 3)
    dose = GramDose.capture(correlate(tile) / tile.numel(), 1.0, repeated.numel())

    loss, _ = dose.solve(dose.measure(repeated))

    assert float(loss) < 1e-12
