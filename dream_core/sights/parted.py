"""A picture seen in parts, each in a crop that holds all it can see."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional

from dream_core.executors.executor import Given
from dream_core.forms import Part, parts, reaches
from dream_core.networks import Network, Tape
from dream_core.objectives.objective import Pull
from dream_core.sights.sight import Measure
from dream_core.sights.whole import pulled


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
        self._parts = parts((height, width), reached, size)

    def stride_of(self, layer: str) -> int:
        """Return the pixels from one position of a layer to the next."""
        return self._strides[layer]

    def each(self) -> Iterator[Part]:
        """Go through the parts, as long as nobody wants to leave."""
        for part in self._parts:
            self._check()
            yield part

    def look(
        self, part: Part, layers: Collection[str] | None = None
    ) -> tuple[dict[str, Tensor], Tape]:
        """Return a part's own features at `layers`, or at all, and the way back from its crop."""
        asked = self._layers if layers is None else layers
        features, tape = self._network.forward(self._picture[part.crop], asked)
        return {
            layer: self._core(part, layer, features.pop(layer)) for layer in tuple(features)
        }, tape

    def gather(self, measures: Sequence[tuple[str, Measure]]) -> list[Tensor]:
        """Measure; see `Sight.gather`."""
        total = Sums(measures)
        for part in self.each():
            total.add(self.look(part)[0])
        return total.found

    def pull_back(self, pulls: Sequence[tuple[str, Pull]]) -> Tensor:
        """Pull; see `Sight.pull_back`."""

        def pull(part: Part) -> tuple[Tape, dict[str, Given]]:
            features, tape = self.look(part)
            return tape, pulled(pulls, features, over=self._network.executor.lean)

        return self.add_up(pull)

    def add_up(self, pull: Callable[[Part], tuple[Tape, dict[str, Given]]]) -> Tensor:
        """Return d loss / d picture where `pull` gives each part's way back and own gradients."""
        gradient = torch.zeros_like(self._picture)
        for part in self.each():
            gradient[part.crop] += self._pull_back(part, *pull(part))
        return gradient

    def _pull_back(self, part: Part, tape: Tape, own: dict[str, Given]) -> Tensor:
        """Return d loss / d crop, (3, h, w): nothing pulls at the halo. Uses `own` up."""
        height, width = (at.stop - at.start for at in part.crop[1:])
        sizes = self._network.model.sizes(own, height, width, self._network.pooling)
        return tape.backward(
            {
                layer: partial(self._add, part, layer, own.pop(layer), sizes[layer])
                for layer in tuple(own)
            }
        )

    def _core(self, part: Part, layer: str, features: Tensor) -> Tensor:
        """Return a part's own features of its crop's."""
        core = features[self._own(part, layer)]
        # Whoever asks lays all positions in a row: without a copy that keeps the order of channels
        # and positions, each question would turn it round, at a tenth of the speed.
        return core if core.shape[3] == features.shape[3] else core.clone()

    def _own(self, part: Part, layer: str) -> tuple[slice, slice, slice, slice]:
        stride = self._strides[layer]
        everything = slice(None)
        return everything, everything, part.rows.inside(stride), part.columns.inside(stride)

    def _add(
        self, part: Part, layer: str, own: Given, size: tuple[int, int], came: Tensor | None
    ) -> Tensor:
        """Add a part's own gradient to what came to its whole crop, of `size` at that layer."""
        if came is None:
            alone = own if isinstance(own, Tensor) else own(None)
            return self._amid_zeros(part, layer, alone, size)
        here = came[self._own(part, layer)]
        if isinstance(own, Tensor):
            here.add_(own)
        else:
            own(here)
        return came

    def _amid_zeros(self, part: Part, layer: str, own: Tensor, size: tuple[int, int]) -> Tensor:
        """Return a part's own gradient as one of its whole crop, of `size` at that layer."""
        _, _, rows, columns = self._own(part, layer)
        top, left = rows.start, columns.start
        below, right = size[0] - top - own.shape[2], size[1] - left - own.shape[3]
        return functional.pad(own, (left, right, top, below))


class Sums:
    """Measures that add up."""

    def __init__(self, measures: Sequence[tuple[str, Measure]]) -> None:
        """Start with nothing."""
        self._measures = measures
        self.found: list[Tensor] = []

    def add(self, features: Mapping[str, Tensor]) -> None:
        """Add a part's."""
        new = [measure(features[layer]) for layer, measure in self._measures]
        self.found = [a + b for a, b in zip(self.found, new, strict=True)] if self.found else new
