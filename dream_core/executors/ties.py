"""Values of a max pool's window that are equal: of these it is to choose the first.

In a flat part of a picture whole windows tie. Where rounding is another at every place of a tile,
as Winograd's is, any of a window's values may come out the largest by its last bit, and the
gradient goes elsewhere. So ties are found by what is seen, and not by what was computed: two
positions have the same features where their fields of view hold the same pixels. Not found is what
a pool before has made equal of fields that aren't: the same largest values in every channel.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from types import MappingProxyType

import torch
from torch import Tensor
from torch.nn import functional

from dream_core.model import PICTURE, Layer

Move = tuple[int, int, Tensor]
"""From which place of a window to which before it that is equal, and in which windows, (h, w) bool.
Places are counted in reading order. Moves are done one after the other, and end at the first."""
Ties = Mapping[str, Sequence[Move]]
"""By max pool; one without any is left out."""
Pair = tuple[int, int]
"""Down and across."""

NONE: Ties = MappingProxyType({})


def ties(picture: Tensor, layers: Sequence[Layer], but: Collection[str] = ()) -> Ties:
    """Return what ties in max pools.

    Args:
        picture: (C, H, W), on which the layers run.
        layers: in the order they run.
        but: pools among them that don't matter.
    """
    by_pool = {
        layer.name: list(_moves(picture, _before(layers[:number], layer.inputs[0]), layer))
        for number, layer in enumerate(layers)
        if layer.kind == "max_pool" and layer.name not in but
    }
    return {name: moves for name, moves in by_pool.items() if moves}


def _before(layers: Sequence[Layer], last: str) -> list[Layer]:
    """Return the layers that one needs, itself included, in their order."""
    needed = {last}
    for layer in reversed(layers):
        if layer.name in needed:
            needed.update(layer.inputs)
    return [layer for layer in layers if layer.name in needed]


def _moves(picture: Tensor, before: Sequence[Layer], pool: Layer) -> Iterator[Move]:
    """Go through the pairs of places in a window, from the last one's."""
    places = list(product(range(pool.kernel[0]), range(pool.kernel[1])))
    view = _view(before)
    equals: dict[Pair, Tensor | None] = {}
    for later in range(len(places) - 1, 0, -1):
        for first in range(later):
            shift = _times(pool.dilation, _less(places[later], places[first]))
            if shift not in equals:
                equals[shift] = _equals(picture, before, view, shift)
            if (equal := equals[shift]) is not None:
                where = _in_windows(equal, pool, places[first])
                if where.any():
                    yield later, first, where


@dataclass(frozen=True)
class View:
    """What each position of a layer sees of the picture, in pixels."""

    stride: Pair = (1, 1)
    """How far on the next one's is."""
    size: Pair = (1, 1)
    """A part of it without gaps, of which all is seen."""


def _view(before: Sequence[Layer]) -> View:
    """Return the view of the last layer; of branches the narrowest."""
    views = {PICTURE: View()}
    last = PICTURE
    for layer in before:
        last = layer.name
        seen = min((views[name] for name in layer.inputs), key=lambda view: view.size)
        if layer.kind in ("concatenate", "add", "relu", "local_response_norm"):
            views[last] = seen
            continue
        between, more = _times(seen.stride, layer.dilation), _less(layer.kernel, (1, 1))
        gapless = _times((between[0] <= seen.size[0], between[1] <= seen.size[1]), more)
        size = _plus(seen.size, _times(between, gapless))
        views[last] = View(_times(seen.stride, layer.stride), size)
    return views[last]


