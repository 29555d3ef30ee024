"""A Valkey outside of the service, which a test may kill, hold away, stop, and rob of its data."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from jobs.connection import connect
from jobs.settings import Settings, environment
from jobs.valkey import socket_url, wait_until_up
from tests.faults.service import ROOT


@dataclass
class Outside:
    """The embedded server, in a process of the test's own."""

    data_dir: Path
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def url(self) -> str:
        """Where it listens."""
        return socket_url(self.data_dir)

    def start(self) -> None:
        """Start it on what is left of its data; it has read them when this returns."""
        settings = Settings(data_dir=self.data_dir)
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "jobs.valkey"],
            env={**environment(settings), "PYTHONPATH": str(ROOT)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        wait_until_up(connect(settings))

    def kill(self) -> None:
        """Kill it, without a word."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        """Let it hang: its connections stay open, and nobody answers."""
        assert self.process is not None
        os.kill(self.process.pid, signal.SIGSTOP)

    def go_on(self) -> None:
        """Let it go on."""
        assert self.process is not None
        os.kill(self.process.pid, signal.SIGCONT)

    def written(self) -> int:
        """Return how long its append-only file is."""
        return sum(file.stat().st_size for file in self._files("*.incr.aof"))

    def forget_after(self, length: int) -> None:
        """Cut the append-only file, as a power cut does with what no fsync has reached."""
        (file,) = self._files("*.incr.aof")
        os.truncate(file, length)

    def forget_everything(self) -> None:
        """Remove all its data."""
        for file in self._files("*"):
            file.unlink()

    def _files(self, pattern: str) -> list[Path]:
        return list((self.data_dir / "valkey" / "appendonlydir").glob(pattern))


@contextmanager
def outside(data_dir: Path) -> Iterator[Outside]:
    """A server that is up; on leaving it is gone."""
    server = Outside(data_dir)
    server.start()
    try:
        yield server
    finally:
        server.go_on()
        server.kill()
