"""One bit for each value: whether the way back passes there.

Eight channels of a position are a byte, channel c its bit c % 8: (H, W, ceil(C / 8)) uint8, the
form that the native kernel writes too.
"""

import torch
from torch import Tensor
from torch.nn import functional

# A number as wide as a value, so that a mask is an `and`: comparing and masking whole numbers is
# what torch has vector code for, whatever the values are.
WHOLE = {
    torch.float64: torch.int64,
    torch.float32: torch.int32,
    torch.bfloat16: torch.int16,
    torch.float16: torch.int16,
}
# Eight bytes of 0 or 1, times this: the highest byte holds them as bits, the first lowest.
_GATHER = 0x0102040810204080
# A byte repeated eight times, and one bit of each: byte c is zero where bit c was.
_REPEAT = 0x0101010101010101
_EACH = 0x8040201008040201 - 2**64  # as torch's signed numbers write it


def positions(features: Tensor) -> Tensor:
    """Return (1, C, H, W) as (H, W, C), which is how channels-last lies in memory."""
    return features[0].permute(1, 2, 0)


def pack(chosen: Tensor) -> Tensor:
    """Return truths, (H, W, C) bool, as bits."""
    height, width, channels = chosen.shape
    whole = functional.pad(chosen, (0, -channels % 8)) if channels % 8 else chosen.contiguous()
    gathered = whole.view(torch.int64).mul(_GATHER)
    return gathered.view(torch.uint8)[..., 7::8].contiguous().view(height, width, -1)


def unpack(bits: Tensor, channels: int) -> Tensor:
    """Return bits as truths, (H, W, C) bool."""
    spread = bits.to(torch.int64).mul_(_REPEAT).bitwise_and_(_EACH)
    return spread.view(torch.uint8).ne_(0).view(torch.bool)[..., :channels]


def positive(features: Tensor) -> Tensor:
    """Return where features, (1, C, H, W), are above zero: bits."""
    # The sign of a float is the sign of the whole number in its place, and zero is zero.
    return pack(positions(features).view(WHOLE[features.dtype]) > 0)


def keep(gradient: Tensor, bits: Tensor) -> Tensor:
    """Return a gradient, (1, C, H, W) channels-last, with zero where the bit is 0."""
    whole = WHOLE[gradient.dtype]
    mask = unpack(bits, gradient.shape[1]).to(whole).neg_()
    torch.bitwise_and(mask, positions(gradient).view(whole), out=mask)
    return mask.view(gradient.dtype).permute(2, 0, 1).unsqueeze(0)


def chosen(features: Tensor, pooled: Tensor) -> Tensor:
    """Return where a 2 × 2 max pool found what it gave on: bits of the features.

    Of equals in a window the first in reading order, as torch has it.

    Args:
        features: what was pooled, (1, C, H, W) channels-last.
        pooled: what came out, its odd last row and column pooled too (rounded up) or left out.
    """
    height, width = features.shape[2:]
    rows, columns = pooled.shape[2:]
    # An odd side rounded up gets a row or column of NaN, which no pool gave on.
    hang = (0, max(2 * columns - width, 0), 0, max(2 * rows - height, 0))
    whole = functional.pad(features, hang, value=torch.nan) if any(hang) else features
    kind = WHOLE[features.dtype]
    windows = _windows(positions(whole).view(kind)[: 2 * rows, : 2 * columns])
    found = windows == positions(pooled).view(kind)[:, None, :, None]
    bits = pack(found.view(2 * rows, 2 * columns, -1))
    first = _windows(bits)
    taken = first[:, 0, :, 0].clone()
    for row, column in ((0, 1), (1, 0), (1, 1)):
        corner = first[:, row, :, column]
        corner &= ~taken
        taken |= corner
    return _fit(bits, height, width)


def spread(gradient: Tensor, bits: Tensor) -> Tensor:
    """Return a pool's gradient at the places that its bits name, zero elsewhere."""
    rows, columns = gradient.shape[2:]
    height, width, _ = bits.shape
    grid = _fit(bits, 2 * rows, 2 * columns)
    whole = WHOLE[gradient.dtype]
    mask = unpack(grid, gradient.shape[1]).to(whole).neg_()
    _windows(mask).bitwise_and_(positions(gradient).view(whole)[:, None, :, None])
    there = _fit(mask, height, width).view(gradient.dtype)
    return there.permute(2, 0, 1).unsqueeze(0)


def everywhere(bits: Tensor, height: int, width: int) -> Tensor:
    """Return a pool's bits, repeated at all that its windows saw of (height, width)."""
    repeated = bits[:, None, :, None].expand(-1, 2, -1, 2, -1).flatten(2, 3).flatten(0, 1)
    return _fit(repeated, height, width)


def _windows(grid: Tensor) -> Tensor:
    """Return (2h, 2w, n) as (h, 2, w, 2, n): row and column inside each 2 × 2 window."""
    height, width, depth = grid.shape
    return grid.view(height // 2, 2, width // 2, 2, depth)


def _fit(grid: Tensor, height: int, width: int) -> Tensor:
    """Cut (h, w, n) to (height, width, n), or fill it up with zeros."""
    if grid.shape[:2] == (height, width):
        return grid
    filled = functional.pad(grid, (0, 0, 0, width - grid.shape[1], 0, height - grid.shape[0]))
    return filled.contiguous()
