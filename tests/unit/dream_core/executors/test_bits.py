import pytest
import torch
from torch import Tensor
from torch.nn import functional

from dream_core.executors import bits

SIZES = [(6, 8), (7, 9), (5, 8), (1, 3)]
DTYPES = [torch.float64, torch.float32, torch.bfloat16]


def features(height: int, width: int, channels: int, dtype: torch.dtype) -> Tensor:
    """Return few different values, so that windows are full of equals; some are zero."""
    generator = torch.Generator().manual_seed(height * width * channels)
    drawn = torch.randint(-2, 3, (1, channels, height, width), generator=generator).to(dtype)
    return drawn.contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("channels", [1, 8, 13])
def test_a_bit_is_all_that_is_kept_of_a_truth(channels: int) -> None:
    """Channel c is bit c % 8 of byte c // 8, as the native kernel has it; what hangs over is 0."""
    truths = bits.positions(features(5, 7, channels, torch.float32)) > 0

    packed = bits.pack(truths)

    assert packed.shape == (5, 7, -(-channels // 8))
    assert packed.dtype == torch.uint8
    for channel in range(channels):
        there = (packed[..., channel // 8] >> channel % 8) & 1
        assert torch.equal(there.bool(), truths[..., channel])
    assert torch.equal(bits.unpack(packed, channels), truths)


@pytest.mark.parametrize("dtype", DTYPES)
def test_what_was_above_zero_is_kept_and_nothing_else(dtype: torch.dtype) -> None:
    """A ReLU's way back; zero itself, of either sign, has none."""
    seen = features(5, 7, 13, dtype)
    seen[seen == 2] = -0.0
    gradient = torch.full_like(seen, 3)

    kept = bits.keep(gradient, bits.positive(seen))

    assert torch.equal(kept, gradient * (seen > 0))
    assert gradient.eq(3).all()


@pytest.mark.parametrize("rounds_up", [True, False])
@pytest.mark.parametrize("channels", [3, 8])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_pools_bits_lead_back_as_its_indices_do(
    dtype: torch.dtype, size: tuple[int, int], channels: int, rounds_up: bool
) -> None:
    """Of equals the first in reading order; odd sides pooled or left out; to the last bit."""
    if min(size) < 2 and not rounds_up:
        size = (2, 3)
    seen = features(*size, channels, dtype).requires_grad_()
    pooled = functional.max_pool2d(seen, 2, ceil_mode=rounds_up)
    gradient = features(*pooled.shape[2:], channels, dtype) + 7
    (expected,) = torch.autograd.grad(pooled, seen, gradient)

    chosen = bits.chosen(seen.detach(), pooled.detach())

    assert chosen.shape == (*size, -(-channels // 8))
    assert torch.equal(bits.spread(gradient, chosen), expected)
