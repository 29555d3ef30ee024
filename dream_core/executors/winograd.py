"""Chains that begin with a 3 × 3 convolution, by the native kernel: Winograd in C++."""

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor

from dream_core import native
from dream_core.executors import rooms
from dream_core.executors.ties import Move
from dream_core.forms.chain import MOST_PLANES, Chain, is_for_the_kernel
from dream_core.model import PICTURE, Layer


class WinogradConvolutions:
    """3 × 3 convolutions on a CPU, with what is behind them fused in.

    What is multiplied in 16 bit is also kept in 16 bit in between.
    """

    def __init__(self, weights: Mapping[str, Tensor], operands: native.Operands) -> None:
        """Multiply numbers of that kind; sums are float32."""
        self._weights = weights
        self._operands = operands
        self.gives = native.DTYPES[operands]
        # The form for a picture's planes multiplies float32, and AMX is faster.
        self._in_planes = native.paths(operands)[:1] != ("amx",)

    def takes(self, chain: Chain) -> bool:
        """Whether it is one for the kernel, and what its bits would say is what a way back asks.

        The kernel's bits of a max pool say "above zero" too, which only a ReLU means.
        """
        layer = chain.first
        if layer.kind != "convolution":
            return False
        weight = self._weights[f"{layer.name}.weight"]
        if weight.dtype != torch.float32 or not is_for_the_kernel(layer, weight.shape[1]):
            return False
        return chain.rectified or chain.pool is None or chain.pool.kind == "average_pool"

    def forward(
        self, chain: Chain, features: Tensor, moves: Sequence[Move] = ()
    ) -> tuple[Tensor, Tensor | None]:
        """See `Convolutions`."""
        layer, pool = chain.first, chain.pool
        weight = self._weights[f"{layer.name}.weight"]
        bias = self._weights[f"{layer.name}.bias"]
        alive = None
        if chain.rectified:
            alive = native.new_alive(layer.channels, *features.shape[2:])
        threads = torch.get_num_threads()
        height, width = features.shape[2:]
        if pool:
            height, width = pool.size_after(height, width)
        shape = torch.Size((1, layer.channels, height, width))
        # What bands have put together stands for a picture too, and may be of 16 bit.
        if features.dtype == torch.float32 and self._eats_a_picture(chain, features.shape):
            out = native.convolve_picture(
                features.contiguous(),
                weight,
                bias,
                rectify=chain.rectified,
                alive=alive,
                out=rooms.result(self.gives, shape, spare=chain.spare_forth),
                threads=threads,
                operands=self._operands,
            )
            return out, alive
        features = rooms.converted(features, self.gives)
        out = native.convolve(
            features,
            weight,
            bias,
            rectify=chain.rectified,
            pool=_kind(pool),
            rounds_up=bool(pool and pool.rounds_up),
            alive=alive,
            out=rooms.result(
                self.gives, shape, features if chain.over else None, spare=chain.spare_forth
            ),
            threads=threads,
            operands=self._operands,
        )
        if alive is not None and moves:
            native.settle()
            native.let_first_pass(alive, moves)
        return out, alive

    def backward(
        self, chain: Chain, gradient: Tensor, alive: Tensor | None, seen: torch.Size
    ) -> Tensor:
        """See `Convolutions`."""
        pool = chain.pool
        weight = self._weights[f"{chain.first.name}.weight"]
        gradient = rooms.converted(gradient, self.gives, over=True)
        threads = torch.get_num_threads()
        if self._eats_a_picture(chain, seen):
            return native.pull_back_to_picture(
                gradient, weight, alive=alive, threads=threads, operands=self._operands
            )
        return native.pull_back(
            gradient,
            weight,
            alive=alive,
            size=(seen[2], seen[3]),
            pool=_kind(pool),
            rounds_up=bool(pool and pool.rounds_up),
            out=rooms.result(self.gives, seen, gradient, spare=chain.spare_back),
            threads=threads,
            operands=self._operands,
        )

    def _eats_a_picture(self, chain: Chain, seen: torch.Size) -> bool:
        """Whether the form for planes is the one to take."""
        few = chain.inputs == (PICTURE,) and seen[1] <= MOST_PLANES and chain.pool is None
        return few and self._in_planes


def _kind(pool: Layer | None) -> Literal["max", "avg"] | None:
    if pool is None:
        return None
    return "max" if pool.kind == "max_pool" else "avg"
