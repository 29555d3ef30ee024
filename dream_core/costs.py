"""Costs: what there is to do in an iteration, and how long a machine takes for each kind. No torch.

Multiply-adds alone say little: an iteration at relu1_1 has a two-hundredth of those at relu5_1 and
takes half its time, as memory is what it waits for.
"""

from collections.abc import Sequence
from dataclasses import astuple, dataclass
from itertools import product
from math import prod
from typing import Self

import numpy as np
from numpy.typing import NDArray

from dream_core.forms.choice import work
from dream_core.forms.form import WHOLE, Form
from dream_core.forms.storage import REFERENCE, Storage
from dream_core.model import Model
from dream_core.spec import DreamSpec

# Features of more bytes lie in pages that the system gives out anew at each iteration: glibc's
# allocator keeps no larger ones.
LARGE_BYTES = 32 << 20
# How much what is known before counts beside what was measured; 0.03 to 0.2 foretold alike.
TRUST = 0.05


@dataclass(frozen=True)
class Costs:
    """By kind: how much an iteration has of it; or the seconds that one of each takes."""

    multiply_adds: float = 0.0  # of convolutions, there and back
    elements: float = 0.0  # that convolutions write
    large: float = 0.0  # those of them that lie in large features
    weights: float = 0.0  # read whatever the picture's size
    asked: float = 0.0  # elements of the layers that are asked
    products: float = 0.0  # multiply-adds of their Gram matrices
    saved: float = 0.0  # pixels of frames

    @classmethod
    def of(
        cls,
        model: Model,
        spec: DreamSpec,
        size: tuple[int, int],
        form: Form = WHOLE,
        *,
        storage: Storage = REFERENCE,
        frames: int = 0,
    ) -> Self:
        """Return what an iteration has to do.

        Args:
            model: the spec's.
            spec: what is dreamed.
            size: (height, width) that it works at.
            form: in which the picture is seen; where that is parts, some are run again.
            storage: what the executor keeps; bands whose tapes are bits go in once.
            frames: that are saved in all its iterations.
        """
        layers = spec.all_layers()
        needed, sizes = model.needed_for(layers), model.sizes(layers, *size, spec.pooling)
        held = {each.name: each.channels * prod(sizes[each.name]) for each in needed}
        convolutions = [each for each in needed if each.kind == "convolution"]
        written = [held[each.name] for each in convolutions]
        whole = work(model, spec, size)
        again = work(model, spec, size, form, storage) / whole if whole else 1.0
        parted = form != WHOLE
        return cls(
            multiply_adds=again * whole,
            elements=again * sum(written),
            large=0 if parted else sum(each for each in written if each * 4 > LARGE_BYTES),
            weights=again
            * sum(prod(each.kernel) * _pairs(model, each.name) for each in convolutions),
            asked=sum(held[name] for name in layers),
            products=sum(2 * held[name] * model.by_name[name].channels for name in spec.layers),
            saved=frames * prod(size) / spec.iterations,
        )

    def seconds(self, rates: "Costs") -> float:
        """Return how long all of it takes, by the seconds that one of each kind takes."""
        return float(np.dot(astuple(self), astuple(rates)))


# Of `winograd exact` on two cores of an Intel Xeon with AMX, by 40 dreams of 128 to 1024 pixels.
# What a machine has in common with others: how kinds compare. Never told as its speed.
TYPICAL = Costs(1.8e-12, 0.4e-9, 1.2e-9, 2.0e-9, 1.5e-9, 13e-12, 85e-9)


def fit(
    looks: Sequence[tuple[Costs, float]], known: Costs = TYPICAL, trust: float = TRUST
) -> Costs:
    """Return the seconds of each kind that explain what was measured; none below zero.

    A look that another program made long can't be explained, and so counts little.

    Args:
        looks: what an iteration had to do, and the seconds that it took; at least one.
        known: what such machines take. Only how its kinds compare counts, and the less the more
            was measured.
        trust: in that.
    """
    amounts = np.array([astuple(costs) for costs, _ in looks])
    seconds = np.array([took for _, took in looks])
    rates = np.array(astuple(known))
    expected = float(np.median(seconds / (amounts @ rates))) * rates
    rows = amounts * expected / seconds[:, None]
    kinds = len(rates)
    square = rows.T @ rows + trust**2 * np.eye(kinds)
    found = _not_negative(square, rows.sum(0) + trust**2)
    return Costs(*map(float, expected * found))


def _not_negative(square: NDArray[np.float64], aim: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return x ≥ 0 with xᵀ square x / 2 - aim · x least: the best over all sets of zeros."""
    kinds = len(aim)
    kept = np.array(list(product((False, True), repeat=kinds)))
    # A kind that is left out has an equation of its own: it is zero.
    both = kept[:, :, None] & kept[:, None, :]
    systems = np.where(both, square, np.eye(kinds))
    found = np.linalg.solve(systems, np.where(kept, aim, 0.0)[:, :, None])[:, :, 0]
    cost = np.einsum("si,ij,sj->s", found, square, found) / 2 - found @ aim
    best: NDArray[np.float64] = found[np.where(found.min(1) >= 0, cost, np.inf).argmin()]
    return best


def _pairs(model: Model, name: str) -> int:
    """Return how many pairs of channels a convolution joins."""
    layer = model.by_name[name]
    inputs = sum(
        model.by_name[each].channels if each in model.by_name else 3 for each in layer.inputs
    )
    return inputs // layer.groups * layer.channels
