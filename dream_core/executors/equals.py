"""Neighbours that see the same, where a max pool is to choose the first of them.

In a flat part of a picture whole windows of a max pool tie. Where rounding is another at every
place of a tile, as Winograd's is, any of a window's values may come out the largest by its last
bit, and the gradient goes elsewhere. So it is settled by what they see and not by what they are:
two positions have equal features where their fields of view hold equal pixels.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from types import MappingProxyType
from typing import Self

import torch
from torch import Tensor
from torch.nn import functional

from dream_core.forms.chain import halves
from dream_core.model import PICTURE, Layer


@dataclass(frozen=True)
class Equals:
    """Of a layer's positions, (H, W): which are surely equal to their neighbours, in all channels.

    Where nothing is known of two, as across the edge of the picture, they count as different.
    """

    across: Tensor
    """(H, W - 1) bool: to the right neighbour."""
    down: Tensor
    """(H - 1, W) bool: to the lower one."""

    @classmethod
    def of(cls, picture: Tensor) -> Self:
        """Look at a picture itself, (C, H, W)."""
        first, *others = picture
        across, down = first[:, 1:] == first[:, :-1], first[1:] == first[:-1]
        for plane in others:
            across &= plane[:, 1:] == plane[:, :-1]
            down &= plane[1:] == plane[:-1]
        return cls(across, down)

    def __bool__(self) -> bool:
        """Whether there are any."""
        return bool(self.across.any() or self.down.any())

    @property
    def size(self) -> tuple[int, int]:
        """Height and width, in positions."""
        return len(self.across), self.down.shape[1]

    def behind(self, layer: Layer) -> "Equals":
        """Return those of what a layer makes of these, whose neighbours both see only equals."""
        if layer.kind in ("relu", "local_response_norm"):
            return self
        across = _seen_equal(self.across.T, layer, self.size[::-1], turned=True).T
        return Equals(across, _seen_equal(self.down, layer, self.size, turned=False))

    def __and__(self, other: "Equals") -> "Equals":
        """Return what is equal in both, cut to the smaller one's size."""
        height, width = (min(sides) for sides in zip(self.size, other.size, strict=True))
        return Equals(
            self.across[:height, : width - 1] & other.across[:height, : width - 1],
            self.down[: height - 1, :width] & other.down[: height - 1, :width],
        )

    def in_windows(self, height: int, width: int) -> "Windows":
        """Return those within each of so many 2 × 2 windows."""
        across, down = (
            functional.pad(each, (0, 2 * width - each.shape[1], 0, 2 * height - each.shape[0]))
            for each in (self.across, self.down)
        )
        upper, lower = across[::2, ::2], across[1::2, ::2]
        left, right = down[::2, ::2], down[::2, 1::2]
        # Three of them make the fourth.
        return Windows(
            upper=upper | (left & lower & right),
            lower=lower | (left & upper & right),
            left=left | (upper & right & lower),
            right=right | (upper & left & lower),
        )


@dataclass(frozen=True)
class Windows:
    """Of 2 × 2 windows, (h, w): which of their values are equal. Each (h, w) bool."""

    upper: Tensor
    lower: Tensor
    left: Tensor
    right: Tensor

    def __bool__(self) -> bool:
        """Whether any are."""
        return any(bool(each.any()) for each in (self.upper, self.lower, self.left, self.right))

    def moves(self) -> list[tuple[int, int, Tensor]]:
        """Return from which place of a window, to which before it, and in which windows.

        Done in this order, what has been chosen ends at the first that is equal to it. Places are
        counted in reading order.
        """
        return [
            (3, 1, self.right),
            (2, 1, self.right & self.lower),
            (3, 2, self.lower),
            (1, 0, self.upper),
            (2, 0, self.left),
        ]


NONE: Mapping[str, Windows] = MappingProxyType({})


def equal_windows(equals: Equals, layers: Sequence[Layer]) -> dict[str, Windows]:
    """Return, by max pool of 2 × 2, the windows of it that hold equals, where any do.

    Args:
        equals: of the picture that the layers run on, or of what stands for one.
        layers: in the order they run.
    """
    behind = equals_behind(equals, layers)
    found = {}
    for layer in layers:
        seen = behind.get(layer.inputs[0])
        if seen and layer.kind == "max_pool" and halves(layer):
            windows = seen.in_windows(*layer.size_after(*seen.size))
            if windows:
                found[layer.name] = windows
    return found


def equals_behind(equals: Equals, layers: Sequence[Layer]) -> dict[str, Equals]:
    """Return what is equal behind each layer, where anything is, and of PICTURE itself."""
    known = {PICTURE: equals} if equals else {}
    for layer in layers:
        seen = known.get(layer.inputs[0])
        for name in layer.inputs[1:]:
            other = known.get(name)
            seen = seen & other if seen and other else None
        if not seen:
            continue
        behind = seen if len(layer.inputs) > 1 else seen.behind(layer)
        if behind:
            known[layer.name] = behind
    return known


def _seen_equal(down: Tensor, layer: Layer, size: tuple[int, int], *, turned: bool) -> Tensor:
    """Return which outputs of a layer see what their lower neighbours see.

    Args:
        down: (H - 1, W) bool, of what it reads.
        layer: a convolution or a pool.
        size: (H, W).
        turned: whether height is the picture's width.
    """

    def sides(pair: tuple[int, int]) -> tuple[int, int]:
        return pair[::-1] if turned else pair

    kernel, stride = sides(layer.kernel), sides(layer.stride)
    padding, dilation = sides(layer.padding), sides(layer.dilation)
    high, wide = sides(layer.size_after(*sides(size)))
    # A padded row is equal to no other, and along an edge each padded value to the next.
    reach = [
        (count - 1) * step + by * (length - 1) + 1
        for count, step, by, length in zip((high, wide), stride, dilation, kernel, strict=True)
    ]
    below = max(0, reach[0] - padding[0] - size[0]) + 1
    beside = max(0, reach[1] - padding[1] - size[1])
    rows = functional.pad(down, (0, 0, padding[0], below))
    rows = functional.pad(rows, (padding[1], beside), value=True)
    seen = torch.ones(max(high - 1, 0), wide, dtype=torch.bool)
    for row, column in product(range(kernel[0]), range(kernel[1])):
        for step in range(stride[0]):
            top, left = row * dilation[0] + step, column * dilation[1]
            seen &= rows[top :: stride[0], left :: stride[1]][: len(seen), :wide]
    return seen
