"""The service in processes of its own, as a user starts it, and the hands that disturb it."""

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import httpx
import redis

from dream_core.errors import DreamError
from jobs.connection import connect
from jobs.ledger import Ledger
from jobs.record import Job, Status
from jobs.settings import Settings, environment
from jobs.wiring import open_ledger
from tests.faults import census
from tests.faults.figures import Figures

ROOT = Path(__file__).parents[2]
LOOKED_EVERY_S = 0.01


def until(true: Callable[[], Any], what: str, within_s: float = 60.0) -> Any:
    """Return the first truth; what raises because the service is away is no truth yet."""
    deadline = time.monotonic() + within_s
    while True:
        with suppress(DreamError, httpx.HTTPError, OSError, redis.RedisError):
            if found := true():
                return found
        assert time.monotonic() < deadline, f"not within {within_s:g} s: {what}"
        threading.Event().wait(LOOKED_EVERY_S)


def pass_s(seconds: float) -> None:
    """Let a random moment come, or an outage last: no test waits for an event in this way."""
    threading.Event().wait(seconds)


@dataclass
class Service:
    """One `dream up` on a data folder, in a process of its own."""

    settings: Settings
    process: "subprocess.Popen[str]"
    lines: list[str] = field(default_factory=list)
    url: str = ""

    @cached_property
    def client(self) -> redis.Redis:
        """A connection of its own, to look behind the ledger's back."""
        return connect(self.settings)

    @cached_property
    def ledger(self) -> Ledger:
        """The ledger, as any process of the service opens it."""
        return open_ledger(self.settings)

    def pids(self, room: str) -> list[int]:
        """Return the processes of a room: `valkey`, `api` or `worker`."""
        return [pid for pid, command in children(self.process.pid) if _is(room, command)]

    def pid(self, room: str) -> int:
        """Return the one process of a room, once there is one."""
        found: list[int] = until(lambda: self.pids(room), f"a process of {room}")
        return found[0]

    def kill(self, room: str, number: int = signal.SIGKILL) -> float:
        """Send a signal to a room's process; return when, in seconds since the epoch."""
        pid = self.pid(room)
        os.kill(pid, number)
        return time.time()

    def vanish(self) -> float:
        """Kill every process at once, as a host does that loses its power; return when."""
        self.process.send_signal(signal.SIGSTOP)  # or it would start a room anew meanwhile
        for pid, _ in children(self.process.pid):
            os.kill(pid, signal.SIGKILL)
        self.process.kill()
        self.process.wait()
        return time.time()

    def post(self, picture: Path, **fields: Any) -> str:
        """Post a dream over HTTP; return its id."""
        answer = self.try_post(picture, **fields)
        assert answer.status_code == 202, answer.text
        job_id: str = answer.json()["id"]
        return job_id

    def try_post(self, picture: Path, **fields: Any) -> httpx.Response:
        """Post a dream over HTTP; return whatever is answered."""
        files = {"image": (picture.name, picture.read_bytes())}
        return httpx.post(
            f"{self.url}/dreams",
            files=files,
            data={name: str(value) for name, value in fields.items()},
            timeout=60,
            trust_env=False,
        )

    def get(self, path: str) -> httpx.Response:
        """Ask over HTTP."""
        return httpx.get(f"{self.url}{path}", timeout=60, trust_env=False)

    def job(self, job_id: str) -> Job:
        """Return a job as it stands."""
        return self.ledger.get(job_id)

    def at(self, job_id: str, iteration: int, within_s: float = 90.0) -> Job:
        """Wait until a job has come to an iteration."""

        def there() -> Job | None:
            job = self.job(job_id)
            assert not job.status.terminal or job.progress.iteration >= iteration, job
            return job if job.progress.iteration >= iteration else None

        found: Job = until(there, f"iteration {iteration} of {job_id}", within_s)
        return found

    def told(self, job_id: str, kind: str, attempt: int) -> None:
        """Wait until an attempt tells an event of a kind, and return at that very moment."""
        last, attempts = "0", 0
        while True:
            found: Any = self.client.xread({f"dream:{job_id}:events": last}, block=60_000)
            assert found, f"{job_id} told of no {kind} in attempt {attempt}"
            for at, event in found[0][1]:
                last = at
                attempts += event["type"] == "running"
                if attempts == attempt and event["type"] == kind:
                    return

    def ended(self, job_id: str, within_s: float = 120.0) -> Job:
        """Wait until a job has ended, and its ending is on disk."""
        path = self.settings.data_dir / "dreams" / job_id / "ending.json"

        def over() -> Job | None:
            job = self.job(job_id)
            return job if job.status.terminal and path.exists() else None

        found: Job = until(over, f"the end of {job_id}", within_s)
        return found

    def goes_on(self, job_id: str, moment: float, within_s: float = 90.0) -> float:
        """Wait until the attempt after a moment has done an iteration; return how long that took.

        The moment may have been too late, and the job at its end: nothing had to recover then.
        """

        def moved() -> float | None:
            started = False
            for at, event in census.events(self.client, job_id):
                started |= at >= moment and event["type"] == "running"
                if started and event["type"] == "progress":
                    return at - moment
            return 1e-9 if self.job(job_id).status.terminal else None

        found: float = until(moved, f"{job_id} goes on", within_s)
        return found

    def event_after(self, job_id: str, moment: float) -> float | None:
        """Return when the first thing after a moment happened to a job."""
        later = [at for at, _ in census.events(self.client, job_id) if at > moment]
        return later[0] if later else None

    def settled(self) -> None:
        """Wait until workers are up and nothing runs or waits."""
        until(
            lambda: self.ready() and not self.client.zcard("dreams:leases"),
            "a quiet service",
        )

    def ready(self) -> int:
        """Return how many workers take a job now, or after the one they run."""
        return sum(one.state in ("idle", "dreaming") for one in self.ledger.workers())

    def check(self, figures: Figures, within_s: float = 5.0, *, went_back: bool = False) -> None:
        """Hold the census: all jobs have ended, each once, and nothing else is left.

        Raises:
            AssertionError: lists everything that is wrong.
        """
        # A worker tells its ending first and tidies up after it: a breath later all is as it stays.
        deadline = time.monotonic() + within_s
        while True:
            counted = Figures(figures.fault)
            wrong = census.running(
                self.settings, self.client, self.ledger, counted, went_back=went_back
            )
            if not wrong or time.monotonic() > deadline:
                break
            threading.Event().wait(0.1)
        figures.lost += counted.lost
        figures.doubled += counted.doubled
        assert not wrong, "\n".join([*wrong, "the log's end:", *self.lines[-60:]])

    def pictures(self, job_id: str) -> dict[int, bytes]:
        """Return the bytes of every frame."""
        frames, _ = self.ledger.frames(job_id, limit=100_000)
        return {
            frame.iteration: self.ledger.frame_path(job_id, frame.iteration).read_bytes()
            for frame in frames
        }


