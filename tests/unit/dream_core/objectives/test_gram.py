import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from dream_core.objectives import BY_KERNEL, BY_TORCH, GramDose, correlate


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


@pytest.mark.parametrize("far", [torch.float64, torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("near", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("cut", [(), (slice(2, 7),), (slice(2, 7), slice(1, 4))], ids=len)
@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format], ids=str)
def test_what_came_from_deeper_layers_is_added_to(
    layout: torch.memory_format, cut: tuple[slice, ...], near: torch.dtype, far: torch.dtype
) -> None:
    """In place and in its own bits, be it all of a picture, whole rows of it or a piece."""
    features = uniform(5, 1, 6, 9, 8).to(near, memory_format=layout)[:, :, *cut]
    came = uniform(6, 1, 6, 9, 8).to(far, memory_format=layout)
    before = came.clone()
    dose = GramDose.capture(torch.zeros(6, 6), 1.0, features.numel())
    _, pull = dose.solve(dose.measure(features))

    found = pull(features, came[:, :, *cut])

    assert found.data_ptr() == came[:, :, *cut].data_ptr()
    expected = before.clone()
    expected[:, :, *cut] += pull(features.float())
    assert_close(came, expected, atol=2e-2 if torch.bfloat16 in (near, far) else 1e-6, rtol=1e-5)
    outside = torch.ones(9, 8, dtype=torch.bool)
    outside[cut] = False
    assert torch.equal(came[:, :, outside], before[:, :, outside])


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16], ids=str)
def test_the_kernel_and_torch_correlate_alike(dtype: torch.dtype) -> None:
    """Where the kernel has no form for features, torch sums them."""
    features = uniform(9, 1, 40, 31, 17, dtype=torch.float64).to(dtype)

    for laid in (features, features.contiguous(memory_format=torch.channels_last)):
        assert_close(BY_KERNEL.correlate(laid), correlate(laid), rtol=1e-5, atol=0)


@pytest.mark.parametrize("far", [torch.float64, torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("near", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("cut", [(), (slice(2, 7),), (slice(2, 7), slice(1, 4))], ids=len)
def test_the_kernel_and_torch_pull_alike(
    cut: tuple[slice, ...], near: torch.dtype, far: torch.dtype
) -> None:
    """Anew, over the features and onto what is there; torch does what the kernel doesn't read."""
    laid = torch.channels_last
    features = uniform(5, 1, 40, 9, 8).to(near, memory_format=laid)[:, :, *cut]
    came = uniform(6, 1, 40, 9, 8).to(far, memory_format=laid)[:, :, *cut]
    weights = correlate(uniform(7, 1, 40, 3, 3)) / 90

    expected = BY_TORCH.pull(features.double(), weights.double(), None, False)
    anew = BY_KERNEL.pull(features, weights, None, False)
    onto = BY_KERNEL.pull(features, weights, came.clone(memory_format=laid), False)
    over = BY_KERNEL.pull(features.clone(memory_format=laid), weights, None, True)

    assert anew.dtype == over.dtype == near
    assert onto.dtype == far
    rough = 2e-2 if torch.bfloat16 in (near, far) else 1e-5
    assert_close(anew.double(), expected, atol=rough, rtol=rough)
    assert_close(over, anew, atol=rough, rtol=rough)
    assert_close(onto.double(), expected + came, atol=rough, rtol=rough)


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
