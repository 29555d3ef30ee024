"""The errors of the worker's room: what a host lacks, at the start or in the middle of a dream."""

from collections.abc import Sequence

from dream_core.errors import BadSetup, HostFault
from jobs.record import Problem

ON_CPU = "DREAM_DEVICE=cpu; in containers, leave docker-compose.gpu.yml out"


class OutOfMemory(HostFault):
    """The dream needs more memory than there is."""

    code = "out-of-memory"
    title = "Out of memory"

    def __init__(
        self, model: str, size: tuple[int, int], device: str, form: str, largest: int | None
    ) -> None:
        """Name the size asked, the last form tried, and the largest size that may fit."""
        way_out = (
            f"the largest image_size that may fit is {largest}"
            if largest
            else "free some memory there, or ask a layer nearer to the picture"
        )
        super().__init__(
            f"{model} at {size[1]} × {size[0]} needs more memory than {device} has, even seen "
            f"{form}; {way_out}"
        )


class NoMemoryToMeasure(HostFault):
    """Not even the probe's small pictures find memory on the device."""

    code = "no-memory-to-measure"
    title = "No memory to measure by"

    def __init__(self, device: str, free: int | None) -> None:
        """Name what is left there."""
        left = "too little" if free is None else f"{free / 1e9:.2f} GB"
        super().__init__(
            f"{device} has {left} of memory left, not enough to measure how fast it dreams; end "
            "what else runs there and start again, or dream on another device (DREAM_DEVICE)"
        )


class DriverUnfit(BadSetup):
    """CUDA doesn't start under this host's driver."""

    code = "driver-unfit"
    title = "GPU driver unfit"

    def __init__(self, torch: str, cuda: str | None, reason: str) -> None:
        """Name the CUDA that torch was built for, and what it says itself, on one line."""
        said = " ".join(reason.split()).rstrip(".")
        super().__init__(
            f"torch {torch} was built for CUDA {cuda} and can't start it here ({said}); install a "
            f"driver of this host for CUDA {cuda} or later, or dream on the CPU ({ON_CPU})"
        )


class GpuUnfit(BadSetup):
    """torch has no code for this GPU."""

    code = "gpu-unfit"
    title = "GPU unfit"

    def __init__(
        self, gpu: str, capability: tuple[int, int], torch: str, architectures: Sequence[str]
    ) -> None:
        """Name what the GPU is and what torch was built for."""
        super().__init__(
            f"{gpu} has compute capability {capability[0]}.{capability[1]}, and torch {torch} was "
            f"built for {', '.join(architectures)}; take another GPU (DREAM_GPUS), or dream on the "
            f"CPU ({ON_CPU})"
        )


def internal(job_id: str) -> Problem:
    """Return what a user is told of an error that nobody foresaw."""
    return Problem(
        code="internal",
        title="Something went wrong",
        detail=f"dream {job_id} ended by a fault of ours; the worker's log says more under its id",
    )
