"""Memory: whether an error means that there was too little, and how much there is."""

from pathlib import Path

# What PyTorch's CPU allocator says in a plain RuntimeError when malloc returns nothing.
_SAID_ON_CPU = ("not enough memory", "can't allocate memory", "Cannot allocate memory")
_MEMINFO = Path("/proc/meminfo")
_CGROUP = Path("/sys/fs/cgroup")


def ran_out(error: BaseException) -> bool:
    """Whether an error of Python or torch means that memory ran out, on any device."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    return isinstance(error, RuntimeError) and any(said in str(error) for said in _SAID_ON_CPU)


def free_bytes(device: str) -> int | None:
    """Return what a device has left for this process, None where nobody tells."""
    if device.startswith("cuda"):
        import torch

        return int(torch.cuda.mem_get_info(device)[0])
    return _host_bytes(_MEMINFO, _CGROUP)


def _host_bytes(meminfo: Path, cgroup: Path) -> int | None:
    """Return what the host has left, or the container where that is less."""
    try:
        lines = dict(line.split(":", 1) for line in meminfo.read_text().splitlines())
        host = int(lines["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError):
        return None
    try:
        limit = int((cgroup / "memory.max").read_text())
        used = int((cgroup / "memory.current").read_text())
    except (OSError, ValueError):  # no container, or one without a limit ("max")
        return host
    return min(host, max(limit - used, 0))
