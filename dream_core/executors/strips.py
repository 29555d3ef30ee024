"""3 × 3 convolutions by torch in strips of rows, and what follows each while caches still hold it.

What a convolution makes before its pool, and what comes back from behind one, is four times what is
handed on; in strips neither ever lies in memory as a whole. Torch writes a strip in room of its own
and it is copied from there, so a chain may also write over what it reads: see `forms.over`.
"""

from collections.abc import Callable
from itertools import pairwise
from typing import Protocol

from torch import Tensor

from dream_core.executors import bits, rooms
from dream_core.executors.pools import average, unpool
from dream_core.forms.chain import Chain
from dream_core.forms.strips import STRIP

Strip = tuple[int, int]
"""From one row to before another."""

LINE = 4  # rows of a line of tiles, which no strip cuts; no window of a pool either


class Rows(Protocol):
    """A 3 × 3 convolution, or a way back through one, of a few rows."""

    def __call__(self, read: Tensor, strip: Strip, out: Tensor | None, /) -> Tensor:
        """Return the rows of a strip of what becomes of (1, C, H, W), zeros around it.

        They may be written to `out`, if it is given, which is what comes back then.
        """


def with_neighbours(run: Callable[[Tensor], Tensor]) -> Rows:
    """Return rows of a convolution that pads by itself: neighbours are convolved too, and go.

    Args:
        run: the convolution of (1, C, h, W), zeros around it.
    """
    rooms.let_the_heap_keep()

    def rows(read: Tensor, strip: Strip, _: Tensor | None) -> Tensor:
        (top, bottom), first = strip, max(strip[0] - 1, 0)
        return run(read[:, :, first : bottom + 1])[:, :, top - first : bottom - first]

    return rows


def forward(chain: Chain, rows: Rows, features: Tensor, out: Tensor) -> Tensor | None:
    """Write what comes out of a chain; return its bits, None where everything passes.

    Args:
        chain: a 3 × 3 convolution, and what follows.
        rows: the convolution, with its bias.
        features: (1, C, H, W), channels last.
        out: (1, K, h, w), channels last; it may lie a row or more beside the features.
    """
    pool = chain.pool
    height, width = features.shape[2:]
    alive = _room_for_bits(chain, (height, width), out)
    aside = pool is not None or _share_memory(features, out)
    for top, bottom in _strips(features, out, height, width):
        begin, end = (top // 2, -(-bottom // 2)) if pool else (top, bottom)
        to = out[:, :, begin:end]
        made = rows(features, (top, bottom), None if aside else to)
        if alive is not None and pool and pool.kind == "max_pool":
            rectified, words = chain.rectified, alive[begin:end]
            bits.pool(made, rounds_up=pool.rounds_up, rectified=rectified, out=to, words=words)
            continue
        if alive is not None:
            bits.rectify(made, made if pool else to, alive[top:bottom])
        if pool:
            to.copy_(average(made, pool))
        elif alive is None and made is not to:
            to.copy_(made)
    return alive


def backward(chain: Chain, rows: Rows, gradient: Tensor, alive: Tensor | None, out: Tensor) -> None:
    """Write d loss / d what a chain read, of d loss / d what came out, on which it may write.

    Args:
        chain: as for `forward`.
        rows: the way back through the convolution.
        gradient: (1, K, h, w), channels last.
        alive: what `forward` returned.
        out: (1, C, H, W), channels last; it may lie a row or more beside the gradient.
    """
    height, width = out.shape[2:]
    aside = _share_memory(gradient, out)
    for top, bottom in _strips(gradient, out, height, width):
        first, last = max(top - 1, 0), min(bottom + 1, height)
        given = _given(chain, gradient, alive, (first, last), (height, width))
        to = out[:, :, top:bottom]
        made = rows(given, (top - first, bottom - first), None if aside else to)
        if made is not to:
            to.copy_(made)


def _room_for_bits(chain: Chain, size: tuple[int, int], out: Tensor) -> Tensor | None:
    """Return room for what a chain keeps, whose convolution gives so many rows and columns."""
    channels, (height, width) = chain.first.channels, size
    if chain.pool and chain.pool.kind == "max_pool":
        return bits.new_words(out.shape[2], channels * out.shape[3], bits.PLACES)
    return bits.new_words(height, channels * width) if chain.rectified else None


def _given(
    chain: Chain, gradient: Tensor, alive: Tensor | None, strip: Strip, size: tuple[int, int]
) -> Tensor:
    """Return the rows of the gradient at a convolution's own output, which has `size`."""
    pool, (first, last), (height, width) = chain.pool, strip, size
    if pool is None:
        given = gradient[:, :, first:last]
    else:
        begin, end = first // 2, min(-(-last // 2), gradient.shape[2])
        high = (height if end == gradient.shape[2] else 2 * end) - 2 * begin
        words = None if alive is None or pool.kind != "max_pool" else alive[begin:end]
        whole = unpool(gradient[:, :, begin:end], pool, words, (high, width), scratch=True)
        given = whole[:, :, first - 2 * begin : last - 2 * begin]
    if alive is not None and not (pool and pool.kind == "max_pool"):
        bits.keep(given, alive[first:last])  # rows that two strips read stay as they are then
    return given


def _strips(read: Tensor, written: Tensor, height: int, width: int) -> list[Strip]:
    """Return strips in such an order that none is written over before all have read it."""
    few = max(1, STRIP // (width * max(read.shape[1], written.shape[1])))
    step = -(-height // -(-height // few) // LINE) * LINE
    tops = list(range(0, height, step))
    if len(tops) > 1 and height - tops[-1] == 1:  # of one row a pool may make nothing
        tops.pop()
    found = list(pairwise([*tops, height]))
    return found if written.data_ptr() < read.data_ptr() else found[::-1]


def _share_memory(one: Tensor, other: Tensor) -> bool:
    return one.untyped_storage().data_ptr() == other.untyped_storage().data_ptr()
