"""Chains: neighbouring layers that are computed as one, because nobody looks in between."""

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from dream_core.model import PICTURE, Layer

MOST_PLANES = 4  # channels up to which the native kernel has a form of its own for a picture
FEWEST_READ = 9  # channels of features from which the kernel is the one to take


@dataclass(frozen=True)
class Chain:
    """A convolution with what follows it, or any other layer alone."""

    layers: tuple[Layer, ...]
    over: bool = False
    """Whether it may write over what it reads: nobody else needs that. See `planned`."""
    spare_forth: bool = False
    """Whether what comes out may be written over by who reads it, and needs a stripe more."""
    spare_back: bool = False
    """Whether so may what it gives back, by who made what it read."""

    @property
    def first(self) -> Layer:
        """The layer that reads."""
        return self.layers[0]

    @property
    def inputs(self) -> tuple[str, ...]:
        """What it reads."""
        return self.first.inputs

    @property
    def name(self) -> str:
        """The layer whose features come out."""
        return self.layers[-1].name

    @property
    def rectified(self) -> bool:
        """Whether a ReLU stands behind the convolution."""
        return any(layer.kind == "relu" for layer in self.layers)

    @property
    def pool(self) -> Layer | None:
        """The 2 × 2 pool at the end, if there is one."""
        last = self.layers[-1]
        return last if last.is_pool else None


def halves(layer: Layer) -> bool:
    """Whether a layer pools 2 × 2 windows that neither overlap nor leave gaps."""
    window = (layer.kernel, layer.stride, layer.padding, layer.dilation)
    return layer.is_pool and window == ((2, 2), (2, 2), (0, 0), (1, 1))


def is_3_by_3(layer: Layer) -> bool:
    """Whether Winograd has a form for a convolution, in the native kernel and in torch."""
    shape = (layer.kernel, layer.stride, layer.padding, layer.dilation, layer.groups)
    return shape == ((3, 3), (1, 1), (1, 1), (1, 1), 1)


def is_for_the_kernel(layer: Layer, reads: int) -> bool:
    """Whether the native kernel, where there is one, takes a convolution of so many channels.

    Of few it wins nothing over torch, and a tile rounds more than nine products in a row do.
    """
    of_picture = layer.inputs == (PICTURE,) and reads <= MOST_PLANES
    return is_3_by_3(layer) and (of_picture or reads >= FEWEST_READ)


def chains(layers: Sequence[Layer], asked: Collection[str]) -> Iterator[Chain]:
    """Cut layers into chains: convolution, ReLU, 2 × 2 pool, each read by the next one only.

    A layer that is asked ends its chain: its features must be seen, and are pulled at.
    """
    readers = Counter(name for layer in layers for name in layer.inputs)
    open_chain: list[Layer] = []
    for layer in layers:
        last = open_chain[-1] if open_chain else None
        if last and not (
            layer.inputs == (last.name,)
            and readers[last.name] == 1
            and last.name not in asked
            and _follows(open_chain, layer)
        ):
            yield Chain(tuple(open_chain))
            open_chain = []
        open_chain.append(layer)
    if open_chain:
        yield Chain(tuple(open_chain))


def _follows(chain: Sequence[Layer], layer: Layer) -> bool:
    first, last = chain[0], chain[-1]
    if first.kind != "convolution":
        return False
    if layer.kind == "relu":
        return last.kind == "convolution" and not layer.negative_slope
    return last.kind in ("convolution", "relu") and halves(layer)
