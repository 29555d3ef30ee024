"""What the engine starts from: a picture at the size it is dreamed at."""

import numpy as np
from numpy.typing import NDArray

from dream_core.picture.picture import Picture
from dream_core.picture.scale import Planes, Resampler, scale


def working_source(
    picture: Picture, size: tuple[int, int], resampler: Resampler = "lanczos"
) -> tuple[Planes, NDArray[np.float32] | None]:
    """Return a picture at working size, and its alpha, which isn't dreamed but kept beside it.

    Color and alpha are scaled apart from each other: what lies under transparent pixels is seen by
    the network as it is in the file. A plane at a time, so beside the picture itself there is
    only one of its planes and the result in memory.

    Args:
        picture: as read.
        size: (height, width), as `DreamSpec.working_size` gives it.
        resampler: as in `scale`.

    Returns:
        (3, height, width) float32 in [0, 1]; (height, width) float32 in [0, 1], or None.
    """
    planes = [scale(picture.plane(channel)[None], size, resampler) for channel in range(3)]
    alpha = picture.alpha_plane()
    kept = None if alpha is None else scale(alpha[None], size, resampler)[0]
    return np.concatenate(planes), kept
