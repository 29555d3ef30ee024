"""What every objective can do."""

from collections.abc import Callable
from typing import ClassVar, Protocol

from torch import Tensor

Pull = Callable[[Tensor], Tensor]
"""From the features of a part of the picture to d loss / d features of that part."""


class Objective(Protocol):
    """A wish about the features of one layer, cut so that a picture can be asked in parts.

    First `measure` every part and add up, then `solve` once, then pull at every part.
    """

    splits: ClassVar[bool]
    """Whether the statistics of disjoint parts may be added; else it is asked in one part only."""

    def measure(self, features: Tensor) -> Tensor:
        """Return what the loss needs to know of a part's features, (1, C, h, w)."""

    def solve(self, statistic: Tensor) -> tuple[Tensor, Pull]:
        """Return the loss, a scalar, and how it pulls at any part's features."""
