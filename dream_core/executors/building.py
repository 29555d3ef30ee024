"""From a way of running a network and its weights to the executor, where the way can be had."""

from collections.abc import Mapping

import torch
from torch import Tensor

from dream_core import native
from dream_core.executors.autograd import Autograd
from dream_core.executors.convolutions import TorchConvolutions
from dream_core.executors.direct import Direct
from dream_core.executors.executor import Executor
from dream_core.executors.kept import KeptConvolutions
from dream_core.executors.way import REFERENCE, WAYS, Way
from dream_core.executors.winograd import WinogradConvolutions
from dream_core.forms.storage import HALF, Storage

# It has float32's range, so nothing has to be scaled; float16 ends at 65,504.
SIXTEEN_BIT = torch.bfloat16
KERNEL_SCRATCH = 6 * 2**20  # bytes that a thread holds: at most 96 tiles and their sums
MULTIPLIES_FEWER_BITS = (8, 0)  # compute capability from which a GPU has TF32 and bfloat16


def ways_here(device: torch.device) -> tuple[Way, ...]:
    """Return the ways that can be had on a device: without the native kernel only torch's."""
    return tuple(way for way in WAYS if _can_be_had(way, device))


def _can_be_had(way: Way, device: torch.device) -> bool:
    if device.type == "mps":  # nobody has tried anything else there
        return way == REFERENCE
    if device.type == "cuda" and way.precision != "exact":
        able = torch.cuda.get_device_capability(device) >= MULTIPLIES_FEWER_BITS
        return way.executor == "direct" and able
    if way.executor in ("autograd", "direct"):
        return True
    if device.type != "cpu" or not native.available():
        return False
    multiplies_16_bit = way.executor == "winograd" and way.precision != "exact"
    return bool(native.paths("bfloat16")) or not multiplies_16_bit


def build(way: Way, weights: Mapping[str, Tensor], dtype: torch.dtype) -> Executor:
    """Return what runs layers with these weights, of `dtype`, in that way."""
    if way == REFERENCE:
        return Autograd(weights)
    exact, fast = way.precision == "exact", way.precision == "fast"
    if any(tensor.is_cuda for tensor in weights.values()):
        kind = SIXTEEN_BIT if fast else dtype
        by_values = KeptConvolutions(weights, kind, tf32_back=way.precision == "balanced")
        return Direct([by_values], [by_values], lean=False)
    full, short = TorchConvolutions(weights, dtype), TorchConvolutions(weights, SIXTEEN_BIT)
    forth, back = (short if fast else full), (full if exact else short)
    if way.executor == "direct" or dtype != torch.float32:  # the kernel takes no other weights
        return Direct([forth], [back])
    kernel_forth = WinogradConvolutions(weights, "bfloat16" if fast else "float32")
    kernel_back = WinogradConvolutions(weights, "float32" if exact else "bfloat16")
    return Direct([kernel_forth, forth], [kernel_back, back])


def storage(way: Way, device: str, dtype: torch.dtype = torch.float32) -> Storage:
    """Return how what `build` makes of a way keeps its values: what its memory depends on.

    Of another device than a CPU we say what the reference keeps, which is the most.
    """
    full = dtype.itemsize
    unfolds = device == "cpu" and dtype == torch.float64  # oneDNN has no form for it
    if way == REFERENCE or device != "cpu":
        return Storage(full=full, forth=full, back=full, unfolds=unfolds)
    by_kernel = way.executor == "winograd" and dtype == torch.float32
    return Storage(
        lean=True,
        full=full,
        forth=HALF if way.precision == "fast" else full,
        back=full if way.precision == "exact" else HALF,
        unfolds=unfolds,
        kernel_forth=by_kernel,
        kernel_back=by_kernel,
        scratch=KERNEL_SCRATCH * torch.get_num_threads() if by_kernel else Storage.scratch,
    )
