"""Wishes: what a dream asks of each layer, fixed from its source, and how all of them pull."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import NamedTuple

from torch import Tensor

from dream_core.model import Model
from dream_core.objectives import ContentHold, GramDose, Objective, Products
from dream_core.objectives.objective import Pull, wide_enough
from dream_core.sights import Sight
from dream_core.sights.sight import Measure
from dream_core.spec import DreamSpec

NORMALIZE_EPSILON = 1e-8  # the 2015 program's: keeps a layer without any pull from dividing by zero

See = Callable[[Tensor, Collection[str]], Sight]
"""From a picture and the layers that are asked to a look at it."""


@dataclass(frozen=True)
class Wish:
    """One objective at one layer, and how much it weighs."""

    name: str
    layer: str
    objective: Objective
    weight: float = 1.0


class Looked(NamedTuple):
    """A look that has told of each wish what it asks, and can still pull."""

    sight: Sight
    statistics: Sequence[Tensor]


def capture(
    picture: Tensor,
    style: Callable[[], Tensor],
    spec: DreamSpec,
    model: Model,
    *,
    see: See,
    products: Products,
) -> tuple[tuple[Wish, ...], Looked | None]:
    """Fix every target by the plan that also steps, or dose 1 would not be exactly nothing.

    Args:
        picture: the source, (3, H, W).
        style: makes the source at the size that the Gram targets are taken from, if that is
            another one.
        spec: what is dreamed.
        model: whose layers are asked.
        see: how the plan looks.
        products: how Gram matrices and their pulls are computed.

    Returns:
        The wishes; and the look at the picture that they come from. None where it looked at another
        size, or features that it holds are targets now.
    """
    grams = [(layer, products.correlate) for layer in spec.layers]
    held = [(layer, _itself) for layer in spec.content_layers]
    same_size = spec.style_scale == 1
    seen: list[Tensor] = []
    sight = None
    if same_size or held:
        sight = see(picture, spec.all_layers())
        seen = sight.gather([*(grams if same_size else []), *held])
    textures, source = seen, picture
    if not same_size:
        source = style()
        textures = see(source, spec.layers).gather(grams)
    here, there = _elements(picture, spec, model), _elements(source, spec, model)
    wishes = []
    for (layer, dose), texture in zip(spec.layers.items(), textures, strict=False):
        target = texture / there[layer]
        wishes.append(Wish(layer, layer, GramDose.capture(target, dose, here[layer], products)))
    features = seen[len(seen) - len(held) :]
    for layer, target in zip(spec.content_layers, features, strict=True):
        wishes.append(Wish(f"content:{layer}", layer, ContentHold(target), spec.content_weight))
    return tuple(wishes), None if held or sight is None else Looked(sight, seen)


def measured(sight: Sight, wishes: Sequence[Wish]) -> Looked:
    """Ask of every wish how far it is from being fulfilled."""
    asked = [(wish.layer, wish.objective.measure) for wish in wishes]
    return Looked(sight, sight.gather(asked))


def answered(
    looked: Looked, wishes: Sequence[Wish], *, normalize: bool
) -> tuple[Mapping[str, Tensor], list[tuple[str, Pull]]]:
    """Return the weighted loss of every wish by its name, and how all of them pull at layers.

    `normalize` makes every layer pull alike before it is weighed.
    """
    sight, statistics = looked
    losses: dict[str, Tensor] = {}
    pulls: list[tuple[str, Pull]] = []
    for wish, statistic in zip(wishes, statistics, strict=True):
        loss, pull = wish.objective.solve(statistic)
        losses[wish.name] = loss * wish.weight
        pulls.append((wish.layer, pull))
    if normalize:
        pulls = _normalized(sight, pulls)
    return losses, [
        (layer, _times(wish.weight, pull))
        for wish, (layer, pull) in zip(wishes, pulls, strict=True)
    ]


def _elements(picture: Tensor, spec: DreamSpec, model: Model) -> dict[str, int]:
    """Return channels · height · width of each layer with a dose, of a picture, (3, H, W)."""
    _, height, width = picture.shape
    sizes = model.sizes(spec.layers, height, width, spec.pooling)
    return {layer: model.by_name[layer].channels * prod(sizes[layer]) for layer in spec.layers}


def _itself(features: Tensor) -> Tensor:
    return features


def _times(weight: float, pull: Pull) -> Pull:
    if weight == 1:  # the product would be one more tensor, as large as the features
        return pull
    return _changed(pull, lambda own: own.mul_(weight))


def _changed(pull: Pull, change: Callable[[Tensor], Tensor]) -> Pull:
    """Return a pull whose own part is changed, which may be in place, before it is added."""

    def changed(features: Tensor, onto: Tensor | None = None, *, over: bool = False) -> Tensor:
        own = change(pull(features, over=over))
        return own if onto is None else onto.add_(own)

    return changed


def _normalized(sight: Sight, pulls: Sequence[tuple[str, Pull]]) -> list[tuple[str, Pull]]:
    """Make every layer pull alike, whatever its dose and depth: divide by the whole's L1 norm."""

    def size_of(pull: Pull) -> Measure:
        return lambda features: pull(features).abs().sum(dtype=wide_enough(features))

    def divided(pull: Pull, norm: Tensor) -> Pull:
        return _changed(pull, lambda own: own.div_(norm + NORMALIZE_EPSILON))

    norms = sight.gather([(layer, size_of(pull)) for layer, pull in pulls])
    return [(layer, divided(pull, norm)) for (layer, pull), norm in zip(pulls, norms, strict=True)]
