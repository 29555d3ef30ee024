"""Winograd in torch's own operators: 3 × 3 convolutions on a CPU for which no kernel was built.

F(4 × 4, 3 × 3), as the native kernel has it: tiles of 6 × 6 values and filters become 36 points
each, and all channels are summed over at each point. That is a quarter of a convolution's products,
and they are products of matrices. To turn tiles into points is one too, by 36 × 36 numbers.

Source: Lavin and Gray 2015 (arXiv:1509.09308); at the kernel's points, 0, ±5/8, ±3/2 and ∞.
"""

from collections.abc import Iterator, Sequence
from functools import cache, partial

import torch
from torch import Tensor

from dream_core.executors import rooms
from dream_core.executors.strips import Rows, Strip
from dream_core.forms.strips import FEWEST_CHANNELS, POINTS, POINTS_AT_ONCE

VERSION = 2  # of the bits that come out, of strips too; a plan names it
TILE, REACH = 4, 6  # a tile gives 4 × 4 values and reads 6 × 6
TAPS = 3 * 3
# Measured (docs/log.md): below this, and below so few channels, a plain convolution is as fast.
FEWEST_TILES = 96
FILTERS_AT_ONCE = 1 << 13

_A, _B = 5 / 8, 3 / 2


def pays(read: Tensor, gives: int, size: tuple[int, int]) -> bool:
    """Whether a 3 × 3 layer, or its way back, is faster here.

    Args:
        read: its channels count, not its size, which a pool may have made smaller.
        gives: channels that come out.
        size: (height, width) that it works at.
    """
    if read.device.type != "cpu" or read.dtype.itemsize < 4:
        return False
    lines, across = _tiles(*size)
    return min(read.shape[1], gives) >= FEWEST_CHANNELS and lines * across >= FEWEST_TILES


def forth(weight: Tensor, bias: Tensor) -> Rows:
    """Return the convolution by (K, C, 3, 3)."""
    filters = _filters(weight, _filter_to_points(weight.dtype)).transpose(1, 2)
    return partial(_run, filters, bias)


def back(weight: Tensor) -> Rows:
    """Return the way back through it: from d loss / d what came of features to d loss / d them."""
    turned_round = _filter_to_points(weight.dtype).flip(1)
    return partial(_run, _filters(weight, turned_round), weight.new_zeros(weight.shape[1]))


