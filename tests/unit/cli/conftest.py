import io
import os
import re
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from cli.up.room import RoomPlan

STAND_IN = Path(__file__).with_name("stand_in_room.py")


class Heard(io.StringIO):
    """A stream that can be waited on: what tests use instead of sleeping."""

    def __init__(self) -> None:
        super().__init__()
        self._more = threading.Condition()

    def write(self, text: str) -> int:
        """Take the text and wake who waits."""
        with self._more:
            written = super().write(text)
            self._more.notify_all()
        return written

    def wait_for(self, pattern: str, times: int = 1, within_s: float = 20.0) -> list[str]:
        """Return what `pattern` found, as soon as it was said `times` times."""
        found: list[str] = []

        def said() -> bool:
            found[:] = re.findall(pattern, self.getvalue())
            return len(found) >= times

        with self._more:
            assert self._more.wait_for(said, within_s), f"no {pattern!r} in:\n{self.getvalue()}"
        return found


@pytest.fixture
def heard() -> Heard:
    """Give a stream for a log."""
    return Heard()


@pytest.fixture
def plan() -> Callable[..., RoomPlan]:
    """Make the plan of a stand-in room."""

    def make(name: str, *wish: str, **more: object) -> RoomPlan:
        command = (sys.executable, str(STAND_IN), name, *wish)
        return RoomPlan(name, command, dict(os.environ), **more)  # type: ignore[arg-type]

    return make


def ended(pid: int) -> bool:
    """Whether no process of that id runs (a zombie of somebody else's has ended too)."""
    with suppress(FileNotFoundError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    return True


@pytest.fixture
def wait_ended() -> Callable[[int], None]:
    """Wait until a process that isn't ours has ended."""

    def wait(pid: int, within_s: float = 10.0) -> None:
        until = time.monotonic() + within_s
        while not ended(pid):
            assert time.monotonic() < until, f"process {pid} still runs"
            threading.Event().wait(0.01)

    return wait
