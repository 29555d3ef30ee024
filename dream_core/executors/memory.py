"""Memory: whether an error means that there was too little, and how much there is."""

import ctypes
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from dream_core.forms import Form, Storage
from dream_core.forms.choice import fitting_form
from dream_core.forms.form import WHOLE
from dream_core.model import Model
from dream_core.spec import DreamSpec

# What torch says in a plain RuntimeError: its allocator where malloc returns nothing; Apple's GPUs;
# CUDA where something else than a tensor finds no place; cuBLAS and cuDNN.
_SAID = (
    *("not enough memory", "can't allocate memory", "Cannot allocate memory"),
    *("out of memory", "Invalid buffer size", "STATUS_ALLOC_FAILED"),
)
# glibc's number of the size from which a block is a mapping of its own, and what it grows to
# where nobody sets it.
_M_MMAP_THRESHOLD, _LOWEST, _GROWN = -3, 2**20, 2**25
_MEMINFO = Path("/proc/meminfo")
CGROUP = Path("/sys/fs/cgroup")
OWN = Path("/proc/self/cgroup")
# What a control group may take and has taken: of version 2, and of 1, whose memory is a tree apart.
_LIMITS = (
    ("memory.max", "memory.current"),
    ("memory.limit_in_bytes", "memory.usage_in_bytes"),
)
_STATM = Path("/proc/self/statm")


def ran_out(error: BaseException | None) -> bool:
    """Whether an error of Python or torch means that memory ran out, on any device.

    Or one that it came of: a graph in whose capture memory runs out says only that it is invalid.
    """
    if error is None:
        return False
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    said = isinstance(error, RuntimeError) and any(each in str(error) for each in _SAID)
    return said or ran_out(error.__context__)


def gpu_lost(error: BaseException) -> bool:
    """Whether an error means that this process can compute on its GPU no more.

    A kernel that read where it must not, or a GPU that fell off: every call after it fails too.
    """
    return type(error).__name__ == "AcceleratorError"  # of a torch that has it: 2.8


def free_bytes(device: str) -> int | None:
    """Return what a device has left for this process, None where nobody tells."""
    if device.startswith("cuda"):
        import torch

        return int(torch.cuda.mem_get_info(device)[0])
    return _host_bytes(_MEMINFO, groups(OWN, CGROUP))


def total_bytes(device: str) -> int | None:
    """Return what a device has in all, None where nobody tells."""
    if device.startswith("cuda"):
        import torch

        return int(torch.cuda.mem_get_info(device)[1])
    return _host_total(_MEMINFO, groups(OWN, CGROUP))


def process_bytes() -> int | None:
    """Return what this process holds of the host's memory, None where the system doesn't tell."""
    try:
        pages = int(_STATM.read_text().split()[1])
    except (OSError, IndexError, ValueError):
        return None
    return pages * os.sysconf("SC_PAGE_SIZE")


def fitting(
    model: Model, spec: DreamSpec, size: tuple[int, int], device: str, storage: Storage
) -> Form:
    """Return the best form of a dream at (height, width) that fits into what is free now.

    Raises:
        MemoryExceeded: none does.
    """
    if device.startswith("cuda"):
        import torch

        # What torch keeps of the last dream, and of its graph, would count as taken.
        torch.cuda.empty_cache()
    free = free_bytes(device)
    if free is None:
        return WHOLE
    # On a GPU nobody else needs the memory, and a picture seen whole never waits for the host.
    thrifty = device == "cpu"
    return fitting_form(model, spec, size, free, device, storage=storage, thrifty=thrifty)


@contextmanager
def freed_at_once() -> Iterator[None]:
    """Give what is freed inside back to the system, where the C library is glibc.

    Else it keeps blocks of up to 32 MB in pieces that fit nothing: a sixth of a dream's peak. It
    costs page faults, a seventh of a step's time, so only a picture that is seen in parts pays it.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        yield
        return
    mallopt(_M_MMAP_THRESHOLD, _LOWEST)
    try:
        yield
    finally:
        mallopt(_M_MMAP_THRESHOLD, _GROWN)


def _host_bytes(meminfo: Path, groups: Iterable[Path]) -> int | None:
    """Return what the host has left, or a container or service of it where that is less."""
    left = _meminfo(meminfo, "MemAvailable")
    if left is None:
        return None
    for group in groups:
        for limit, used in _LIMITS:
            with suppress(OSError, ValueError):  # of the other version, or without a limit ("max")
                room = int((group / limit).read_text()) - int((group / used).read_text())
                left = min(left, max(room + _given_up(group), 0))
    return left


def _given_up(group: Path) -> int:
    """Return what a control group has taken of files and gives up when somebody asks for more."""
    with suppress(OSError, ValueError, KeyError):
        lines = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
        return int(lines.get("total_inactive_file") or lines["inactive_file"])
    return 0


def _host_total(meminfo: Path, groups: Iterable[Path]) -> int | None:
    """Return what the host has, or what a container or service may take where that is less."""
    total = _meminfo(meminfo, "MemTotal")
    if total is None:
        return None
    for group in groups:
        for limit, _ in _LIMITS:
            with suppress(OSError, ValueError):
                total = min(total, int((group / limit).read_text()))
    return total


def _meminfo(meminfo: Path, name: str) -> int | None:
    """Return a line of Linux' own account of its memory, in bytes."""
    try:
        lines = dict(line.split(":", 1) for line in meminfo.read_text().splitlines())
        return int(lines[name].split()[0]) * 1024
    except (OSError, KeyError):
        return None


def groups(own: Path, root: Path, controller: str = "memory") -> Iterator[Path]:
    """Return the control groups that this process is in, as far as it can see them.

    Args:
        own: what Linux tells of them.
        root: where they lie.
        controller: of version 1, which has a tree for each.
    """
    try:
        lines = own.read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "" or controller in controllers.split(","):
            group = root / controllers / path.lstrip("/")
            yield group
            yield from (above for above in group.parents if above.is_relative_to(root))
