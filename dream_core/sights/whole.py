"""A picture seen as a whole: the reference, and the fastest where memory allows."""

from collections.abc import Collection, Sequence

from torch import Tensor

from dream_core.networks import Network
from dream_core.objectives.objective import Pull
from dream_core.sights.sight import Measure


class Whole:
    """One part, whose features are kept from the question to the answer."""

    def __init__(self, network: Network, picture: Tensor, layers: Collection[str]) -> None:
        """Look at once."""
        self._features, self._tape = network.forward(picture, layers)

    def gather(self, measures: Sequence[tuple[str, Measure]]) -> list[Tensor]:
        """Measure; see `Sight.gather`."""
        return [measure(self._features[layer]) for layer, measure in measures]

    def pull_back(self, pulls: Sequence[tuple[str, Pull]]) -> Tensor:
        """Pull; see `Sight.pull_back`."""
        return self._tape.backward(pulled(pulls, self._features))


def pulled(pulls: Sequence[tuple[str, Pull]], features: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return what pulls at each layer's features, added up. Uses `features` up: they are large."""
    found: dict[str, Tensor] = {}
    for layer in tuple(features):
        seen = features.pop(layer)
        for one in (pull(seen) for asked, pull in pulls if asked == layer):
            found[layer] = found[layer] + one if layer in found else one
    return found