@contextmanager
def serving(
    data_dir: Path, models: Path, *, hasty: bool = False, **settings: Any
) -> Iterator[Service]:
    """A service on a data folder; on leaving it is told to stop, and nothing of it is left."""
    asked = {"threads": 1, "preload": "none", "min_free_disk": 0, **settings}
    given = Settings(data_dir=data_dir, port=0, device="cpu", **asked)
    up = ["tests.faults.hasty", "cli"] if hasty else ["cli"]
    env = {name: value for name, value in os.environ.items() if not name.startswith("DREAM_")}
    env |= {
        "PYTHONPATH": str(ROOT),
        "DREAM_MODEL_DIR": str(models),
        "OMP_NUM_THREADS": "1",
        **{
            name: value
            for name, value in environment(given).items()
            if name.startswith("DREAM_") and name != "DREAM_MODEL_DIR"
        },
    }
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", *up, "up"],
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    service = Service(given, process)
    reader = threading.Thread(target=_read, args=(service,), daemon=True)
    reader.start()
    try:
        service.url = until(lambda: _url(service), "the service is up")
        if given.workers:
            until(lambda: service.ready() >= given.workers, "its workers are up")
        yield service
    finally:
        _end(process)
        reader.join(10)


def _read(service: Service) -> None:
    assert service.process.stdout is not None
    with service.process.stdout as lines:
        for line in lines:
            service.lines.append(line.rstrip())


def _url(service: Service) -> str | None:
    assert service.process.poll() is None, "\n".join(service.lines)
    found = re.search(r"serving on (http://\S+)", "\n".join(service.lines))
    return found[1] if found else None


def _end(process: "subprocess.Popen[str]") -> None:
    """End a supervisor and everything it started, stopped processes too."""
    ours = children(process.pid)
    for pid, _ in ours:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)
    process.terminate()
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        for pid, _ in ours:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def children(pid: int) -> list[tuple[int, str]]:
    """Return the processes that a process has started and that still run, with their commands."""
    listed = subprocess.run(
        ["ps", "-axww", "-o", "pid=,ppid=,stat=,args="], capture_output=True, text=True, check=True
    ).stdout
    rows = [line.split(None, 3) for line in listed.splitlines()]
    return [(int(row[0]), row[3]) for row in rows if int(row[1]) == pid and "Z" not in row[2]]


def runs(pid: int) -> bool:
    """Whether a process of that id is there; a room that has ended is reaped at once."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def _is(room: str, command: str) -> bool:
    return command.endswith(f" {room}") or (
        room == "valkey" and re.search(r"valkey-server|redis-server", command) is not None
    )


def succeeded(job: Job) -> None:
    """Assert that a job has succeeded."""
    assert job.status is Status.SUCCEEDED, (job.status, job.problem)
