"""The kernel on torch's tensors: checks what it is given, hands over addresses and scratch room."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from dream_core.native.library import (
    BEST_FIRST,
    DTYPES,
    Call,
    Operands,
    parallel,
    paths,
    reason,
)
from dream_core.native.row import Row, Work, opened
from dream_core.native.stripes import stripes

Pool = Literal["max", "avg"] | None

_CONVOLVE = Work("dream_convolve", "dream_scratch_bytes")
_CONVOLVE_PICTURE = Work("dream_convolve_picture", "dream_picture_scratch_bytes")
_PULL_BACK_TO_PICTURE = Work("dream_pull_back_to_picture", "dream_picture_scratch_bytes")
_POOLS: dict[Pool, int] = {None: 0, "max": 1, "avg": 2}


def new_alive(channels: int, height: int, width: int) -> Tensor:
    """Return room for one bit of each output of a convolution, (H, W, ⌈C / 8⌉) uint8.

    Channel c of a position is bit c % 8 of byte c // 8. Without a pool and under `avg` it says
    that the output is above zero; under `max`, also that its 2 × 2 window chose it: of equals the
    first in reading order, as torch does. H and W are the convolution's own under a pool too.
    """
    return torch.empty(height, width, -(-channels // 8), dtype=torch.uint8)


def let_first_pass(alive: Tensor, moves: Sequence[tuple[int, int, Tensor]]) -> None:
    """Let pass, in windows of a max pool that hold equals, the first that is equal to the choice.

    Args:
        alive: what `convolve` wrote under `max`, which is done: it waits in no row. Written.
        moves: from which place of a 2 × 2 window to which other, in reading order, and in which
            windows, (h, w) bool; one after the other.
    """
    for place, before, where in moves:
        rows, columns = where.nonzero(as_tuple=True)
        left = (2 * rows + place // 2, 2 * columns + place % 2)
        taken = (2 * rows + before // 2, 2 * columns + before % 2)
        alive[taken] |= alive[left]
        alive[left] = 0


def unpack(alive: Tensor, channels: int) -> Tensor:
    """Return the bits as (1, C, H, W) bool, channels last in memory."""
    bits = alive.unsqueeze(-1) >> torch.arange(8, dtype=torch.uint8) & 1
    return bits.flatten(2)[:, :, :channels].bool().permute(2, 0, 1).unsqueeze(0)


def convolve(
    features: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    *,
    rectify: bool = True,
    pool: Pool = None,
    rounds_up: bool = False,
    alive: Tensor | None = None,
    out: Tensor | None = None,
    threads: int,
    operands: Operands = "float32",
    path: str | None = None,
) -> Tensor:
    """Convolve, add the bias, rectify and pool in one pass.

    Args:
        features: (1, C, H, W) float32, channels last in memory; bfloat16 with such operands.
        weight: (K, C, 3, 3) float32, contiguous: torch's own form, nothing is kept of it.
        bias: (K,) or None.
        rectify: False leaves the convolution's own values; not before a pool.
        pool: 2 × 2, stride 2, behind the ReLU. A NaN passes through both.
        rounds_up: a window that hangs over the edge counts, and `avg` divides by what is there.
        alive: from `new_alive`, written where given.
        out: (1, K, h, w), channels last, written and returned where given. It may be written over
            what is read, of the same shape and at least five rows away: see `stripes`.
        threads: at most so many; the result's bits don't depend on it.
        operands: what is multiplied; sums are float32.
        path: one of `paths(operands)`; the best where None.

    Returns:
        (1, K, h, w) as the features are: their dtype, channels last.
    """
    _, channels, height, width = features.shape
    outputs = weight.shape[0]
    _check(features, weight, (outputs, channels), alive, (outputs, height, width))
    if pool and not rectify:
        raise ValueError("a pool follows the ReLU: leave rectify on, or pool elsewhere")
    out = _room(out, features.dtype, outputs, *_after(pool, rounds_up, height, width))
    call = call_of(
        features,
        weight,
        out,
        alive=alive,
        size=(height, width),
        channels=(channels, outputs),
        threads=threads,
    )
    call.bias = _address(bias)
    call.rectify, call.pool, call.rounds_up = rectify, _POOLS[pool], rounds_up
    _run_in_stripes(call, path, operands, read=features, written=out, alive=alive)
    return out


def pull_back(
    gradient: Tensor,
    weight: Tensor,
    *,
    alive: Tensor | None,
    size: tuple[int, int],
    pool: Pool = None,
    rounds_up: bool = False,
    out: Tensor | None = None,
    threads: int,
    operands: Operands = "float32",
    path: str | None = None,
) -> Tensor:
    """Return d loss / d features of `convolve`, (1, C, H, W), channels last.

    Args:
        gradient: d loss / d what `convolve` returned, (1, K, h, w), channels last.
        weight: as for `convolve`.
        alive: what `convolve` wrote. Where a bit is 0 the gradient is taken as zero; None: no ReLU
            and no max pool stands behind the convolution.
        size: (H, W) of the convolution, which a pool's gradient doesn't tell.
        pool: as for `convolve`.
        rounds_up: as for `convolve`.
        out: (1, C, H, W), channels last, written and returned where given; as for `convolve`.
        threads: as for `convolve`.
        operands: as for `convolve`.
        path: as for `convolve`.
    """
    outputs, channels = weight.shape[:2]
    _check(gradient, weight, (gradient.shape[1], channels), alive, (outputs, *size))
    if tuple(gradient.shape[2:]) != _after(pool, rounds_up, *size):
        raise ValueError(f"a gradient of {tuple(gradient.shape)} doesn't fit {size} under {pool}")
    if pool == "max" and alive is None:
        raise ValueError("a max pool can't be pulled back without the bits of its choices")
    out = _room(out, gradient.dtype, channels, *size)
    call = call_of(
        gradient, weight, out, alive=alive, size=size, channels=(outputs, channels), threads=threads
    )
    call.back, call.pool, call.rounds_up = True, _POOLS[pool], rounds_up
    _run_in_stripes(call, path, operands, read=gradient, written=out, alive=alive)
    return out


def convolve_picture(
    picture: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    *,
    rectify: bool = True,
    alive: Tensor | None = None,
    out: Tensor | None = None,
    threads: int,
    operands: Operands = "float32",
    path: str | None = None,
) -> Tensor:
    """Convolve a picture, (1, C, H, W) float32 contiguous (planes), of few channels.

    What is multiplied is float32; the operands' dtype is what is returned. See `convolve`.
    """
    batch, channels, height, width = picture.shape
    outputs = weight.shape[0]
    if batch != 1 or picture.dtype != torch.float32:
        found = f"{tuple(picture.shape)} {picture.dtype}"
        raise ValueError(f"the kernel reads the planes of one float32 picture, not {found}")
    _check(None, weight, (outputs, channels), alive, (outputs, height, width))
    out = _room(out, DTYPES[operands], outputs, height, width)
    planes = picture.contiguous()
    call = call_of(
        planes,
        weight,
        out,
        alive=alive,
        size=(height, width),
        channels=(channels, outputs),
        threads=threads,
    )
    call.bias, call.rectify = _address(bias), rectify
    run(_CONVOLVE_PICTURE, call, path, operands, planes, out, alive, waits=True)
    return out


def pull_back_to_picture(
    gradient: Tensor,
    weight: Tensor,
    *,
    alive: Tensor | None,
    out: Tensor | None = None,
    threads: int,
    operands: Operands = "float32",
    path: str | None = None,
) -> Tensor:
    """Return d loss / d picture, (1, C, H, W) float32 contiguous (planes); see `pull_back`."""
    _, outputs, height, width = gradient.shape
    channels = weight.shape[1]
    _check(gradient, weight, (outputs, channels), alive, (outputs, height, width))
    if out is None:
        out = torch.empty(1, channels, height, width)
    call = call_of(
        gradient,
        weight,
        out,
        alive=alive,
        size=(height, width),
        channels=(outputs, channels),
        threads=threads,
    )
    call.back = True
    run(_PULL_BACK_TO_PICTURE, call, path, operands, gradient, out, alive, waits=True)
    return out


def _after(pool: Pool, rounds_up: bool, height: int, width: int) -> tuple[int, int]:
    if pool is None:
        return height, width
    return (height + rounds_up) // 2, (width + rounds_up) // 2


def _room(out: Tensor | None, dtype: torch.dtype, channels: int, height: int, width: int) -> Tensor:
    """Return `out` if it fits, a new tensor where there is none: (1, C, H, W), channels last."""
    if not height or not width:
        raise ValueError("nothing is left of so small a picture behind this pool")
    if out is None:
        return torch.empty(1, height, width, channels, dtype=dtype).permute(0, 3, 1, 2)
    if out.shape != (1, channels, height, width) or not is_channels_last(out, dtype):
        raise ValueError(f"out must be {(1, channels, height, width)} {dtype}, channels last")
    return out


def is_channels_last(tensor: Tensor, dtype: torch.dtype) -> bool:
    """Return whether a tensor, (1, C, H, W), is of that dtype and lies as (H, W, C)."""
    return tensor.dtype == dtype and tensor.permute(0, 2, 3, 1).is_contiguous()


def _check(
    given: Tensor | None,
    weight: Tensor,
    channels: tuple[int, int],
    alive: Tensor | None,
    behind: tuple[int, int, int],
) -> None:
    if given is not None and not (
        given.shape[0] == 1
        and given.dtype in (torch.float32, torch.bfloat16)
        and is_channels_last(given, given.dtype)
    ):
        raise ValueError("the kernel reads one float32 picture, channels last in memory")
    if weight.shape != (*channels, 3, 3) or weight.dtype != torch.float32:
        raise ValueError(f"weights of {tuple(weight.shape)} don't fit {(*channels, 3, 3)} float32")
    if not weight.is_contiguous():
        raise ValueError("the kernel reads weights that are contiguous")
    count, height, width = behind
    if alive is not None and (
        alive.shape != (height, width, -(-count // 8)) or not alive.is_contiguous()
    ):
        raise ValueError(f"bits of {tuple(alive.shape)} don't fit {behind}")


def _chosen(path: str | None, operands: Operands) -> str:
    """Return the path to go: asking for it is also what makes AMX ready."""
    here = paths(operands)
    if not here or (path and path not in here):
        raise ValueError(f"no {path or 'path'} for {operands} here; there is: {here or reason()}")
    return path or here[0]


def _address(tensor: Tensor | None) -> int | None:
    return None if tensor is None else tensor.data_ptr()


def call_of(
    read: Tensor,
    weight: Tensor | None,
    written: Tensor,
    *,
    alive: Tensor | None = None,
    size: tuple[int, int],
    channels: tuple[int, int],
    threads: int,
) -> Call:
    """Return a call, but for its scratch room, that reads and writes these tensors."""
    if threads < 1:
        raise ValueError(f"{threads} threads can't do anything; give 1 or more")
    return Call(
        input=read.data_ptr(),
        weight=_address(weight),
        output=written.data_ptr(),
        alive=_address(alive),
        parallel=parallel(),
        height=size[0],
        width=size[1],
        top=0,
        bottom=size[0],
        inputs=channels[0],
        outputs=channels[1],
        threads=threads,
        half=(read.dtype == torch.bfloat16) + 2 * (written.dtype == torch.bfloat16),
    )


def run(
    work: Work,
    call: Call,
    path: str | None,
    operands: Operands,
    *tensors: Tensor | None,
    waits: bool = False,
) -> None:
    """Run a function of the library on tensors that the call reads and writes.

    Args:
        work: the function.
        call: its argument.
        path: to go by; the best where None.
        operands: what is multiplied.
        tensors: but for weights, what has an address in the call.
        waits: whether it may wait in a row, where one is open.
    """
    path = _chosen(path, operands)
    if call.half and path not in BEST_FIRST["bfloat16"]:
        raise ValueError(f"the path {path} reads and writes float32 only")
    here = opened()
    row = here or Row()
    row.put(work, path, call, *tensors)
    if not (waits and here):
        row.run()


def _run_in_stripes(
    call: Call,
    path: str | None,
    operands: Operands,
    *,
    read: Tensor,
    written: Tensor,
    alive: Tensor | None,
) -> None:
    """Run a convolution: at once, or where it writes over what it reads, stripe by stripe."""
    for top, bottom in stripes(read, written, call.height):
        stripe = Call.from_buffer_copy(call)
        stripe.top, stripe.bottom = top, bottom
        run(_CONVOLVE, stripe, path, operands, read, written, alive, waits=True)
