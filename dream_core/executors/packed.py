"""16-bit convolutions on a CPU by oneDNN, whose weights are laid out once and not at every look.

A way back is a convolution too where the stride is 1: by the same weights, turned round.
"""

from collections.abc import Sequence
from typing import NamedTuple, Self

import torch
from torch import Tensor

from dream_core.executors import rooms
from dream_core.model import Layer

Pair = tuple[int, int]


class Packed(NamedTuple):
    """Weights as oneDNN multiplies them fastest at the size that they were first laid out for."""

    weight: Tensor  # opaque
    channels: int  # that come out
    kernel: Pair
    padding: Pair
    stride: Pair
    dilation: Pair

    @classmethod
    def forth(cls, layer: Layer, weight: Tensor, seen: Sequence[int]) -> Self:
        """Lay out a layer's weights, (K, C, kh, kw), for features of shape `seen`."""
        return cls._lay_out(weight, layer.padding, layer.stride, layer.dilation, seen)

    @classmethod
    def back(cls, layer: Layer, weight: Tensor, given: Sequence[int]) -> Self:
        """Lay them out for the way back of gradients of shape `given`."""
        turned = weight.flip(2, 3).transpose(0, 1).contiguous()
        return cls._lay_out(turned, _beyond(layer), (1, 1), layer.dilation, given)

    @classmethod
    def _lay_out(
        cls, weight: Tensor, padding: Pair, stride: Pair, dilation: Pair, read: Sequence[int]
    ) -> Self:
        reorder = torch.ops.mkldnn._reorder_convolution_weight
        packed = reorder(weight, padding, stride, dilation, 1, read)
        channels, _, *kernel = weight.shape
        return cls(packed, channels, (kernel[0], kernel[1]), padding, stride, dilation)

    def convolve(self, features: Tensor, bias: Tensor | None, room: Tensor | None = None) -> Tensor:
        """Return the convolution of features, (1, C, H, W) channels-last, in a room that is given.

        By itself it writes in fresh pages. But it adds to what is there already.
        """
        run = torch.ops.mkldnn
        where = (self.padding, self.stride, self.dilation)
        found: Tensor
        if room is None:
            found = run._convolution_pointwise(
                features, self.weight, bias, *where, 1, "none", [], ""
            )
            return found
        found = run._convolution_pointwise_.binary(
            room.zero_(), features, self.weight, bias, *where, 1, "add", None, None, [], None
        )
        return found

    def room(self, features: Tensor) -> Tensor | None:
        """Return room for what comes of features, as `Rooms.features` does; None for little."""
        height, width = self._size_after(*features.shape[2:])
        if not rooms.saves_pages(self.channels * height * width * features.dtype.itemsize):
            return None
        return rooms.features(features.dtype, self.channels, height, width)

    def _size_after(self, *read: int) -> Pair:
        """Return (height, width) of what comes of features of that size."""
        height, width = (
            (side + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1
            for side, kernel, padding, stride, dilation in zip(
                read, self.kernel, self.padding, self.stride, self.dilation, strict=True
            )
        )
        return height, width


def packs(layer: Layer, features: Tensor) -> bool:
    """Whether there is such a form for a layer, here and for such numbers."""
    if layer.groups != 1 or features.device.type != "cpu" or features.dtype != torch.bfloat16:
        return False
    supported = getattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", None)  # built with oneDNN
    return bool(supported and supported())


def turns(layer: Layer) -> bool:
    """Whether a layer's way back is a convolution by its weights turned round."""
    return layer.stride == (1, 1) and min(_beyond(layer)) >= 0


def _beyond(layer: Layer) -> Pair:
    """Return the padding of the way back: what a window reaches beyond a layer's own padding."""
    height, width = (
        dilation * (kernel - 1) - padding
        for dilation, kernel, padding in zip(
            layer.dilation, layer.kernel, layer.padding, strict=True
        )
    )
    return height, width
