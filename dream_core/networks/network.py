"""A network: asked for features, it runs as deep as it must; a tape pulls gradients back."""

from collections.abc import Collection, Mapping
from copy import copy

import torch
from torch import Tensor

from dream_core.executors.building import build
from dream_core.executors.executor import Executor, ExecutorTape, Given
from dream_core.executors.ties import NONE, Ties, ties
from dream_core.executors.way import REFERENCE, Way
from dream_core.model import PICTURE, Layer, Model, Pooling
from dream_core.networks.preprocess import Preprocess


class Network:
    """A model with its weights on a device, behind the one seam of the engine.

    Objectives see the features it hands out, never the network; how they are computed is the
    executor's matter. Its weights are constants: nothing here is trained.
    """

    def __init__(
        self,
        model: Model,
        weights: Mapping[str, Tensor],
        *,
        pooling: Pooling,
        device: torch.device,
        dtype: torch.dtype,
    ) -> None:
        """Put the reference executor, with these weights, behind the model's names."""
        self.model = model
        self.pooling = pooling
        self.device = device
        self.dtype = dtype
        self.executor: Executor = build(REFERENCE, weights, dtype)
        self._weights = weights
        self._preprocess = Preprocess(model.preprocessing, device, dtype)
        self._by_way = {REFERENCE: self}  # one mapping for all of them

    def run_by(self, way: Way) -> "Network":
        """Return the same network, on the same weights, run in another way; it is made once."""
        if way not in self._by_way:
            other = self._by_way[way] = copy(self)
            other.executor = build(way, self._weights, self.dtype)
        return self._by_way[way]

    def forward(self, picture: Tensor, layers: Collection[str]) -> tuple[dict[str, Tensor], "Tape"]:
        """Look at a picture, no deeper than the deepest layer asked.

        Args:
            picture: (3, H, W) RGB in [0, 1], of the network's device and dtype.
            layers: names of the model, in any order.

        Returns:
            The features of each layer, (1, C, h, w), in network order and detached from any
            graph; and the tape that pulls gradients at them back to this picture.

        Raises:
            UnknownLayer: with the nearest right names.
        """
        asked = self.model.in_order(layers)
        needed = [layer.under(self.pooling) for layer in self.model.needed_for(asked)]
        found = ties(picture, needed) if self.executor.lean else NONE
        seen = self._preprocess.apply(picture)
        features, tape = self.executor.forward(seen, needed, asked, found)
        return features, Tape(tape, self._preprocess)

    def forward_from(
        self, cut: str, features: Tensor, layers: Collection[str], ties: Ties = NONE
    ) -> tuple[dict[str, Tensor], ExecutorTape]:
        """Look on from what a layer has made of a picture, as if it were one.

        Args:
            cut: a layer through which everything goes that is deeper.
            features: what it has made, (1, C, h, w).
            layers: all deeper than `cut`.
            ties: from `ties_behind`.

        Returns:
            As `forward`; the tape leads back to `features`.
        """
        asked = self.model.in_order(layers)
        before = {layer.name for layer in self.model.needed_for([cut])}
        needed = [
            self._from(cut, layer).under(self.pooling)
            for layer in self.model.needed_for(asked)
            if layer.name not in before
        ]
        # The features may go once they are read: they are handed on, and no name here holds them.
        handed_on = [features]
        del features
        return self.executor.forward(handed_on.pop(), needed, asked, ties)

    def ties_behind(self, cut: str, picture: Tensor, layers: Collection[str]) -> Ties:
        """Return what ties in the max pools deeper than `cut`, for a picture of (3, H, W)."""
        if not self.executor.lean:
            return NONE
        needed = [layer.under(self.pooling) for layer in self.model.needed_for(layers)]
        before = {layer.name for layer in self.model.needed_for([cut])}
        return ties(picture, needed, but=before)

    @staticmethod
    def _from(cut: str, layer: Layer) -> Layer:
        """Return a layer that reads what stands for the picture where it read the cut."""
        inputs = tuple(PICTURE if name == cut else name for name in layer.inputs)
        return layer.model_copy(update={"inputs": inputs})


class Tape:
    """What one look at a picture has left behind for the way back. Good for one `backward`."""

    def __init__(self, tape: ExecutorTape, preprocess: Preprocess) -> None:
        """Join the executor's way back with the preprocessing's."""
        self._tape = tape
        self._preprocess = preprocess

    def backward(self, gradients: Mapping[str, Given]) -> Tensor:
        """Return d loss / d picture, (3, H, W) RGB on [0, 1].

        Args:
            gradients: d loss / d features of some or all layers asked, shaped like the features,
                or what adds it: see `Given`. What arrives at a layer from deeper ones is added to
                its own.
        """
        # Executors leave channels last or first; whoever moves a picture has it in planes.
        handed_on = [gradients]
        del gradients  # as in `forward_from`
        return self._preprocess.pull_back(self._tape.backward(handed_on.pop()).contiguous())
