"""Batch norm, folded into the convolution before it: two layers less, the same features."""

import numpy as np
from numpy.typing import NDArray


def fold(
    weight: NDArray[np.float32],
    *,
    scale: NDArray[np.float32] | None,
    shift: NDArray[np.float32],
    mean: NDArray[np.float32],
    variance: NDArray[np.float32],
    epsilon: float,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return weight and bias of the convolution that does the batch norm's work as well.

    Args:
        weight: (O, I / groups, kh, kw), of a convolution without bias.
        scale: (O,), the batch norm's learned factor; None where it has none.
        shift: (O,), what it adds.
        mean: (O,), running mean.
        variance: (O,), running variance.
        epsilon: what it adds to the variance before the root.

    Returns:
        weight (O, I / groups, kh, kw) and bias (O,), float32: rounded once, after float64.
    """
    factor = 1 / np.sqrt(variance.astype(np.float64) + epsilon)
    if scale is not None:
        factor *= scale
    folded = weight.astype(np.float64) * factor[:, None, None, None]
    bias = shift - mean * factor
    return folded.astype(np.float32), bias.astype(np.float32)
