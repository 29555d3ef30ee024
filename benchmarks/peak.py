"""Memory of a process, as Linux tells it."""

from pathlib import Path

STATUS = Path("/proc/self/status")


def memory_now() -> int:
    """Return the bytes that this process holds."""
    return _status("VmRSS")


def memory_peak() -> int:
    """Return the most bytes that this process has held."""
    return _status("VmHWM")


def _status(name: str) -> int:
    lines = dict(line.split(":", 1) for line in STATUS.read_text().splitlines())
    return int(lines[name].split()[0]) * 1024
