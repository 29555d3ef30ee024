"""A picture seen as a whole: the reference, and the fastest where memory allows."""

from collections.abc import Collection, Sequence
from functools import partial

from torch import Tensor

from dream_core.executors.executor import Given
from dream_core.networks import Network
from dream_core.objectives.objective import Pull
from dream_core.sights.sight import Measure


class Whole:
    """One part, whose features are kept from the question to the answer."""

    def __init__(self, network: Network, picture: Tensor, layers: Collection[str]) -> None:
        """Look at once."""
        self._features, self._tape = network.forward(picture, layers)
        self._over = network.executor.lean

    def gather(self, measures: Sequence[tuple[str, Measure]]) -> list[Tensor]:
        """Measure; see `Sight.gather`."""
        return [measure(self._features[layer]) for layer, measure in measures]

    def pull_back(self, pulls: Sequence[tuple[str, Pull]]) -> Tensor:
        """Pull; see `Sight.pull_back`."""
        return self._tape.backward(pulled(pulls, self._features, over=self._over))


def pulled(
    pulls: Sequence[tuple[str, Pull]], features: dict[str, Tensor], *, over: bool
) -> dict[str, Given]:
    """Return what adds up all that pulls at each layer's features, when its turn comes.

    Uses `features` up: they are large, and each goes with the layer that is passed. It may be
    written `over` where the way back doesn't read them: a lean one has bits.
    """
    found: dict[str, Given] = {}
    for layer in tuple(features):
        seen = features.pop(layer)
        if here := [pull for asked, pull in pulls if asked == layer]:
            found[layer] = partial(_add, here, seen, over)
    return found


def _add(pulls: Sequence[Pull], features: Tensor, over: bool, onto: Tensor | None) -> Tensor:
    first, *others = pulls
    found = first(features, onto, over=over and not others)
    for pull in others:
        found = pull(features, found)
    return found