def _equals(picture: Tensor, before: Sequence[Layer], view: View, shift: Pair) -> Tensor | None:
    """Return which positions of the last layer are equal to those so far on; None where none is.

    (H, W) bool; whatever would lie outside is equal to nothing.
    """
    far = _times(view.stride, shift)
    # Every field of view holds one of these, and few pictures have any: the rest isn't looked at.
    every = (view.size[0] // 2 + 1, view.size[1] // 2 + 1)
    if not _same(picture[:1], far, every).any():
        return None
    known = {PICTURE: functional.pad(_same(picture, far), _around(far))}
    shifts = {PICTURE: far}
    for layer in before:
        shift = shifts[layer.inputs[0]]
        equal = known[layer.inputs[0]]
        if len(layer.inputs) > 1:
            high, wide = (min(known[name].shape[side] for name in layer.inputs) for side in (0, 1))
            for name in layer.inputs:
                equal = equal[:high, :wide] & known[name][:high, :wide]
            equal = _inside(equal, shift)
        elif layer.kind not in ("relu", "local_response_norm"):
            equal = _behind(equal, layer, shift)
            shift = (shift[0] // layer.stride[0], shift[1] // layer.stride[1])
        known[layer.name], shifts[layer.name] = equal, shift
        if not equal.any():
            return None
    return known[before[-1].name] if before else known[PICTURE]


def _same(picture: Tensor, shift: Pair, step: Pair = (1, 1)) -> Tensor:
    """Return where a picture is equal to itself so far on, of what lies in it, every so often."""
    (down, right), (height, width) = shift, picture.shape[1:]
    rows, columns = max(height - down, 0), max(width - abs(right), 0)
    left = max(-right, 0)
    beside = left + right
    here = picture[:, : rows : step[0], left : left + columns : step[1]]
    there = picture[:, down : down + rows : step[0], beside : beside + columns : step[1]]
    equal = here[0] == there[0]
    for one, other in zip(here[1:], there[1:], strict=True):
        equal &= one == other
    return equal


def _around(shift: Pair) -> list[int]:
    """Return how much `_same` leaves out on the left, right, top and bottom."""
    down, right = shift
    return [max(-right, 0), max(right, 0), 0, down]


def _behind(equal: Tensor, layer: Layer, shift: Pair) -> Tensor:
    """Return what is equal of what a layer makes, whose kernel sees only equals at both places.

    Args:
        equal: (H, W), of what it reads.
        layer: a convolution or a pool; it pads with what is all the same.
        shift: how far on, in what it reads: multiples of its stride.
    """
    size = layer.size_after(*equal.shape)
    steps, reach = _less(size, (1, 1)), _less(layer.kernel, (1, 1))
    top, left = layer.padding
    last = _plus(_times(steps, layer.stride), _times(layer.dilation, reach))
    bottom, right = _less(_less(last, layer.padding), (len(equal) - 1, equal.shape[1] - 1))
    edges = (left, right, top, bottom)  # below zero where nobody sees the last ones
    inside = functional.pad(torch.ones_like(equal), edges)
    seen = functional.pad(equal, edges) | ~(inside | _moved(inside, shift))
    found = torch.ones(size, dtype=torch.bool)
    for row, column in product(range(layer.kernel[0]), range(layer.kernel[1])):
        y, x = _times(layer.dilation, (row, column))
        found &= seen[y :: layer.stride[0], x :: layer.stride[1]][: size[0], : size[1]]
    return _inside(found, (shift[0] // layer.stride[0], shift[1] // layer.stride[1]))


def _moved(inside: Tensor, shift: Pair) -> Tensor:
    """Return what is so far on at each place; nothing where that is outside."""
    (down, right), (height, width) = shift, inside.shape
    moved = torch.zeros_like(inside)
    rows, columns, left = max(height - down, 0), max(width - abs(right), 0), max(-right, 0)
    moved[:rows, left : left + columns] = inside[down:, left + right :][:rows, :columns]
    return moved


def _inside(equal: Tensor, shift: Pair) -> Tensor:
    """Return what is equal to something that is there."""
    return equal & _moved(torch.ones_like(equal), shift)


def _in_windows(equal: Tensor, pool: Layer, place: Pair) -> Tensor:
    """Return for each window whether what is at a place of it is equal, (h, w)."""
    height, width = pool.size_after(*equal.shape)
    y, x = _less(_times(pool.dilation, place), pool.padding)
    rows = torch.arange(height) * pool.stride[0] + y
    columns = torch.arange(width) * pool.stride[1] + x
    there = ((rows >= 0) & (rows < len(equal)))[:, None] & (
        (columns >= 0) & (columns < equal.shape[1])
    )
    rows, columns = rows.clamp(0, len(equal) - 1), columns.clamp(0, equal.shape[1] - 1)
    return equal[rows[:, None], columns] & there


def _plus(one: Pair, other: Pair) -> Pair:
    return one[0] + other[0], one[1] + other[1]


def _times(one: Pair, other: Pair) -> Pair:
    return one[0] * other[0], one[1] * other[1]


def _less(one: Pair, other: Pair) -> Pair:
    return one[0] - other[0], one[1] - other[1]
