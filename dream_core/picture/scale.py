"""Scale a picture to the size it is dreamed at: the best resampler we know, and 2015's own."""

from collections.abc import Callable
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Planes: TypeAlias = NDArray[np.float32]
Samples: TypeAlias = NDArray[np.float32] | NDArray[np.uint8] | NDArray[np.uint16]
Resampler: TypeAlias = Literal["lanczos", "classic"]

BAND_SAMPLES = 1 << 20  # 4 MB of float32 at a time; smaller bands measured slower, larger no faster


def scale(planes: Samples, size: tuple[int, int], resampler: Resampler = "lanczos") -> Planes:
    """Return `planes` at `size`: every row to its new width first, then every column.

    Works on the sRGB values as they are, not on light: networks were trained on pictures that were
    shrunk so, and Lanczos rings darker around bright spots in linear light.

    Args:
        planes: (C, h, w) in [0, 1], or uint8 / uint16 as parts of their largest value. Only a band
            of it is converted at a time, so 40 megapixels need no more than their result.
        size: (height, width) to scale to, up or down.
        resampler: "lanczos" is Pillow's in float32, three lobes, widened when shrinking (so
            nothing aliases); what overshoots at an edge is clipped, because a source lies in
            [0, 1]. "classic" is the 2015 program's: linear with corners aligned when growing, the
            mean over the area when shrinking.

    Returns:
        (C, height, width) float32 in [0, 1]; at the same size a copy of the same values.

    Source: `classic` is what torch7's `image.scale` computed (golden/README.md, "Scaling").
    """
    height, width = size
    rows_to = {"lanczos": _lanczos, "classic": _classic}[resampler]
    scaled = np.empty((len(planes), height, width), np.float32)
    for plane, target in zip(planes, scaled, strict=True):
        narrowed = _every_row(plane, width, rows_to)
        target.T[:] = _every_row(narrowed.T, height, rows_to)
    return np.clip(scaled, 0, 1, out=scaled)


def _every_row(plane: Samples, length: int, rows_to: Callable[[Planes, int], Planes]) -> Planes:
    """Return (rows, length) of a plane (rows, n), some rows at a time."""
    rows, samples = plane.shape
    result = np.empty((rows, length), np.float32)
    band = max(1, BAND_SAMPLES // max(samples, length))
    for first in range(0, rows, band):
        part = as_fractions(plane[first : first + band])
        result[first : first + band] = part if samples == length else rows_to(part, length)
    return result


def as_fractions(samples: Samples) -> Planes:
    """Return contiguous float32: integers as parts of the largest their type holds."""
    fractions = np.array(samples, np.float32, order="C")
    if samples.dtype.kind == "u":
        fractions /= 255 if samples.dtype == np.uint8 else 65_535
    return fractions


def _lanczos(rows: Planes, length: int) -> Planes:
    resized = Image.fromarray(rows).resize((length, len(rows)), Image.Resampling.LANCZOS)
    return np.array(resized, np.float32)


def _classic(rows: Planes, length: int) -> Planes:
    return _stretch(rows, length) if length > rows.shape[1] else _shrink(rows, length)


def _stretch(rows: Planes, length: int) -> Planes:
    """Interpolate linearly; the first and the last sample stay where they are."""
    last = rows.shape[1] - 1
    position = np.arange(length) * (last / (length - 1))
    left = np.minimum(position.astype(int), last)
    right = np.minimum(left + 1, last)
    share: Planes = (position - left).astype(np.float32)
    return rows[:, left] * (1 - share) + rows[:, right] * share


def _shrink(rows: Planes, length: int) -> Planes:
    """Take the mean over the stretch that each new sample covers, partly covered ones by part."""
    samples = rows.shape[1]
    starts = np.arange(length) * (samples / length)
    ends = np.minimum(starts + samples / length, samples)
    first = starts.astype(int)
    total = np.zeros((len(rows), length), np.float32)
    weight = np.zeros(length, np.float32)
    for tap in range(int(np.ceil(samples / length)) + 1):
        covered = np.minimum(ends, first + tap + 1) - np.maximum(starts, first + tap)
        share = np.maximum(covered, 0).astype(np.float32)
        total += rows[:, np.minimum(first + tap, samples - 1)] * share
        weight += share
    return total / weight
