"""A `dream up` in processes of its own, to be measured: its address, its events, its clients."""

import os
import re
import selectors
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import redis

from jobs.connection import connect
from jobs.settings import Settings, environment

ROOT = Path(__file__).parents[1]
PATIENCE_S = 120.0
ASKED_EVERY_S = 0.005


@dataclass
class Serving:
    """One service; all times are seconds since the epoch, by this host's clock."""

    url: str
    redis: redis.Redis
    process: "subprocess.Popen[str]"
    began: float
    ready_s: float  # from its start until /readyz says yes
    lines: list[str] = field(default_factory=list)

    def post(self, picture: bytes, **fields: Any) -> tuple[str, float, float]:
        """Post a dream; return its id, when it was sent and when that was answered."""
        data = {name: str(value) for name, value in fields.items()}
        sent = time.time()
        answer = httpx.post(
            f"{self.url}/dreams", files={"image": ("a.png", picture)}, data=data, trust_env=False
        )
        answered = time.time()
        answer.raise_for_status()
        return answer.json()["id"], sent, answered

    def job(self, job_id: str) -> dict[str, Any]:
        """Return a job's document."""
        told = httpx.get(f"{self.url}/dreams/{job_id}", trust_env=False).raise_for_status().json()
        return dict(told)

    def follow(self, job_id: str) -> Iterator[tuple[float, dict[str, str]]]:
        """Go through a job's events as they happen, each with its time, to the job's end."""
        last = "0"
        while True:
            found: Any = self.redis.xread({f"dream:{job_id}:events": last}, block=60_000)
            if not found:
                raise TimeoutError(f"{job_id} says nothing; the log: {self.lines[-20:]}")
            for at, event in found[0][1]:
                last = at
                yield int(at.partition("-")[0]) / 1000, event
                if event["type"] in ("succeeded", "failed", "canceled", "expired"):
                    if event["type"] != "succeeded":
                        raise RuntimeError(f"{job_id} {event['type']}: {self.job(job_id)}")
                    return

    def times(self, job_id: str) -> dict[str, list[float]]:
        """Wait for the end of a job; return when each kind of event happened to it."""
        happened: dict[str, list[float]] = {}
        for at, event in self.follow(job_id):
            happened.setdefault(event["type"], []).append(at)
        return happened

    def cpu_s(self, room: str) -> float:
        """Return the CPU seconds that the threads of a room's process have taken."""
        listed = subprocess.run(
            ["ps", "-o", "pid=,args=", "--ppid", str(self.process.pid)],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        # Our own are called by their module; Valkey became its server's program.
        called = re.compile(rf"\d+ .*(-m {room}$|{room}-server\b)")
        (pid,) = [line.split()[0] for line in listed.splitlines() if called.search(line)]
        # To the nanosecond, by thread; `stat` counts whoever runs when the clock ticks.
        threads = Path(f"/proc/{pid}/task").glob("*/schedstat")
        return sum(int(each.read_text().split()[0]) for each in threads) / 1e9


@contextmanager
def serving(**settings: Any) -> Iterator[Serving]:
    """A service on a new data folder, ready; on leaving it is stopped and its data gone."""
    with tempfile.TemporaryDirectory(prefix="dream-bench-") as folder:
        asked = Settings(data_dir=Path(folder), port=0, log_format="text", **settings)
        began = time.time()
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "cli", "up"],
            env={**environment(asked), "PYTHONPATH": os.pathsep.join([str(ROOT), *_path()])},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        lines: list[str] = []
        reader = threading.Thread(target=_read, args=(process, lines), daemon=True)
        reader.start()
        try:
            url = _wait(lambda: _url(lines, process), lines)
            _wait(lambda: _ready(url), lines)
            took = time.time() - began
            yield Serving(url, connect(asked), process, began, took, lines)
        finally:
            process.terminate()
            process.wait(20)
            reader.join(5)


def _path() -> list[str]:
    """Return where this process was told to look for modules: to try one that isn't installed."""
    return [each for each in os.environ.get("PYTHONPATH", "").split(os.pathsep) if each]


def _read(process: "subprocess.Popen[str]", lines: list[str]) -> None:
    assert process.stdout is not None  # noqa: S101
    lines.extend(line.rstrip() for line in process.stdout)


def _wait(ask: Any, lines: list[str]) -> Any:
    deadline = time.monotonic() + PATIENCE_S
    while not (found := ask()):
        if time.monotonic() > deadline:
            raise TimeoutError("\n".join(lines))
        time.sleep(ASKED_EVERY_S)
    return found


def _url(lines: list[str], process: "subprocess.Popen[str]") -> str | None:
    if process.poll() is not None:
        raise RuntimeError("\n".join(lines))
    found = re.search(r"serving on (http://\S+)", "\n".join(lines))
    return found[1] if found else None


def _ready(url: str) -> bool:
    return httpx.get(f"{url}/readyz", trust_env=False).is_success


class Polling:
    """Clients that each ask for one address again and again, on a connection that stays open.

    All in one thread and with as little work as can be: what they cost, the dream pays too.
    """

    def __init__(self, url: str, clients: int, every_s: float) -> None:
        """Ask `url` from so many clients; each asks again so long after it last asked."""
        host, _, path = url.removeprefix("http://").partition("/")
        name, _, port = host.partition(":")
        self._address = (name, int(port))
        self._asked = f"GET /{path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()
        self._clients, self._every_s = clients, every_s
        self.seconds: list[float] = []

    def run_for(self, seconds: float) -> None:
        """Ask for so long; the time of each answer is kept."""
        began = time.monotonic()
        with ExitStack() as opened, selectors.DefaultSelector() as selector:
            due = deque[tuple[float, _Client]]()
            for number in range(self._clients):
                connection = opened.enter_context(socket.create_connection(self._address))
                client = _Client(connection)
                selector.register(connection, selectors.EVENT_READ, client)
                due.append((began + self._every_s * number / self._clients, client))
            while (now := time.monotonic()) < began + seconds:
                while due and due[0][0] <= now:
                    client = due.popleft()[1]
                    client.asked_at = time.monotonic()
                    client.connection.sendall(self._asked)
                for key, _ in selector.select(max(due[0][0] - now, 0) if due else 1.0):
                    if key.data.receive():
                        self.seconds.append(time.monotonic() - key.data.asked_at)
                        due.append((key.data.asked_at + self._every_s, key.data))


class _Client:
    """One connection, and what has come of an answer."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self.asked_at = 0.0
        self._come = b""

    def receive(self) -> bool:
        """Take what has come; True where the answer is whole."""
        come = self.connection.recv(65_536)
        if not come:
            raise ConnectionError("the API has closed a connection")
        self._come += come
        head, _, body = self._come.partition(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", head)
        if not length or len(body) < int(length[1]):
            return False
        if not head.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(head.decode())
        self._come = b""
        return True
