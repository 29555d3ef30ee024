"""Memory that a worker tells of: its own, its host's, its GPU's."""

import logging

from dream_core.executors.memory import free_bytes, process_bytes, total_bytes
from jobs.presence import Memory

log = logging.getLogger(__name__)


def measure(device: str | None) -> Memory:
    """Return what there is now; `device` is None before the worker has taken one."""
    gpu = device if device and device.startswith("cuda") else None
    try:
        gpu_free, gpu_total = (free_bytes(gpu), total_bytes(gpu)) if gpu else (None, None)
    except RuntimeError as error:  # a GPU that is lost: its dream finds out by itself
        log.debug("the memory of %s is unknown: %s", gpu, error)
        gpu_free = gpu_total = None
    return Memory(
        process_bytes=process_bytes(),
        host_free_bytes=free_bytes("cpu"),
        host_total_bytes=total_bytes("cpu"),
        gpu_free_bytes=gpu_free,
        gpu_total_bytes=gpu_total,
    )
