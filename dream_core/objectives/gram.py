"""Gram objective: hold the texture of a layer to a dose of the source's own texture."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, NamedTuple, Self

import torch
from torch import Tensor

from dream_core import native
from dream_core.objectives.objective import Pull, wide_enough

# Positions that are turned to other bits at once on a CPU: what is written is read from its caches.
_AT_ONCE = 1 << 14


def correlate(features: Tensor) -> Tensor:
    """Sum the products of every pair of channels over all positions.

    Args:
        features: activations of one layer, (1, C, H, W), any float dtype.

    Returns:
        (C, C) F Fᵀ, in float32 or, of float64 features, float64. Adds up over disjoint parts of a
        picture.

    Source: the Gram matrix of Gatys et al. 2015 (arXiv:1508.06576), before its division.
    """
    wide = wide_enough(features)
    flat = features.flatten(2)[0]
    # Half precision ends at 65,504 and a sum over 512 × 512 positions doesn't: one inf would turn
    # the whole picture to NaN. Autocast is shut out, or it would halve the product again.
    with torch.autocast(features.device.type, enabled=False):
        if flat.dtype == wide:
            return flat @ flat.mT
        found = flat.new_zeros(len(flat), len(flat), dtype=wide)
        for few in _few(flat.mT):
            rows = few.to(wide)
            found.addmm_(rows.mT, rows)
        return found


def pull(features: Tensor, weights: Tensor, onto: Tensor | None, over: bool) -> Tensor:
    """Return weights · F at every position; see `Pull`.

    Args:
        features: (1, C, H, W), any float dtype.
        weights: (C, C), symmetric.
        onto: (1, C, H, W) that it is added to, in place; may be a part that is cut out.
        over: without `onto`, whether to write over the features.
    """
    flat = features.flatten(2)[0]
    if onto is not None:
        return _add_product(onto, flat.mT, weights)
    if not over:
        # Laid out as the features are, whichever way: an executor goes on from there.
        pulled = torch.mm(weights.to(flat.dtype), flat, out=torch.empty_like(flat))
        return pulled.view_as(features)
    for few in _few(flat.mT):
        few.copy_(few @ weights.to(few.dtype))
    return flat.view_as(features)


def _correlate_by_kernel(features: Tensor) -> Tensor:
    if not native.reads(features):
        return correlate(features)
    return native.correlate(features.detach(), threads=torch.get_num_threads())


def _pull_by_kernel(features: Tensor, weights: Tensor, onto: Tensor | None, over: bool) -> Tensor:
    if not (native.reads(features) and (onto is None or native.reads(onto))):
        return pull(features, weights, onto, over)
    return native.pull(features, weights, onto, over=over, threads=torch.get_num_threads())


class Products(NamedTuple):
    """How products of features are computed."""

    correlate: Callable[[Tensor], Tensor]
    pull: Callable[[Tensor, Tensor, Tensor | None, bool], Tensor]


BY_TORCH = Products(correlate, pull)
BY_KERNEL = Products(_correlate_by_kernel, _pull_by_kernel)
"""The native kernel's, where it reads such features, else torch's."""


@dataclass(frozen=True)
class GramDose:
    """Pull a layer towards `dose` times its own Gram matrix: 1 keeps it, 0 and less unmake it.

    Source: neural_dream.lua (2015): G = F Fᵀ / (C·H·W), loss mean((G − dose · G₀)²).
    """

    splits: ClassVar[bool] = True

    target: Tensor  # (C, C): dose · G₀
    elements: int  # C·H·W of the layer over the whole picture, whatever part is asked
    products: Products

    @classmethod
    def capture(
        cls,
        gram: Tensor,
        dose: float,
        elements: int,
        products: Products = BY_TORCH,
    ) -> Self:
        """Fix the target from the source's Gram matrix, divided by the source's own elements."""
        return cls(dose * gram, elements, products)

    def measure(self, features: Tensor) -> Tensor:
        """Return the part's share of the statistic, as in `correlate`."""
        return self.products.correlate(features)

    def solve(self, statistic: Tensor) -> tuple[Tensor, Pull]:
        """Return the loss and how it pulls: 4 / (C² · N) · (G − dose · G₀) F."""
        excess = statistic / self.elements - self.target
        weights = excess.detach() * (4 / (excess.numel() * self.elements))

        def pull(features: Tensor, onto: Tensor | None = None, *, over: bool = False) -> Tensor:
            return self.products.pull(features.detach(), weights, onto, over)

        return excess.square().mean(), pull


def _add_product(onto: Tensor, rows: Tensor, weights: Tensor) -> Tensor:
    """Add features, (H · W, C), times weights, (C, C) symmetric, to (1, C, H, W), in its bits."""
    weights = weights.to(onto.dtype)
    width = onto.shape[3]
    if onto.stride(2) != width * onto.stride(3):  # a part that is cut on both sides is not flat
        return onto.add_((rows.to(onto.dtype) @ weights).mT.view_as(onto))
    to = onto.flatten(2)[0].mT
    if to.dtype == rows.dtype:
        to.addmm_(rows, weights)
    else:
        for there, few in zip(_few(to), _few(rows), strict=True):
            there.addmm_(few.to(to.dtype), weights)
    return onto


def _few(rows: Tensor) -> tuple[Tensor, ...]:
    """Cut (positions, C) into as many at a time as caches hold; elsewhere than on a CPU, all."""
    return torch.split(rows, _AT_ONCE if rows.device.type == "cpu" else len(rows))
