"""What every objective can do."""

from typing import ClassVar, Protocol

import torch
from torch import Tensor


class Pull(Protocol):
    """From the features of a part of the picture to d loss / d features of that part."""

    def __call__(
        self, features: Tensor, onto: Tensor | None = None, *, over: bool = False
    ) -> Tensor:
        """Return it as the features are; or add it to `onto`, in place, and return that.

        Without `onto`, it may be written `over` the features where nobody needs them any more.
        """


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


def wide_enough(features: Tensor) -> torch.dtype:
    """Return what a sum over a layer's features is computed in: float32 at least."""
    return torch.promote_types(features.dtype, torch.float32)
