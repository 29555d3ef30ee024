"""A picture seen in parts, each in a crop that holds all it can see."""

from collections.abc import Callable, Collection, Sequence

import torch
from torch import Tensor

from dream_core.forms import Part, parts, reaches
from dream_core.networks import Network
from dream_core.objectives.objective import Pull
from dream_core.sights.sight import Measure
from dream_core.sights.whole import pulled

PartPull = Callable[[Part, Tensor], Tensor]
"""As `Pull`, for a pull that depends on where the part lies."""


class Parted:
    """Two passes and more: one for every question, one for the answer. Nothing is kept between.

    A part's pull goes back through its whole crop and adds to the picture's gradient there: so a
    halo of one reach is enough, and nothing of the neighbours' pulls is missed.
    """

    def __init__(
        self,
        network: Network,
        picture: Tensor,
        layers: Collection[str],
        check: Callable[[], None],
        size: tuple[int, int | None],
    ) -> None:
        """Cut the picture; nothing is computed yet. See `parts`."""
        self._network = network
        self._picture = picture
        self._layers = layers
        self._check = check
        needed = [layer.under(network.pooling) for layer in network.model.needed_for(layers)]
        reached = reaches(needed)
        if reached is None:
            raise ValueError(f"{network.model.name} can't be looked at in parts")
        self._strides = {name: reached[name].stride for name in layers}
        height, width = picture.shape[1:]
        self.parts = parts((height, width), reached, size)

    def stride_of(self, layer: str) -> int:
        """Return the pixels from one position of a layer to the next."""
        return self._strides[layer]

    def visit(self, do: Callable[[Part, dict[str, Tensor]], None]) -> None:
        """Show every part's own features, by layer, to `do`, which keeps none of them."""
        for part in self.parts:
            self._check()
            do(part, self._cores(part, self._network.forward(self._crop(part), self._layers)[0]))

    def gather(self, measures: Sequence[tuple[str, Measure]]) -> list[Tensor]:
        """Measure; see `Sight.gather`."""
        total = Sums(measures)
        self.visit(lambda _, features: total.add(features))
        return total.found

    def pull_back(self, pulls: Sequence[tuple[str, Pull]]) -> Tensor:
        """Pull; see `Sight.pull_back`."""
        return self.pull_back_by_part(lambda _: pulls)

    def pull_back_by_part(self, pulls_at: Callable[[Part], Sequence[tuple[str, Pull]]]) -> Tensor:
        """Return d loss / d picture where the pulls depend on the part."""
        gradient = torch.zeros_like(self._picture)
        for part in self.parts:
            self._check()
            gradient[part.crop] += self._pull(part, pulls_at(part))
        return gradient

    def _pull(self, part: Part, pulls: Sequence[tuple[str, Pull]]) -> Tensor:
        """Return d loss / d crop of one part's pulls, (3, h, w)."""
        features, tape = self._network.forward(self._crop(part), self._layers)
        gradients = pulled(pulls, self._cores(part, features))
        return tape.backward(
            {
                layer: self._amid_zeros(part, layer, gradients.pop(layer), features[layer])
                for layer in tuple(gradients)
            }
        )

    def _crop(self, part: Part) -> Tensor:
        return self._picture[part.crop]

    def _own(self, part: Part, layer: str) -> tuple[slice, slice, slice, slice]:
        stride = self._strides[layer]
        everything = slice(None)
        return everything, everything, part.rows.inside(stride), part.columns.inside(stride)

    def _cores(self, part: Part, features: dict[str, Tensor]) -> dict[str, Tensor]:
        return {layer: found[self._own(part, layer)] for layer, found in features.items()}

    def _amid_zeros(self, part: Part, layer: str, own: Tensor, features: Tensor) -> Tensor:
        """Return a part's own gradient as one of its whole crop: nothing pulls at the halo."""
        whole = torch.zeros_like(features)
        whole[self._own(part, layer)] = own
        return whole


class Sums:
    """Measures that add up."""

    def __init__(self, measures: Sequence[tuple[str, Measure]]) -> None:
        """Start with nothing."""
        self._measures = measures
        self.found: list[Tensor] = []

    def add(self, features: dict[str, Tensor]) -> None:
        """Add a part's."""
        new = [measure(features[layer]) for layer, measure in self._measures]
        self.found = [a + b for a, b in zip(self.found, new, strict=True)] if self.found else new
