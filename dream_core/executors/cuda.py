"""What only CUDA has: captured graphs, copies beside the stream, ways to multiply.

Nobody has run this file on a GPU yet: `docs/reference/gpu.md` says what is known of it.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from threading import Lock

import torch
from torch import Tensor

from dream_core.executors.memory import ran_out

log = logging.getLogger(__name__)

WARM_UPS = 2  # what libraries make when they are first called can't be made in a capture
_alone = Lock()  # torch allows one capture at a time in a process, and all are on one stream


class CudaStream:
    """Runs iterations on a device as one captured graph, and brings tensors to the host."""

    def __init__(self, device: torch.device) -> None:
        """Take the device's two streams: one to capture on, one to copy on."""
        self._device = device
        self._capturing, self._copying = _streams(device)

    def capture(self, iterate: Callable[[], None]) -> Callable[[], None]:
        """Return what does the same in one launch, or operation by operation where that fails.

        `iterate` runs here too, to warm up. What it reads and leaves must lie where it lies now.
        """
        self._capturing.wait_stream(torch.cuda.current_stream(self._device))
        with _alone, torch.cuda.device(self._device), torch.cuda.stream(self._capturing):
            for _ in range(WARM_UPS):
                iterate()
            torch.cuda.synchronize(self._device)
            graph, pool = torch.cuda.CUDAGraph(), torch.cuda.graph_pool_handle()
            try:
                # Other threads may do with the device what they like: nothing of it is captured.
                with torch.cuda.graph(
                    graph, pool, stream=self._capturing, capture_error_mode="thread_local"
                ):
                    iterate()
            except RuntimeError as error:
                _give_back(pool)
                if ran_out(error):
                    raise
                reason = error.__context__ or error
                log.warning(
                    "no graph can be captured on %s, so it runs operation by operation: %s",
                    self._device,
                    str(reason),  # itself it would keep tensors, for whoever keeps the record
                )
                return iterate
        return graph.replay

    def bring(self, tensor: Tensor) -> Callable[[], Tensor]:
        """Start to copy a tensor to the host; return what waits for it, in whatever thread.

        The stream goes on meanwhile, and may write over `tensor`.
        """
        with torch.cuda.device(self._device):
            copied = tensor.detach().clone()
            here = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
            arrived = torch.cuda.Event(blocking=True)  # type: ignore[no-untyped-call]
            self._copying.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(self._copying):
                here.copy_(copied, non_blocking=True)
                arrived.record()
            copied.record_stream(self._copying)

        def wait() -> Tensor:
            arrived.synchronize()
            return here

        return wait


@cache
def _streams(device: torch.device) -> tuple[torch.cuda.Stream, torch.cuda.Stream]:
    """Return the two streams that all dreams on a device share.

    cuBLAS keeps room of its own for each stream that it has run on (32 MB, as we set it), and torch
    hands out 32 streams in turn: with two for each dream a worker would end up with all of them.
    """
    capturing, copying = (torch.cuda.Stream(device) for _ in range(2))  # type: ignore[no-untyped-call]
    return capturing, copying


def _give_back(pool: tuple[int, int]) -> None:
    """End what a capture that failed still has of the current device's memory.

    Torch 2.11 leaves that undone: then no later capture begins, and no cache is emptied. A later
    torch has done it (pytorch #180395) and refuses here, before anything is given back twice.
    """
    device = torch.cuda.current_device()
    with suppress(RuntimeError):
        torch._C._cuda_endAllocateToPool(device, pool)
        torch._C._cuda_releasePool(device, pool)


@contextmanager
def multiplying_in_full() -> Iterator[None]:
    """Multiply float32 as float32 inside, by algorithms that are deterministic and not timed.

    By torch's newer switches alone (2.9): who mixes them with `allow_tf32` is refused.
    """
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    inside = (
        (matmul, "fp32_precision", "ieee"),
        (cudnn.conv, "fp32_precision", "ieee"),  # type: ignore[attr-defined]
        (cudnn, "enabled", True),
        (cudnn, "benchmark", False),
        (cudnn, "deterministic", True),
    )
    before = [getattr(where, what) for where, what, _ in inside]
    try:
        for where, what, value in inside:
            setattr(where, what, value)
        yield
    finally:
        for (where, what, _), value in zip(inside, before, strict=True):
            setattr(where, what, value)


def kernels(device: torch.device) -> str:
    """Return what a GPU's kernels are chosen by, as a plan has it."""
    name = torch.cuda.get_device_name(device)
    cudnn = torch.backends.cudnn.version()  # type: ignore[no-untyped-call]
    return f"{name}, CUDA {torch.version.cuda}, cuDNN {cudnn}, Adam in one kernel"
