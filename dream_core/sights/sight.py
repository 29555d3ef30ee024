"""What a look at a picture can do, in whatever form."""

from collections.abc import Callable, Sequence
from typing import Protocol

from torch import Tensor

from dream_core.objectives.objective import Pull

Measure = Callable[[Tensor], Tensor]
"""From a layer's features of a part, (1, C, h, w), to something that adds up over parts."""


class Sight(Protocol):
    """A picture seen by a network, in one part or in many."""

    def gather(self, measures: Sequence[tuple[str, Measure]]) -> list[Tensor]:
        """Return each measure of its layer's features, added up over all parts in their order."""

    def pull_back(self, pulls: Sequence[tuple[str, Pull]]) -> Tensor:
        """Return d loss / d picture, (3, H, W), of what pulls at each layer. Called once, last."""
