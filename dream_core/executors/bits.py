"""What the way back needs to know of a ReLU or a pool: one bit for each value that they stop.

Values are looked at as whole numbers of their own width, which order as the floats do where none is
negative, and which torch has vector code for, whatever the values are. All of it goes in place, a
few rows at a time, so that what one operator writes the next one finds in the cores' own caches.

Sixteen bits are a word, int16. A row of values is cut into sixteen parts of one length, the last
filled up; bit k of word j says whether value j of part k is stopped. Of a 2 × 2 max pool, a row of
windows has four rows of words, one for each place of a window: the one that passes isn't stopped.
"""

from collections.abc import Iterator, Sequence
from functools import cache, lru_cache
from math import inf, prod

import torch
from torch import Tensor
from torch.nn import functional

from dream_core.executors import rooms
from dream_core.executors.ties import Move

WORD = 16
PLACES = 4  # of a window
# A number as wide as a value.
WHOLE = {
    torch.float64: torch.int64,
    torch.float32: torch.int32,
    torch.bfloat16: torch.int16,
    torch.float16: torch.int16,
}
# Everything below -inf is a number below zero, everything above is none or is to be kept.
MINUS_INFINITY = {
    kind: int(torch.tensor(-inf, dtype=kind).view(whole)) for kind, whole in WHOLE.items()
}
# Bytes of values that are worked on at once on a CPU. Half and twice of it are slower.
_AT_ONCE = 1 << 21


