"""Memory that a worker tells of: its own, its host's, its GPU's."""

import logging

from jobs.presence import Memory

log = logging.getLogger(__name__)


def measure(device: str | None) -> Memory:
    """Return what there is now; nothing before the worker has taken a device."""
    if device is None:
        return Memory()
    # By now torch is loaded; a worker that starts has said so before those seconds.
    from dream_core.executors.memory import free_bytes, process_bytes, total_bytes

    gpu = device.startswith("cuda")
    try:
        gpu_free, gpu_total = (free_bytes(device), total_bytes(device)) if gpu else (None, None)
    except RuntimeError as error:  # a GPU that is lost: its dream finds out by itself
        log.debug("the memory of %s is unknown: %s", device, error)
        gpu_free = gpu_total = None
    return Memory(
        process_bytes=process_bytes(),
        host_free_bytes=free_bytes("cpu"),
        host_total_bytes=total_bytes("cpu"),
        gpu_free_bytes=gpu_free,
        gpu_total_bytes=gpu_total,
    )


def for_a_dream(device: str, memory: Memory) -> int | None:
    """Return what the next dream finds on a device, of what was measured while there is none."""
    if not device.startswith("cuda"):
        return memory.host_free_bytes
    if memory.gpu_free_bytes is None:
        return None
    import torch

    # What torch keeps of the dream before is given up when the next one begins.
    kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return memory.gpu_free_bytes + kept