def _run(filters: Tensor, bias: Tensor, read: Tensor, strip: Strip, out: Tensor | None) -> Tensor:
    """Convolve rows of (1, C, H, W) by filters that are points already, (36, C, K)."""
    _, inputs, outputs = filters.shape
    (top, bottom), width = strip, read.shape[3]
    if out is None:
        out = read.new_empty(1, bottom - top, width, outputs).permute(0, 3, 1, 2)
    lines, across = _tiles(bottom - top, width)
    windows = _windows(read, top, lines)
    most = max(1, POINTS_AT_ONCE // (POINTS * across * max(inputs, outputs)))
    step = -(-lines // -(-lines // most))
    of_points, of_sums = (_room(read.dtype, step * across * POINTS, n) for n in (inputs, outputs))
    for first in range(0, lines, step):
        few = min(step, lines - first)
        points = of_points[: few * across * POINTS].view(POINTS, few, across * inputs)
        sums = of_sums[: few * across * POINTS].view(POINTS, few, across * outputs)
        for line in range(few):
            torch.mm(_to_points(read.dtype), next(windows), out=points[:, line])
        torch.bmm(points.view(POINTS, -1, inputs), filters, out=sums.view(POINTS, -1, outputs))
        for line in range(few):
            values = _from_points(read.dtype) @ sums[:, line]
            _write(values, bias, out[0].permute(1, 2, 0)[TILE * (first + line) :])
    return out


def _tiles(height: int, width: int) -> tuple[int, int]:
    """Return how many lines of tiles cover so many rows, and how many tiles a line has."""
    return -(-height // TILE), -(-width // TILE)


def _windows(read: Tensor, top: int, lines: int) -> Iterator[Tensor]:
    """Go through lines of tiles: what each reads, (36, tiles · C), zeros beyond the edges."""
    _, across = _tiles(*read.shape[2:])
    positions = read[0].permute(1, 2, 0)
    height, width, channels = positions.shape
    rows = read.new_zeros(REACH, TILE * across + 2, channels)
    down, right, _ = rows.stride()
    seen = rows.as_strided((REACH, REACH, across, channels), (down, right, TILE * right, 1))
    found = read.new_empty(seen.shape)
    for line in range(lines):
        above = top + TILE * line - 1
        first, last = max(above, 0), min(above + REACH, height)
        rows[first - above : last - above, 1 : width + 1] = positions[first:last]
        rows[last - above :].zero_()
        yield found.copy_(seen).view(POINTS, -1)


def _write(values: Tensor, bias: Tensor, out: Tensor) -> None:
    """Write a line of tiles, (16, tiles · K), to the first rows of (h, W, K)."""
    rows = out[:TILE]
    tiles, rest = divmod(rows.shape[1], TILE)
    found = values.view(TILE, TILE, -1, len(bias)).permute(0, 2, 1, 3)[: len(rows)]
    torch.add(
        found[:, :tiles], bias, out=torch.unflatten(rows[:, : TILE * tiles], 1, (tiles, TILE))
    )
    if rest:
        torch.add(found[:, tiles, :rest], bias, out=rows[:, TILE * tiles :])


def _filters(weight: Tensor, matrix: Tensor) -> Tensor:
    """Return (K, C, 3, 3) as points, (36, K, C), by a matrix of 36 × 9; some at a time."""
    taps = weight.reshape(-1, TAPS).T
    points = _room(weight.dtype, POINTS, taps.shape[1])
    pieces = (torch.split(each, FILTERS_AT_ONCE, dim=1) for each in (taps, points))
    for few, found in zip(*pieces, strict=True):
        torch.mm(matrix, few, out=found)
    return points.view(POINTS, *weight.shape[:2])


def _room(dtype: torch.dtype, rows: int, columns: int) -> Tensor:
    return rooms.features(dtype, columns, rows, 1, scratch=True)[0, :, :, 0].T


@cache
def _to_points(dtype: torch.dtype) -> Tensor:
    """Return what turns 6 × 6 values into their points, (36, 36)."""
    a, b = _A**2, _B**2
    line: list[list[float]] = [
        [a * b, 0, -a - b, 0, 1, 0],
        [0, -_A * b, -b, _A, 1, 0],
        [0, _A * b, -b, -_A, 1, 0],
        [0, -_B * a, -a, _B, 1, 0],
        [0, _B * a, -a, -_B, 1, 0],
        [0, a * b, 0, -a - b, 0, 1],
    ]
    return _both_ways(line, dtype)


@cache
def _filter_to_points(dtype: torch.dtype) -> Tensor:
    """Return what turns 3 × 3 weights into their points, (36, 9)."""
    a, b = _A**2, _B**2
    at_a, at_b = 1 / (2 * a * (a - b)), 1 / (2 * b * (b - a))
    line: list[list[float]] = [
        [1 / (a * b), 0, 0],
        [at_a, at_a * _A, at_a * a],
        [at_a, -at_a * _A, at_a * a],
        [at_b, at_b * _B, at_b * b],
        [at_b, -at_b * _B, at_b * b],
        [0, 0, 1],
    ]
    return _both_ways(line, dtype)


@cache
def _from_points(dtype: torch.dtype) -> Tensor:
    """Return what turns points into 4 × 4 values, (16, 36)."""
    at = (0, _A, -_A, _B, -_B)
    line = [[*(point**power for point in at), float(power == TILE - 1)] for power in range(TILE)]
    return _both_ways(line, dtype)


def _both_ways(line: Sequence[Sequence[float]], dtype: torch.dtype) -> Tensor:
    """Return what turns a square, row by row, from what turns a line."""
    matrix = torch.tensor(line, dtype=torch.float64)
    return torch.kron(matrix, matrix).to(dtype)