def new_words(rows: int, length: int, *each: int, device: str | torch.device = "cpu") -> Tensor:
    """Return room for the words of rows of so many values, so many rows of them for each."""
    return torch.empty((rows, *each, -(-length // WORD)), dtype=torch.int16, device=device)


def rectify(features: Tensor, out: Tensor | None = None, words: Tensor | None = None) -> Tensor:
    """Write features, (1, C, H, W) channels-last, and zero where they are below.

    NaN stays, of either sign.

    Args:
        features: as they come.
        out: where to write, channels-last; over the features where None.
        words: room for what is returned, from `new_words`; a new one where None.

    Returns:
        Where they aren't above zero: words.
    """
    rows = _rows(features)
    truths, shares = _scratch(rows), _shares(rows)
    if words is None:
        words = new_words(*rows.shape, device=rows.device)
    for few, to, packed in _few(rows, rows if out is None else _rows(out), words):
        here = truths[: len(few)]
        torch.threshold(few, MINUS_INFINITY[features.dtype], 0, out=to)
        _let_through(shares.expand_as(to), to, 0, here[:, : few.shape[1]])
        _fold(here, packed)
    words.bitwise_not_()
    return words


def keep(gradient: Tensor, words: Tensor) -> Tensor:
    """Set a gradient, (1, C, H, W) channels-last, to zero where the bit is 1, in place."""
    rows = _rows(gradient)
    truths, powers = _scratch(rows), _powers(rows)
    for few, packed in _few(rows, words):
        here = _unfold(packed, powers, truths[: len(few)])[:, : few.shape[1]]
        _let_through(few, here, -1, few)
    return gradient


def pool(
    features: Tensor,
    *,
    rounds_up: bool,
    rectified: bool,
    out: Tensor | None = None,
    words: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Return what a 2 × 2 max pool makes of features, and where it found that: words.

    Of equals in a window the first in reading order, as torch has it.

    Args:
        features: (1, C, H, W), channels-last.
        rounds_up: whether windows hang over the edge of an odd side.
        rectified: whether a ReLU stands between: what isn't above zero comes from nowhere then.
        out: room for what is returned, channels-last; a new one where None.
        words: the same, from `new_words`.
    """
    whole = _positions(features)
    windows = _windows(whole if rectified else _ordered(whole), rounds_up=rounds_up)
    pooled = _empty(features, windows.shape[0], windows.shape[2]) if out is None else out
    rows = _rows(pooled)
    truths, shares = _scratch(rows, PLACES), _shares(rows)
    if words is None:
        words = new_words(*rows.shape, PLACES, device=rows.device)
    floor = MINUS_INFINITY[features.dtype] if rectified else None
    for few, seen, packed in _few(rows, windows, words, each=PLACES):
        here = truths[: len(few)]
        _choose(seen, few, here[..., : few.shape[1]], shares, floor)
        _fold(here, packed)
    _tell_apart(words)
    if not rectified:
        rows.copy_(_ordered(rows))
    return pooled, words


def let_first_pass(words: Tensor, moves: Sequence[Move], length: int) -> None:
    """Let pass, in windows that tie, the first of what is equal to what passed.

    Args:
        words: from `pool`; written.
        moves: of its windows.
        length: of a row of what was pooled, in values.
    """
    shares = _make_shares(torch.int16, length, words.device)
    step = max(1, _AT_ONCE // shares.nbytes)
    for place, before, where in moves:
        channels = length // where.shape[1]
        for few, packed in zip(torch.split(where, step), torch.split(words, step), strict=True):
            truths = few.repeat_interleave(channels, dim=1) * shares
            here = packed.new_empty(len(few), packed.shape[2])
            _fold(functional.pad(truths, (0, WORD * here.shape[1] - length)), here)
            here &= ~packed[:, place]  # those that passed
            packed[:, place] |= here
            packed[:, before] &= ~here


def unpool(
    gradient: Tensor, words: Tensor, height: int, width: int, *, scratch: bool = False
) -> Tensor:
    """Return a pool's gradient at what it read, (1, C, height, width), as its words say.

    `scratch`: it is used up at once, see `Rooms.features`.
    """
    rows = _rows(gradient)
    rounded = 2 * gradient.shape[2], 2 * gradient.shape[3]
    # Rounded up it hangs over the edge; rounded down nothing comes to the last row or column.
    size = max(height, rounded[0]), max(width, rounded[1])
    found = _empty(gradient, *size, scratch=scratch)
    if found.shape[2:] != rounded:
        found.zero_()
    windows = _windows(_positions(found)[: rounded[0], : rounded[1]], rounds_up=False)
    truths, powers = _scratch(rows, PLACES), _powers(rows)
    for few, back, packed in _few(rows, windows, words, each=PLACES):
        here = _unfold(packed, powers, truths[: len(few)])[..., : few.shape[1]]
        places = back.transpose(2, 3)  # (h, 2, 2, w, C)
        each = few.view(len(few), 1, 1, *places.shape[3:])
        _let_through(each, here.view(places.shape), -1, places)
    return found[:, :, :height, :width].contiguous(memory_format=torch.channels_last)


def _choose(
    windows: Tensor, pooled: Tensor, places: Tensor, shares: Tensor, floor: int | None
) -> None:
    """Pool rows of windows, (h, 2, w, 2, C), and write four truths of each.

    Args:
        windows: what is pooled.
        pooled: (h, w · C), written.
        places: (h, 4, w · C), written: right in the upper row, right in the lower, lower, alive.
        shares: (w · C,), what is written where one is true; else 0.
        floor: up to which a value is rectified, None where none is.
    """
    left, right = windows.select(3, 0), windows.select(3, 1)
    across = torch.maximum(left, right)
    places[:, :2].view(left.shape).copy_(left).ne_(across)
    upper, lower = across.view(len(pooled), 2, -1).unbind(1)
    torch.maximum(upper, lower, out=pooled)
    places[:, 2].copy_(upper).ne_(pooled)
    places[:, :3].mul_(shares)
    if floor is None:
        places[:, 3] = shares
    else:
        torch.threshold_(pooled, floor, 0)
        _let_through(shares.expand_as(pooled), pooled, 0, places[:, 3])


def _tell_apart(words: Tensor) -> None:
    """Turn the truths of `_choose`, (h, 4, n), into what stops at each place of a window."""
    right_above, right_below, below, alive = words.unbind(1)
    below &= alive
    alive ^= below  # above, from here on
    right_above &= alive
    right_below &= below
    each = torch.stack([alive ^ right_above, right_above, below ^ right_below, right_below], dim=1)
    torch.bitwise_not(each, out=words)


def _fold(truths: Tensor, words: Tensor) -> None:
    """Write truths, each a place's share or 0, (..., 16 · n), as words, (..., n)."""
    each = truths.view(*truths.shape[:-1], WORD, -1)
    if truths.dtype == words.dtype:
        torch.sum(each, -2, dtype=truths.dtype, out=words)
    else:
        words.copy_(torch.sum(each, -2, dtype=truths.dtype))


def _unfold(words: Tensor, powers: Tensor, signs: Tensor) -> Tensor:
    """Write words, (..., n), as numbers, (..., 16 · n), whose signs they are; return those."""
    each = signs.view(*signs.shape[:-1], WORD, -1)
    torch.mul(words.to(signs.dtype)[..., None, :], powers, out=each)
    return signs


def _let_through(values: Tensor, numbers: Tensor, above: int, out: Tensor) -> None:
    """Write values where numbers are above that, else zero."""
    torch.ops.aten.threshold_backward.grad_input(values, numbers, above, grad_input=out)


def _shares(rows: Tensor) -> Tensor:
    """Return what each value of a row adds to its word if it is told of: (row,)."""
    make = _shares_on_cpu if rows.device.type == "cpu" else _make_shares
    return make(rows.dtype, rows.shape[1], rows.device)


def _powers(rows: Tensor) -> Tensor:
    """Return by what a word is multiplied, (16, 1), to have one of its bits for a sign."""
    make = _powers_on_cpu if rows.device.type == "cpu" else _make_powers
    return make(rows.dtype, rows.device)


def _make_shares(dtype: torch.dtype, length: int, device: torch.device) -> Tensor:
    part = -(-length // WORD)
    return (1 << (torch.arange(length, device=device) // part)).to(dtype)


def _make_powers(dtype: torch.dtype, device: torch.device) -> Tensor:
    last = torch.iinfo(dtype).bits - 1
    return (1 << (last - torch.arange(WORD, device=device))).to(dtype).view(WORD, 1)


# Not on a GPU: what is made while a graph is captured belongs to that. A picture has few widths.
_shares_on_cpu = lru_cache(maxsize=8)(_make_shares)
_powers_on_cpu = cache(_make_powers)


def _few(rows: Tensor, *others: Tensor, each: int = 1) -> Iterator[tuple[Tensor, ...]]:
    """Cut rows and what goes with them: as many at a time as caches hold of `each`."""
    step = _at_once(rows, each)
    return zip(*(torch.split(tensor, step) for tensor in (rows, *others)), strict=True)


def _at_once(rows: Tensor, each: int) -> int:
    """Return how many rows are worked on at a time."""
    few = max(1, _AT_ONCE // (each * rows[0].nbytes)) if rows.device.type == "cpu" else len(rows)
    return min(few, len(rows))


def _scratch(rows: Tensor, *each: int) -> Tensor:
    """Return room for the truths of a few rows, so many rows for each, filled up to words."""
    length = rows.shape[1]
    room = rows.new_empty(_at_once(rows, prod(each)), *each, -(-length // WORD) * WORD)
    if length % WORD:
        room[..., length:].zero_()
    return room


def _positions(features: Tensor) -> Tensor:
    """Return (1, C, H, W) as (H, W, C), which is how channels-last lies in memory, whole."""
    return features[0].permute(1, 2, 0).view(WHOLE[features.dtype])


def _rows(features: Tensor) -> Tensor:
    """Return (1, C, H, W), channels-last, as (H, W · C), whole."""
    return _positions(features).view(features.shape[2], -1)


def _ordered(whole: Tensor) -> Tensor:
    """Return whole numbers in place of floats as numbers of the same order; and back."""
    places = torch.iinfo(whole.dtype).bits - 1
    return whole ^ ((whole >> places) & torch.iinfo(whole.dtype).max)


def _windows(positions: Tensor, *, rounds_up: bool) -> Tensor:
    """Return (H, W, C) as (h, 2, w, 2, C): row and column inside each 2 × 2 window."""
    height, width, channels = positions.shape
    if rounds_up and (height % 2 or width % 2):
        # What hangs over the edge is below all.
        below = torch.iinfo(positions.dtype).min
        positions = functional.pad(positions, (0, 0, 0, width % 2, 0, height % 2), value=below)
        height, width = positions.shape[:2]
    height, width = height // 2, width // 2
    return positions[: 2 * height, : 2 * width].view(height, 2, width, 2, channels)


def _empty(like: Tensor, height: int, width: int, *, scratch: bool = False) -> Tensor:
    if like.device.type == "cpu":
        return rooms.features(like.dtype, like.shape[1], height, width, scratch=scratch)
    shape = (1, like.shape[1], height, width)
    return torch.empty(
        shape, dtype=like.dtype, device=like.device, memory_format=torch.channels_last
    )
