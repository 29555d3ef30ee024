"""Convolutions with the ReLU and the pool behind them, forth and back, in torch's own operators."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.nn import functional

from dream_core import native
from dream_core.executors import bits, rooms, strips, tiled
from dream_core.executors.packed import Packed, packs, turns
from dream_core.executors.pools import average, shaped, unpool
from dream_core.executors.ties import Move
from dream_core.forms.chain import Chain, is_3_by_3
from dream_core.model import Layer

Passes = Any
"""Where the way back passes: what a form's `forward` keeps for a `backward` of its kind."""


class Convolutions(Protocol):
    """A way to compute chains that begin with a convolution.

    What it reads may still wait to be written (`native.in_a_row`): whoever reads it by other means
    than the kernel has that settled. What it writes for the way back, only its own kind reads.
    """

    gives: torch.dtype
    """What it computes in, and what comes out."""

    def takes(self, chain: Chain) -> bool:
        """Whether it has a form for such a chain."""

    def forward(
        self, chain: Chain, features: Tensor, moves: Sequence[Move] = ()
    ) -> tuple[Tensor, Passes]:
        """Return what comes out, channels-last, and where the way back passes.

        On a CPU those are bits: where the convolution's own output is above zero, if a ReLU
        follows, and where a max pool chose it, if one does, after its `moves`; None where
        everything passes.
        """

    def backward(self, chain: Chain, gradient: Tensor, alive: Passes, seen: torch.Size) -> Tensor:
        """Return d loss / d what was read, of shape `seen`, of d loss / d what came out.

        May write on `gradient`.
        """


class TorchConvolutions:
    """Any convolution, channels last, in one dtype."""

    def __init__(self, weights: Mapping[str, Tensor], dtype: torch.dtype) -> None:
        """Compute in `dtype`; of weights in another, a copy is made as each is needed."""
        self._weights = weights
        self.gives = dtype
        self._copies: dict[str, Tensor] = {}
        self._packed: dict[tuple[str, bool], Packed] = {}

    def takes(self, chain: Chain) -> bool:
        """Every one."""
        return chain.first.kind == "convolution"

    def forward(
        self, chain: Chain, features: Tensor, moves: Sequence[Move] = ()
    ) -> tuple[Tensor, Tensor | None]:
        """See `Convolutions`."""
        out, alive = self._run(chain, features)
        if alive is not None and moves:
            bits.let_first_pass(alive, moves, out.shape[1] * out.shape[3])
        return out, alive

    def _run(self, chain: Chain, features: Tensor) -> tuple[Tensor, Tensor | None]:
        native.settle()
        layer, pool = chain.first, chain.pool
        features = rooms.converted(features, self.gives)
        if is_3_by_3(layer):
            height, width = features.shape[2:]
            size = pool.size_after(height, width) if pool else (height, width)
            shape = torch.Size((1, layer.channels, *size))
            read = features if chain.over else None
            out = rooms.result(self.gives, shape, read, spare=chain.spare_forth)
            return out, strips.forward(chain, self._rows(layer, features), features, out)
        out = self._convolve(layer, features).contiguous(memory_format=torch.channels_last)
        if pool and pool.kind == "max_pool":
            return bits.pool(out, rounds_up=pool.rounds_up, rectified=chain.rectified)
        alive = bits.rectify(out) if chain.rectified else None
        return (average(out, pool) if pool else out), alive

    def backward(
        self, chain: Chain, gradient: Tensor, alive: Tensor | None, seen: torch.Size
    ) -> Tensor:
        """See `Convolutions`."""
        native.settle()
        layer, pool = chain.first, chain.pool
        gradient = rooms.converted(gradient, self.gives, over=True)
        if is_3_by_3(layer):
            out = rooms.result(self.gives, seen, gradient, spare=chain.spare_back)
            strips.backward(chain, self._rows_back(layer, gradient, seen), gradient, alive, out)
            return out
        if pool:
            size = layer.size_after(*seen[2:])
            gradient = unpool(gradient, pool, alive, size)
        if alive is not None and not (pool and pool.kind == "max_pool"):
            gradient = bits.keep(gradient, alive)
        return self._pull_back(layer, gradient, seen)

    def _rows(self, layer: Layer, features: Tensor) -> strips.Rows:
        """Return what a 3 × 3 convolution makes of a few rows."""
        if tiled.pays(features, layer.channels, (features.shape[2], features.shape[3])):
            names = (f"{layer.name}.weight", f"{layer.name}.bias")
            return tiled.forth(*map(self._tensor, names))
        return strips.with_neighbours(lambda rows: self._convolve(layer, rows, in_room=False))

    def _rows_back(self, layer: Layer, gradient: Tensor, seen: torch.Size) -> strips.Rows:
        """Return the way back through it."""
        if tiled.pays(gradient, seen[1], (seen[2], seen[3])):
            return tiled.back(self._tensor(f"{layer.name}.weight"))

        def pull_back(rows: Tensor) -> Tensor:
            size = torch.Size((*seen[:2], *rows.shape[2:]))
            return self._pull_back(layer, rows, size, in_room=False)

        return strips.with_neighbours(pull_back)

    def _convolve(self, layer: Layer, features: Tensor, *, in_room: bool = True) -> Tensor:
        """Convolve, to a room where that gains something."""
        bias = self._tensor(f"{layer.name}.bias")
        if packs(layer, features):
            packed = self._pack(layer, features.shape, turned=False)
            return packed.convolve(features, bias, packed.room(features) if in_room else None)
        weight = self._tensor(f"{layer.name}.weight")
        where = (layer.stride, layer.padding, layer.dilation, layer.groups)
        return functional.conv2d(features, weight, bias, *where)

    def _pull_back(
        self, layer: Layer, gradient: Tensor, seen: torch.Size, *, in_room: bool = True
    ) -> Tensor:
        """Go back through a convolution, to a room as `_convolve` does."""
        if packs(layer, gradient) and turns(layer):
            packed = self._pack(layer, gradient.shape, turned=True)
            return packed.convolve(gradient, None, packed.room(gradient) if in_room else None)
        found: Tensor
        found, _, _ = torch.ops.aten.convolution_backward(
            gradient,
            shaped(gradient, seen),
            self._tensor(f"{layer.name}.weight"),
            None,
            layer.stride,
            layer.padding,
            layer.dilation,
            False,
            (0, 0),
            layer.groups,
            (True, False, False),
        )
        return found

    def _pack(self, layer: Layer, read: torch.Size, *, turned: bool) -> Packed:
        key = (layer.name, turned)
        if key not in self._packed:
            weight = self._weights[f"{layer.name}.weight"].to(self.gives)
            self._packed[key] = (Packed.back if turned else Packed.forth)(layer, weight, read)
        return self._packed[key]

    def _tensor(self, name: str) -> Tensor:
        tensor = self._weights[name]
        if tensor.dtype == self.gives:
            return tensor
        if name not in self._copies:
            layout = torch.channels_last if tensor.dim() == 4 else torch.contiguous_format
            self._copies[name] = tensor.to(self.gives, memory_format=layout)
        return self._copies[name]
