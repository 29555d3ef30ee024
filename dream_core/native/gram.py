"""The kernel's Gram matrix: the products of every pair of channels, summed over all positions."""

import torch
from torch import Tensor

from dream_core.native.convolution import call_of, is_channels_last, run
from dream_core.native.library import Operands, paths

_OPERANDS: dict[torch.dtype, Operands] = {torch.float32: "float32", torch.bfloat16: "bfloat16"}


def correlates(features: Tensor) -> bool:
    """Return whether the kernel reads such features here."""
    return (
        features.device.type == "cpu"
        and features.shape[0] == 1
        and is_channels_last(features, features.dtype)
        and features.dtype in _OPERANDS
        and bool(paths(_OPERANDS[features.dtype]))
    )


def correlate(features: Tensor, *, threads: int, path: str | None = None) -> Tensor:
    """Return F Fᵀ, (C, C) float32, of features, (1, C, H, W), that it `correlates`.

    Products of 16-bit features are exact, and all sums are float32.

    Args:
        features: channels last in memory, float32, or bfloat16 where the kernel multiplies it.
        threads: at most so many; the result's bits don't depend on it.
        path: one of the dtype's `paths`; the best where None.
    """
    if not correlates(features):
        raise ValueError("the kernel reads one picture's features, channels last in memory")
    _, channels, height, width = features.shape
    found = torch.empty(channels, channels)
    call = call_of(
        features, None, found, size=(height, width), channels=(channels, channels), threads=threads
    )
    run("dream_gram", "dream_gram_scratch_bytes", call, path, _OPERANDS[features.dtype])
    return found
