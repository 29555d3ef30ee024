"""A room of the stack: one child process, started again when it dies, until told to stop."""

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from cli.errors import RoomFailed, RoomUnfit
from cli.up.log import Log
from jobs.exits import BAD_SETUP

NOT_STARTED = 127  # as shells count it
SUPERVISOR = "dream"  # the name under which the supervisor itself speaks in the log


@dataclass(frozen=True)
class Patience:
    """How long a dying room is put up with."""

    quick_s: float = 10.0  # a life shorter than this counts as a failed start
    tries: int = 5  # failed starts in a row, then the stack gives up
    first_delay_s: float = 0.5
    longest_delay_s: float = 10.0

    def delay_s(self, failures: int) -> float:
        """Return how long to wait before the next start; doubles with each failure in a row."""
        return min(self.first_delay_s * 2.0 ** (failures - 1), self.longest_delay_s)


@dataclass(frozen=True)
class RoomPlan:
    """What a room runs, and how one sees that it is there."""

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    ready: Callable[[], bool] | None = None  # asked again and again before the next room starts
    carries_others: bool = False  # stops when all others have: Valkey
    noise: str | None = None  # lines with this in them tell a user nothing


class Room:
    """Keeps the process of a plan running, from a thread of its own."""

    def __init__(
        self, plan: RoomPlan, log: Log, gave_up: Callable[[RoomFailed], None], patience: Patience
    ) -> None:
        """Say everything to `log`; call `gave_up` (from the room's thread) when it is hopeless."""
        self.plan = plan
        self.failure: RoomFailed | None = None  # what to say of the last life that ended
        self._log = log
        self._gave_up = gave_up
        self._patience = patience
        self._failures = 0  # short lives in a row
        self.last_line = ""  # of the life that runs
        self._process: subprocess.Popen[str] | None = None
        self._process_lock = threading.Lock()
        self._spawned = threading.Event()
        self._stopping = threading.Event()
        # The thread that starts a child must outlive it: on Linux a child that ends with its
        # parent ends with the very thread that started it.
        self._thread = threading.Thread(target=self._keep, name=f"keep {plan.name}", daemon=True)

    @property
    def pid(self) -> int | None:
        """The process that runs now, None between two lives."""
        process = self._process
        return process.pid if process and process.returncode is None else None

    def start(self) -> None:
        """Start the process, which runs when this returns, and keep it running."""
        self._thread.start()
        self._spawned.wait()

    def ask_to_stop(self) -> None:
        """Send SIGTERM to the process; it isn't started again."""
        self._stopping.set()
        self._signal(signal.SIGTERM)

    def wait_stopped(self, deadline: float) -> None:
        """Wait until the process has ended; at `deadline` (time.monotonic()) kill it."""
        if not self._thread.is_alive():
            return
        self._thread.join(max(deadline - time.monotonic(), 0))
        if self._thread.is_alive():
            self._log.say(SUPERVISOR, f"{self.plan.name} doesn't stop; killing it")
            self._signal(signal.SIGKILL)
            self._thread.join(1)

    def _keep(self) -> None:
        while not self._stopping.is_set():
            started = time.monotonic()
            code = self._live_once()
            if self._stopping.is_set():
                return
            short = time.monotonic() - started < self._patience.quick_s
            self._failures = self._failures + 1 if short else 1
            if code <= 0:
                # It could start: a signal ended it (somebody's, a system's that is short of memory,
                # a dream's that broke it), or it left to be replaced after it had run out of
                # memory. That may pass, so it is only waited for longer.
                self._failures = min(self._failures, self._patience.tries - 1)
            ended = f"{self.plan.name} ended (exit status {code})"
            if code == BAD_SETUP:  # it would say the same again
                self.failure = RoomUnfit(self.last_line)
                self._gave_up(self.failure)
                return
            self.failure = RoomFailed(self.plan.name, code, self.last_line, max(self._failures, 1))
            if self._failures >= self._patience.tries:
                self._log.say(SUPERVISOR, f"{ended}, {self._failures} times in a row")
                self._gave_up(self.failure)
                return
            delay_s = self._patience.delay_s(self._failures)
            self._log.say(SUPERVISOR, f"{ended}; starting it again in {delay_s:g} s")
            self._stopping.wait(delay_s)

    def _live_once(self) -> int:
        """Run the process to its end, pass on its lines, return its exit status."""
        with self._process_lock:
            if self._stopping.is_set():
                return 0
            self.last_line = ""
            try:
                process = self._process = self._spawn()
            except OSError as error:  # no memory or no process left: that may pass
                self.last_line = str(error)
                return NOT_STARTED
            finally:
                self._spawned.set()
        reader = threading.Thread(target=self._pass_on, args=(process,), daemon=True)
        reader.start()
        code = process.wait()
        # What a killed room has left behind (a pull's pip, a server) goes with it, and with it
        # the last hand on the pipe that the reader waits for.
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        reader.join(1)
        return code

    def _spawn(self) -> "subprocess.Popen[str]":
        # A group of its own: Ctrl-C in the terminal reaches the supervisor alone, which then
        # stops the rooms in order.
        return subprocess.Popen(
            self.plan.command,
            env={**self.plan.environment, "PYTHONUNBUFFERED": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
            process_group=0,
        )

    def _pass_on(self, process: "subprocess.Popen[str]") -> None:
        assert process.stdout is not None  # noqa: S101 - a pipe, as asked for in _spawn
        with process.stdout as lines:
            for raw in lines:
                line = raw.rstrip()
                if self.plan.noise and self.plan.noise in line:
                    continue
                if line:
                    self.last_line = line
                self._log.say(self.plan.name, line)

    def _signal(self, number: signal.Signals) -> None:
        with self._process_lock:
            process = self._process
            if process is not None and process.returncode is None:
                with suppress(ProcessLookupError):
                    process.send_signal(number)
