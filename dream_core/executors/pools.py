"""Pools both ways, in torch's own operators; a max pool's way back as its bits say."""

import torch
from torch import Tensor
from torch.nn import functional

from dream_core.executors import bits
from dream_core.model import Layer


def average(features: Tensor, pool: Layer) -> Tensor:
    """Return an average pool's output."""
    return functional.avg_pool2d(
        features,
        pool.kernel,
        pool.stride,
        pool.padding,
        ceil_mode=pool.rounds_up,
        count_include_pad=pool.counts_padding,
    )


def unpool(
    gradient: Tensor,
    pool: Layer,
    alive: Tensor | None,
    size: tuple[int, int],
    *,
    scratch: bool = False,
    layout: torch.memory_format = torch.channels_last,
) -> Tensor:
    """Return a pool's gradient at what it read, of `size`; a max pool's as its bits say.

    Args:
        gradient: at what the pool gave.
        pool: of 2 × 2 and stride 2, or an average pool of any size.
        alive: a max pool's bits.
        size: (height, width).
        scratch: it is used up at once, see `Rooms.features`.
        layout: an average pool's; a max pool's are channels last.
    """
    if pool.kind == "max_pool":
        assert alive is not None  # noqa: S101  # every max pool writes them
        return bits.unpool(gradient, alive, *size, scratch=scratch)
    found: Tensor = torch.ops.aten.avg_pool2d_backward(
        gradient,
        shaped(gradient, torch.Size((*gradient.shape[:2], *size)), layout),
        pool.kernel,
        pool.stride,
        pool.padding,
        pool.rounds_up,
        pool.counts_padding,
        None,
    )
    return found


def window(pool: Layer) -> tuple[list[int], list[int], list[int], list[int], bool]:
    """Return a max pool's window as torch's operators take it."""
    sides = (pool.kernel, pool.stride, pool.padding, pool.dilation)
    kernel, stride, padding, dilation = map(list, sides)
    return kernel, stride, padding, dilation, pool.rounds_up


def shaped(
    gradient: Tensor, shape: torch.Size, layout: torch.memory_format = torch.channels_last
) -> Tensor:
    """Stand in for what was read: without weights' gradients only shape and layout are looked at.

    What comes of it is laid out so.
    """
    return torch.empty(shape, dtype=gradient.dtype, device=gradient.device, memory_format=layout)
