"""Convolutions that write over what they read, a few rows away: in stripes, with the same bits."""

from itertools import product

import pytest
import torch
from torch import Tensor

from dream_core import native
from dream_core.native.stripes import stripes
from tests.emulated import every_path
from tests.unit.dream_core.native.test_convolution import POOLS, Pool, last, uniform

pytestmark = pytest.mark.skipif(not native.available(), reason=native.reason())

# Height, width, channels: tiles cut off, odd channels, and filters that no cache holds.
SHAPES = [(37, 19, 24), (45, 30, 64), (18, 7, 5), (29, 5, 512)]
AWAY = (5, 8, 9, 13)  # rows from what is read to what is written: stripes of 4, 4, 8 and 12
# Those, before or behind, threads; of many channels, which emulated take their time, two.
WAYS = list(product(AWAY, (True, False), (1, 2, 3)))
FEW_WAYS = [(5, True, 2), (9, False, 3)]


def one_over_the_other(read: Tensor, rows: int, *, before: bool) -> tuple[Tensor, Tensor]:
    """Return a copy and room for as much, so many rows before or behind it in one memory."""
    _, channels, height, width = read.shape
    memory = torch.full((height + rows, width, channels), torch.nan)
    first, second = (
        part.unsqueeze(0).permute(0, 3, 1, 2) for part in (memory[:height], memory[rows:])
    )
    copy, room = (second, first) if before else (first, second)
    return copy.copy_(read), room


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_written_over_what_is_read_the_bits_are_the_same_both_ways(
    operands: native.Operands, path: str, shape: tuple[int, int, int]
) -> None:
    """Up and down the rows, by masks and without, whatever is left for the last stripe."""
    height, width, channels = shape
    features, gradient = (uniform(seed, 1, channels, height, width) for seed in (1, 2))
    weight, bias = uniform(3, channels, channels, 3, 3).contiguous(), uniform(4, channels)
    for rows, before, threads in WAYS if channels < 512 else FEW_WAYS:
        how = {"threads": threads, "operands": operands, "path": path}
        alive, over = (native.new_alive(channels, height, width) for _ in range(2))
        expected = native.convolve(features, weight, bias, alive=alive, **how)
        copy, room = one_over_the_other(features, rows, before=before)

        found = native.convolve(copy, weight, bias, alive=over, out=room, **how)

        assert torch.equal(found, expected)
        assert torch.equal(over, alive)
        for mask in (alive, None):
            pulled = native.pull_back(gradient, weight, alive=mask, size=(height, width), **how)
            copy, room = one_over_the_other(gradient, rows, before=before)
            how_over = {**how, "alive": mask, "size": (height, width), "out": room}
            assert torch.equal(native.pull_back(copy, weight, **how_over), pulled)


@pytest.mark.parametrize("path", [path for _, path in every_path("bfloat16")], indirect=True)
def test_16_bit_is_written_over_16_bit(path: str) -> None:
    """Rows are half as long; their number is the same."""
    features = uniform(1, 1, 64, 45, 30).bfloat16()
    weight = uniform(2, 64, 64, 3, 3).contiguous()
    expected = native.convolve(features, weight, None, threads=2, operands="bfloat16", path=path)
    memory = torch.empty(54, 30, 64, dtype=torch.bfloat16)
    copy, room = (part.unsqueeze(0).permute(0, 3, 1, 2) for part in (memory[9:], memory[:45]))
    copy.copy_(features)

    found = native.convolve(copy, weight, None, out=room, threads=2, operands="bfloat16", path=path)

    assert torch.equal(found, expected)


def test_each_stripe_leaves_alone_what_is_still_to_be_read() -> None:
    """Every row once; none is written that this stripe or a later one reads, wherever it lies."""
    height, channels = 39, 8
    for rows, before in product(range(5, 2 * height), (True, False)):
        copy, room = one_over_the_other(torch.zeros(1, channels, height, 3), rows, before=before)
        shift = -rows if before else rows

        found = stripes(copy, room, height)

        assert sorted(row for top, bottom in found for row in range(top, bottom)) == list(
            range(height)
        )
        for index, (top, bottom) in enumerate(found):
            written = range(top + shift, bottom + shift)
            for first, stop in found[index:]:
                assert not set(written) & set(range(max(first - 1, 0), min(stop + 1, height)))


def test_apart_from_what_is_read_all_is_done_at_once() -> None:
    """Filters are transformed once; memory that only touches is no overlap."""
    memory = torch.zeros(20, 3, 8)
    first, second = (part.unsqueeze(0).permute(0, 3, 1, 2) for part in (memory[:10], memory[10:]))

    assert stripes(first, second, 10) == [(0, 10)]
    assert stripes(second, first, 10) == [(0, 10)]


def test_an_overlap_that_cannot_work_is_refused() -> None:
    """It would read its own results, silently."""
    features = last(torch.zeros(1, 16, 20, 8))
    weight = torch.zeros(16, 16, 3, 3)
    for rows in (0, 1, 4):
        copy, room = one_over_the_other(features, rows, before=True)
        with pytest.raises(ValueError, match="5 do"):
            native.convolve(copy, weight, None, out=room, threads=1)
        with pytest.raises(ValueError, match="5 do"):
            native.pull_back(room, weight, alive=None, size=(20, 8), out=copy, threads=1)
    half = copy.permute(0, 2, 3, 1).flatten()[: 10 * 4 * 16].view(1, 10, 4, 16)
    with pytest.raises(ValueError, match="another shape"):
        native.convolve(copy, weight, None, pool="max", out=half.permute(0, 3, 1, 2), threads=1)


@pytest.mark.parametrize(("pool", "rounds_up"), POOLS[1:])
def test_a_pool_beside_what_is_read_is_done_at_once(pool: Pool, rounds_up: bool) -> None:
    """All rows of the convolution, of which a pool leaves half."""
    features, weight = uniform(1, 1, 16, 21, 9), uniform(2, 16, 16, 3, 3).contiguous()
    how = {"pool": pool, "rounds_up": rounds_up, "threads": 1}
    expected = native.convolve(features, weight, None, **how)
    room = last(torch.full_like(expected, torch.nan))

    assert torch.equal(native.convolve(features, weight, None, out=room, **how), expected)
