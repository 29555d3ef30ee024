"""Convolutions with the ReLU and the pool behind them, for a GPU: the values themselves are kept.

A GPU has the room for them, and bits would cost it passes over its memory.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor
from torch.nn import functional

from dream_core.executors.convolutions import Passes
from dream_core.executors.pools import average, shaped, unpool, window
from dream_core.executors.ties import Move
from dream_core.forms.chain import Chain


class KeptConvolutions:
    """Any convolution, in one dtype and layout; torch's own operators, none of which waits."""

    def __init__(
        self, weights: Mapping[str, Tensor], dtype: torch.dtype, *, tf32_back: bool = False
    ) -> None:
        """Compute in `dtype`; `tf32_back` lets a GPU multiply by 10 bits on the way back.

        Not forth: there a rounding flips ReLUs and pools, and the gradient is off by a thirtieth.
        """
        # Tensor cores want channels last, and cuDNN's kernels without them planes: with channels
        # last float32 took 1.6 times as long on a V100 (pytorch #44943). That counts for TF32 back,
        # too: forth takes most of the time, and what back loses are copies of features, a few
        # hundredths of it.
        short = dtype.itemsize == 2
        self._layout = torch.channels_last if short else torch.contiguous_format
        # At once and not when needed: what is made while a graph is captured is that graph's.
        self._weights = {
            name: tensor.to(dtype, memory_format=self._layout)
            if tensor.dim() == 4
            else tensor.to(dtype)
            for name, tensor in weights.items()
        }
        self.gives = dtype
        self._tf32_back = tf32_back

    def takes(self, chain: Chain) -> bool:
        """Every one."""
        return chain.first.kind == "convolution"

    def forward(
        self, chain: Chain, features: Tensor, moves: Sequence[Move] = ()
    ) -> tuple[Tensor, Passes]:
        """See `Convolutions`; the way back passes where a ReLU gave something, and a pool found.

        Ties aren't looked for on a GPU, which would have to wait for what is found.
        """
        assert not moves  # noqa: S101
        layer, pool = chain.first, chain.pool
        out = functional.conv2d(
            features.to(self.gives, memory_format=self._layout),
            self._weights[f"{layer.name}.weight"],
            self._weights[f"{layer.name}.bias"],
            *(layer.stride, layer.padding, layer.dilation, layer.groups),
        )
        if pool and pool.kind == "max_pool":
            # Pooled first: the largest stays the largest, and a quarter is rectified.
            seen = out.shape
            out, places = torch.ops.aten.max_pool2d_with_indices(out, *window(pool))
            alive = out.relu_() if chain.rectified else None
            return out, (alive, places, seen)
        alive = out.relu_() if chain.rectified else None
        return (average(out, pool) if pool else out), (alive, None, out.shape)

    def backward(self, chain: Chain, gradient: Tensor, alive: Passes, seen: torch.Size) -> Tensor:
        """See `Convolutions`."""
        layer, pool = chain.first, chain.pool
        rectified, places, size = alive
        gradient = gradient.to(self.gives, memory_format=self._layout)
        if pool and pool.kind == "average_pool":
            gradient = unpool(gradient, pool, None, (size[2], size[3]), layout=self._layout)
        if rectified is not None:
            gradient = torch.ops.aten.threshold_backward(gradient, rectified, 0)
        if pool and pool.kind == "max_pool":
            gradient = torch.ops.aten.max_pool2d_with_indices_backward(
                gradient,
                shaped(gradient, size, self._layout),
                *window(pool),
                places,
            )
        read = shaped(gradient, seen, self._layout)
        found: Tensor
        with _multiplying(tf32=self._tf32_back):
            found, _, _ = torch.ops.aten.convolution_backward(
                gradient,
                read,
                self._weights[f"{layer.name}.weight"],
                None,
                *(layer.stride, layer.padding, layer.dilation),
                *(False, (0, 0), layer.groups),
                (True, False, False),
            )
        return found


@contextmanager
def _multiplying(*, tf32: bool) -> Iterator[None]:
    """Let cuDNN multiply float32 as TF32 inside, if it may; a CPU takes no notice."""
    convolutions = torch.backends.cudnn.conv  # type: ignore[attr-defined]
    before, convolutions.fp32_precision = convolutions.fp32_precision, "tf32" if tf32 else "ieee"
    try:
        yield
    finally:
        convolutions.fp32_precision = before
