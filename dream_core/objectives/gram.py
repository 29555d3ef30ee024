"""Gram objective: hold the texture of a layer to a dose of the source's own texture."""

from dataclasses import dataclass
from typing import ClassVar, Self

import torch
from torch import Tensor

from dream_core.objectives.objective import Pull


def correlate(features: Tensor) -> Tensor:
    """Sum the products of every pair of channels over all positions.

    Args:
        features: activations of one layer, (1, C, H, W), any float dtype.

    Returns:
        (C, C) F Fᵀ, in float32 or, of float64 features, float64. Adds up over disjoint parts of a
        picture.

    Source: the Gram matrix of Gatys et al. 2015 (arXiv:1508.06576), before its division.
    """
    # Half precision ends at 65,504 and a sum over 512 × 512 positions doesn't: one inf would turn
    # the whole picture to NaN. Autocast is shut out, or it would halve the product again.
    with torch.autocast(features.device.type, enabled=False):
        wide = torch.promote_types(features.dtype, torch.float32)
        flat = features.to(wide).flatten(2)[0]
        return flat @ flat.mT


@dataclass(frozen=True)
class GramDose:
    """Pull a layer towards `dose` times its own Gram matrix: 1 keeps it, 0 and less unmake it.

    Source: neural_dream.lua (2015): G = F Fᵀ / (C·H·W), loss mean((G − dose · G₀)²).
    """

    splits: ClassVar[bool] = True

    target: Tensor  # (C, C): dose · G₀
    elements: int  # C·H·W of the layer over the whole picture, whatever part is asked

    @classmethod
    def capture(cls, gram: Tensor, dose: float, elements: int) -> Self:
        """Fix the target from the source's Gram matrix, divided by the source's own elements."""
        return cls(dose * gram, elements)

    def measure(self, features: Tensor) -> Tensor:
        """Return the part's share of the statistic, as in `correlate`."""
        return correlate(features)

    def solve(self, statistic: Tensor) -> tuple[Tensor, Pull]:
        """Return the loss and how it pulls: 4 / (C² · N) · (G − dose · G₀) F."""
        excess = statistic / self.elements - self.target
        weights = excess.detach() * (4 / (excess.numel() * self.elements))

        def pull(features: Tensor) -> Tensor:
            flat = features.detach().flatten(2)[0]
            # Laid out as the features are, whichever way that is: an executor goes on from there.
            pulled = torch.mm(weights.to(flat.dtype), flat, out=torch.empty_like(flat))
            return pulled.view_as(features)

        return excess.square().mean(), pull
