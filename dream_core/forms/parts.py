"""Where a picture is cut: parts that don't overlap, each inside a crop that holds all it can see.

Exact for chains of convolutions that keep the size and pools whose windows don't overlap. A crop
begins at a multiple of the deepest stride, so that pools have the same windows as in the whole
picture; it ends at one too, or at the picture's true border, so that zero padding and the rounding
of odd sizes fall where they fell. What is wrong in a crop, the rows behind its cut edges, is never
asked: the halo is as wide as the layers can see.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from dream_core.model import PICTURE, Layer


@dataclass(frozen=True)
class Reach:
    """What one position of a layer is made of, in pixels of the picture."""

    stride: int  # from one position to the next
    halo: int  # seen beyond the position's own `stride` pixels, on each side


@dataclass(frozen=True)
class Stretch:
    """A part along one side of the picture, in pixels: [first, last) inside [begins, ends)."""

    first: int
    last: int
    begins: int
    ends: int
    is_last: bool  # it ends where the picture ends, and has whatever positions are left there

    def inside(self, stride: int) -> slice:
        """Return the part's own positions among those of its crop."""
        stop = None if self.is_last else (self.last - self.begins) // stride
        return slice((self.first - self.begins) // stride, stop)

    def outside(self, stride: int) -> slice:
        """Return the part's own positions among those of the whole picture."""
        return slice(self.first // stride, None if self.is_last else self.last // stride)


@dataclass(frozen=True)
class Part:
    """A part of a picture."""

    rows: Stretch
    columns: Stretch

    @property
    def crop(self) -> tuple[slice, slice, slice]:
        """Where its crop lies in a picture, (3, H, W)."""
        rows, columns = self.rows, self.columns
        return (
            slice(None),
            slice(rows.begins, rows.ends),
            slice(columns.begins, columns.ends),
        )


def reaches(layers: Sequence[Layer]) -> dict[str, Reach] | None:
    """Return what each layer can see, None where some layer can't be looked at in parts.

    Args:
        layers: in the order they run, as `Layer.under` has made them.
    """
    found: dict[str, Reach] = {}
    stride, halo = 1, 0
    for before, layer in pairwise([None, *layers]):
        if layer is None or layer.inputs != ((before.name if before else PICTURE),):
            return None
        if not _splits(layer):
            return None
        halo += _arm(layer) * stride
        stride *= layer.stride[0]
        found[layer.name] = Reach(stride, halo)
    return found


def parts(
    picture: tuple[int, int], reached: Mapping[str, Reach], size: tuple[int, int | None]
) -> list[Part]:
    """Cut a picture of (height, width) pixels.

    Args:
        picture: its size.
        reached: of all layers asked in these parts, in network order.
        size: of a part, rounded up to the deepest stride; None is all of the picture's width.
    """
    rows, columns = _cut(picture, reached, size)
    return [Part(vertical, horizontal) for vertical in rows for horizontal in columns]


def crops(
    layers: Sequence[Layer], picture: tuple[int, int], size: tuple[int, int | None]
) -> tuple[list[int], list[int]]:
    """Return the heights of the rows of crops that such parts have, and the widths of a row's.

    Args:
        layers: that run in parts.
        picture: as for `parts`.
        size: as for `parts`.

    Raises:
        ValueError: such layers can't be looked at in parts.
    """
    reached = reaches(layers)
    if reached is None:
        raise ValueError("these layers can't be looked at in parts")
    rows, columns = _cut(picture, reached, size)
    return [each.ends - each.begins for each in rows], [each.ends - each.begins for each in columns]


def _cut(
    picture: tuple[int, int], reached: Mapping[str, Reach], size: tuple[int, int | None]
) -> tuple[list[Stretch], list[Stretch]]:
    """Cut both sides: parts and halos are multiples of the deepest stride."""
    (height, width), (rows, columns) = picture, size
    stride = max(reach.stride for reach in reached.values())
    halo = _up_to(stride, max(reach.halo for reach in reached.values()))
    return (
        _stretches(height, _up_to(stride, rows), halo),
        _stretches(width, _up_to(stride, columns or width), halo),
    )


def _up_to(stride: int, length: int) -> int:
    """Return the next multiple of `stride`."""
    return -(-length // stride) * stride


def _stretches(length: int, size: int, halo: int) -> list[Stretch]:
    return [
        Stretch(
            first,
            min(first + size, length),
            max(first - halo, 0),
            min(first + size + halo, length),
            first + size >= length,
        )
        for first in range(0, length, size)
    ]


def _splits(layer: Layer) -> bool:
    """Whether a layer gives parts what it gives the whole, but for the halo."""
    if layer.kind == "convolution":
        span = layer.dilation[0] * (layer.kernel[0] - 1)
        keeps_size = layer.stride == (1, 1) and layer.padding == (span // 2, span // 2)
        return keeps_size and span % 2 == 0 and _is_square(layer)
    if layer.is_pool:
        return (
            layer.kernel == layer.stride
            and layer.padding == (0, 0)
            and layer.dilation == (1, 1)
            and _is_square(layer)
        )
    return layer.kind in ("relu", "local_response_norm")


def _is_square(layer: Layer) -> bool:
    return all(pair[0] == pair[1] for pair in (layer.kernel, layer.stride, layer.dilation))


def _arm(layer: Layer) -> int:
    """Return how many positions a layer sees beside its own, on each side."""
    return layer.padding[0] if layer.kind == "convolution" else 0
