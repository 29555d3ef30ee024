"""Content objective: hold the features of a layer where the source has them."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from dream_core.objectives.objective import Pull


@dataclass(frozen=True)
class ContentHold:
    """Pull a layer's features back to the source's own: mean((F − F₀)²).

    Source: the content loss of neural-style, Gatys et al. 2015 (arXiv:1508.06576), as a mean.
    """

    # A part's features alone don't say which part of F₀ they belong to.
    splits: ClassVar[bool] = False

    target: Tensor  # (1, C, H, W): F₀

    def measure(self, features: Tensor) -> Tensor:
        """Return Σ (F − F₀)², a scalar; at least float32, which doesn't overflow."""
        return self._away(features).square().sum()

    def solve(self, statistic: Tensor) -> tuple[Tensor, Pull]:
        """Return the loss and how it pulls: 2 / N · (F − F₀)."""
        elements = self.target.numel()

        def pull(features: Tensor, onto: Tensor | None = None, *, over: bool = False) -> Tensor:
            own = self._away(features) * (2 / elements)
            if onto is not None:
                return onto.add_(own)
            return features.copy_(own) if over else own.to(features.dtype)

        return statistic / elements, pull

    def _away(self, features: Tensor) -> Tensor:
        wide = torch.promote_types(features.dtype, torch.float32)
        return features.to(wide) - self.target.to(wide)
