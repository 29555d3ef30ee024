"""A control group with little memory: in it, the kernel itself kills."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")


class Group:
    """A control group of version 2, or of version 1 where the host still has that."""

    def __init__(self, name: str) -> None:
        """Make one; needs root, and the controller of memory."""
        if (ROOT / "cgroup.controllers").exists():
            (ROOT / "cgroup.subtree_control").write_text("+memory")
            self.folder, self._limit, self._used = ROOT / name, "memory.max", "memory.current"
        else:
            self.folder = ROOT / "memory" / name
            self._limit, self._used = "memory.limit_in_bytes", "memory.usage_in_bytes"
        self.folder.mkdir()

    def leave(self, more: int) -> int:
        """Let it take so many bytes more than now; return how many that are in all."""
        limit = int((self.folder / self._used).read_text()) + more
        (self.folder / self._limit).write_text(str(limit))
        return limit

    def killed(self) -> int:
        """Return how many processes the kernel has killed for want of memory."""
        for name in ("memory.events", "memory.oom_control"):
            if (self.folder / name).exists():
                lines = (self.folder / name).read_text().splitlines()
                return int(dict(line.split() for line in lines)["oom_kill"])
        raise FileNotFoundError(self.folder)


@contextmanager
def group() -> Iterator[Group]:
    """A group; on leaving it is gone, as all that ran in it has to be."""
    made = Group(f"torch-inception-{os.getpid()}")
    try:
        yield made
    finally:
        made.folder.rmdir()
