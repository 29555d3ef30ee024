"""Rows to do at a time where a convolution writes over what it reads, a few rows away.

A call for rows [a, b) reads rows [a − 1, b + 1) and writes [a, b): shifted by so many rows and one
more, it meets none that it, or a call after it, has to read.
"""

from torch import Tensor

from dream_core.forms.over import TILE

Stripe = tuple[int, int]
"""From one row to before another."""


def stripes(read: Tensor, written: Tensor, height: int) -> list[Stripe]:
    """Return the rows of a convolution in the order in which they can be done.

    Args:
        read: (1, C, H, W), channels last.
        written: the same; of the same shape where both overlap.
        height: the convolution's, of which a pool leaves less.

    Raises:
        ValueError: they overlap in a way that leaves nothing to do first.
    """
    shift = written.data_ptr() - read.data_ptr()
    if shift >= read.nbytes or -shift >= written.nbytes:
        return [(0, height)]
    if read.shape != written.shape:
        raise ValueError("what is written overlaps what is read, and has another shape")
    rows = abs(shift) * height // read.nbytes
    step = (rows - 1) // TILE * TILE
    if step < TILE:
        raise ValueError(f"what is written overlaps what is read, {rows} rows away: {TILE + 1} do")
    found = [(top, min(top + step, height)) for top in range(0, height, step)]
    return found if shift < 0 else found[::-1]
