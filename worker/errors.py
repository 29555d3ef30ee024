"""The errors of the worker's room: what a host lacks in the middle of a dream."""

from dream_core.errors import HostFault
from jobs.record import Problem


class OutOfMemory(HostFault):
    """The dream needs more memory than there is."""

    code = "out-of-memory"
    title = "Out of memory"

    def __init__(self, model: str, height: int, width: int, device: str, free: int | None) -> None:
        """Name the size asked and the memory there is."""
        left = "" if free is None else f"; {free / 1e9:.1f} GB are left"
        super().__init__(
            f"{model} at {width} × {height} needs more memory than {device} has{left}; "
            "ask for a smaller image_size"
        )


def internal(job_id: str) -> Problem:
    """Return what a user is told of an error that nobody foresaw."""
    return Problem(
        code="internal",
        title="Something went wrong",
        detail=f"dream {job_id} ended by a fault of ours; the worker's log says more under its id",
    )
