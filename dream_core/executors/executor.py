"""The seam: what every way of running a network can do."""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Protocol

import torch
from torch import Tensor

from dream_core.executors.ties import NONE, Ties
from dream_core.model import Layer

Given = Tensor | Callable[[Tensor | None], Tensor]
"""d loss / d features of a layer. Or what adds it to what has arrived there from deeper ones, and
may write on that: called when the layer is passed, so that it takes no memory before."""


class ExecutorTape(Protocol):
    """The way back from features to what the network ate."""

    def backward(self, gradients: Mapping[str, Given]) -> Tensor:
        """Return d loss / d input, (1, C, H, W), of d loss / d features by layer.

        Adds up what arrives at each layer. Called once. Its dtype is what the way back computes in.
        """


class Executor(Protocol):
    """Runs the primitive layers of one network; holds its weights in whatever form it likes.

    Executors are interchangeable: the tests hold each against `autograd`. Each is deterministic:
    the same input gives the same bits.
    """

    lean: bool
    """Whether a tape holds bits, which are cheap to keep, or features."""
    gives: torch.dtype | None
    """What convolutions' features come out in; None: the picture's own."""

    def forward(
        self,
        picture: Tensor,
        layers: Sequence[Layer],
        asked: Collection[str],
        ties: Ties = NONE,
    ) -> tuple[dict[str, Tensor], ExecutorTape]:
        """Run `layers` in order on a preprocessed picture, (1, 3, H, W), or what stands for one.

        In bands, the deeper layers run on what a pool has made, (1, C, h, w): the first of them
        reads PICTURE all the same. Of what `ties` in a max pool's window the first is chosen, as it
        is by itself where rounding is the same at every position.

        Returns:
            The features of the layers asked, (1, C, h, w), in the order they ran: the values that
            gradients are later given at, untouched by any layer behind them, in the bits that they
            were computed in. And the way back.
        """
