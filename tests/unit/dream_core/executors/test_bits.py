import pytest
import torch
from torch import Tensor
from torch.nn import functional

from dream_core.executors import bits

SIZES = [(6, 8), (7, 9), (5, 8), (1, 3)]
DTYPES = [torch.float64, torch.float32, torch.bfloat16]
CHANNELS = [1, 8, 13]


@pytest.fixture(params=[1 << 21, 160], ids=["at once", "a few rows"])
def few(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work on all rows at once, and on few, of which the last are fewer."""
    monkeypatch.setattr(bits, "_AT_ONCE", request.param)


def features(height: int, width: int, channels: int, dtype: torch.dtype) -> Tensor:
    """Return few different values, so that windows are full of equals; some are zero."""
    generator = torch.Generator().manual_seed(height * width * channels)
    drawn = torch.randint(-2, 3, (1, channels, height, width), generator=generator).to(dtype)
    return drawn.contiguous(memory_format=torch.channels_last)


@pytest.mark.usefixtures("few")
@pytest.mark.parametrize("channels", CHANNELS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_what_was_above_zero_is_kept_and_nothing_else(dtype: torch.dtype, channels: int) -> None:
    """A ReLU there and back, a bit for each value; zero itself, of either sign, has no way back."""
    seen = features(5, 7, channels, dtype)
    seen[seen == 2] = -0.0
    seen[seen == 1] = 3e38
    out, gradient = torch.empty_like(seen), torch.full_like(seen, -3)
    before = seen.clone()

    words = bits.rectify(seen, out)
    kept = bits.keep(gradient.clone(), words)

    assert torch.equal(seen, before)
    assert torch.equal(out, seen.relu())
    assert torch.equal(bits.rectify(before), words)
    assert torch.equal(before, out)
    assert torch.equal(kept, gradient * (seen > 0))
    assert words.shape == (5, -(-7 * channels // 16))
    assert words.dtype == torch.int16


@pytest.mark.parametrize("dtype", DTYPES)
def test_what_is_no_number_is_not_rectified_away(dtype: torch.dtype) -> None:
    """Else a broken picture would pass for a whole one; NaN has both signs."""
    seen = torch.full((1, 3, 4, 4), -torch.inf, dtype=dtype)
    seen[..., :2, :2] = torch.nan
    seen[..., 2:, :2] = -torch.tensor(torch.nan, dtype=dtype)
    seen = seen.contiguous(memory_format=torch.channels_last)

    pooled, _ = bits.pool(seen, rounds_up=True, rectified=True)
    bits.rectify(seen)

    assert torch.equal(seen.isnan(), torch.tensor([True, True, False, False]).expand_as(seen))
    assert torch.equal(pooled.isnan(), torch.tensor([True, False]).expand_as(pooled))
    assert not seen[..., 2:].any()
    assert not pooled[..., 1:].any()


@pytest.mark.usefixtures("few")
@pytest.mark.parametrize("rectified", [True, False])
@pytest.mark.parametrize("rounds_up", [True, False])
@pytest.mark.parametrize("channels", CHANNELS)
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_pools_bits_lead_back_as_its_indices_do(
    dtype: torch.dtype, size: tuple[int, int], channels: int, rounds_up: bool, rectified: bool
) -> None:
    """Of equals the first in reading order; odd sides pooled or left out; to the last bit."""
    if min(size) < 2 and not rounds_up:
        size = (2, 3)
    seen = features(*size, channels, dtype).requires_grad_()
    expected = functional.max_pool2d(seen.relu() if rectified else seen, 2, ceil_mode=rounds_up)
    gradient = features(*expected.shape[2:], channels, dtype) + 7
    (far,) = torch.autograd.grad(expected, seen, gradient)
    before = gradient.clone()

    pooled, words = bits.pool(seen.detach(), rounds_up=rounds_up, rectified=rectified)
    found = bits.unpool(gradient, words, *size)

    assert torch.equal(pooled, expected)
    assert torch.equal(found, far)
    assert torch.equal(gradient, before)
    assert words.shape == (len(pooled[0, 0]), 4, -(-pooled.shape[3] * channels // 16))
