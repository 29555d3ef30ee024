"""The kernel's Gram matrix, and what it pulls: products of every pair of channels."""

import torch
from torch import Tensor

from dream_core.native.convolution import call_of, is_channels_last, run
from dream_core.native.library import DTYPES, Operands, paths
from dream_core.native.row import Work

_GRAM = Work("dream_gram", "dream_gram_scratch_bytes")
_PULL = Work("dream_pull", "dream_pull_scratch_bytes")
_OPERANDS = {dtype: operands for operands, dtype in DTYPES.items()}


def reads(features: Tensor) -> bool:
    """Return whether the kernel reads and writes such features here."""
    return (
        features.device.type == "cpu"
        and features.shape[0] == 1
        and is_channels_last(features, features.dtype)
        and features.dtype in _OPERANDS
        and bool(paths(_OPERANDS[features.dtype]))
    )


def correlate(features: Tensor, *, threads: int, path: str | None = None) -> Tensor:
    """Return F Fᵀ, (C, C) float32, of features, (1, C, H, W), that it `reads`.

    Products of 16-bit features are exact, and all sums are float32.

    Args:
        features: channels last in memory, float32, or bfloat16 where the kernel multiplies it.
        threads: at most so many; the result's bits don't depend on it.
        path: one of the dtype's `paths`; the best where None.
    """
    if not reads(features):
        raise ValueError("the kernel reads one picture's features, channels last in memory")
    _, channels, height, width = features.shape
    found = torch.empty(channels, channels)
    call = call_of(
        features, None, found, size=(height, width), channels=(channels, channels), threads=threads
    )
    run(_GRAM, call, path, _OPERANDS[features.dtype], features, found)
    return found


def pull(
    features: Tensor,
    weights: Tensor,
    onto: Tensor | None = None,
    *,
    over: bool = False,
    threads: int,
    path: str | None = None,
) -> Tensor:
    """Return weights · F at every position of features, (1, C, H, W), that it `reads`.

    Sums are float32. So is what is multiplied; but `avx512_bf16` multiplies numbers of 16 bit, two
    at a time, where either the features or what is written are such.

    Args:
        features: channels last in memory.
        weights: (C, C) float32, symmetric, contiguous.
        onto: (1, C, H, W) that it `reads`: what is added to, in place, and returned.
        over: without `onto`, write over the features.
        threads: at most so many; the result's bits don't depend on it.
        path: one of the wider dtype's `paths`; the best where None.
    """
    to = onto if onto is not None else features if over else torch.empty_like(features)
    _, channels, height, width = features.shape
    if not (reads(features) and reads(to) and to.shape == features.shape):
        raise ValueError("the kernel reads one picture's features, channels last in memory")
    square = weights.shape == (channels, channels) and weights.is_contiguous()
    if not square or weights.dtype != torch.float32:
        raise ValueError(f"weights must be {(channels, channels)} float32, contiguous")
    call = call_of(
        features, weights, to, size=(height, width), channels=(channels, channels), threads=threads
    )
    call.adds = onto is not None
    operands: Operands = "bfloat16" if call.half else "float32"
    run(_PULL, call, path, operands, features, to)
    return to
