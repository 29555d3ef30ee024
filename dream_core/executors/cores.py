"""The cores that this process may use, where a container or service has fewer than its host."""

import os
from collections.abc import Iterable
from contextlib import suppress
from math import floor
from pathlib import Path

from dream_core.executors.memory import CGROUP, OWN, groups


def cores() -> int | None:
    """Return how many this process may use, None where nobody tells."""
    return _cores(_affinity(), groups(OWN, CGROUP, "cpu"))


def limit_threads() -> None:
    """Let torch take no more threads than there are cores for."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(min(threads, cores() or threads))


def _cores(allowed: int | None, above: Iterable[Path]) -> int | None:
    """Return the least of what a process is bound to and what its control groups have time for."""
    known = [] if allowed is None else [allowed]
    # Who computes with more threads than it has time for is stopped in the middle of each layer.
    known += [max(1, floor(share)) for group in above if (share := _share(group)) is not None]
    return min(known, default=None)


def _affinity() -> int | None:
    """Return how many cores this process is bound to."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None


def _share(group: Path) -> float | None:
    """Return how many cores' time a control group has, of version 2 or 1; None without a limit."""
    with suppress(OSError, ValueError):  # of the other version, or without a limit ("max")
        quota, period = (group / "cpu.max").read_text().split()
        return int(quota) / int(period)
    with suppress(OSError, ValueError):
        quota, period = ((group / f"cpu.cfs_{name}_us").read_text() for name in ("quota", "period"))
        return int(quota) / int(period) if int(quota) > 0 else None
    return None
