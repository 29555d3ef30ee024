"""The whole service on this machine: its rooms started in order, watched, stopped in order."""

import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Self

from cli.errors import RoomFailed, RoomLate
from cli.up.log import Log
from cli.up.room import SUPERVISOR, Patience, Room, RoomPlan

# `dream up` promises to be gone in 5 s. A worker in the middle of a long step gives its job back
# after 3 s by itself, and Valkey has to be there for that; it needs a tenth of a second to close.
GRACE_S = 4.4
LAST_GRACE_S = 0.4
READY_WITHIN_S = 60.0  # a cold disk loads Python slowly; a room that died is noticed at once
ASK_EVERY_S = 0.02


class Stack:
    """Rooms that run together; as a context manager it starts and stops them.

    Nothing is left running when `with` ends, however it ends. Should this process be killed,
    the rooms end by themselves (`jobs.process.end_with_parent`).
    """

    def __init__(
        self, plans: Sequence[RoomPlan], url: str, log: Log, patience: Patience | None = None
    ) -> None:
        """Run `plans` in this order; `url` is where the service then answers."""
        self.url = url
        self._log = log
        self._over = threading.Event()
        self._failed: RoomFailed | None = None
        self.rooms = [Room(plan, log, self._give_up, patience or Patience()) for plan in plans]
        self._started: list[Room] = []

    def __enter__(self) -> Self:
        """Start, as `start`."""
        self.start()
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        """Stop every room."""
        self.stop()

    def start(self) -> None:
        """Start every room, each when the one before is ready.

        Raises:
            RoomFailed: one ended before it was ready, or wasn't ready in time; all are stopped
                again.
        """
        try:
            for room in self.rooms:
                room.start()
                self._started.append(room)
                self._wait_ready(room)
        except BaseException:
            self.stop()
            raise

    def check(self) -> None:
        """Return while all is well.

        Raises:
            RoomFailed: a room died again and again.
        """
        if self._failed:
            raise self._failed

    def wait(self) -> None:
        """Wait until a room can't be kept running any more (else for ever).

        Raises:
            RoomFailed: with what that room said last.
        """
        self._over.wait()
        self.check()

    def stop(self) -> None:
        """Stop all rooms, those that carry others last; returns within 5 s, with none left."""
        with _undisturbed():
            self._stop_in_order()

    def _stop_in_order(self) -> None:
        began = time.monotonic()
        for last, grace_s in ((False, GRACE_S), (True, GRACE_S + LAST_GRACE_S)):
            rooms = [room for room in self._started if room.plan.carries_others == last]
            for room in rooms:
                room.ask_to_stop()
            for room in rooms:
                room.wait_stopped(began + grace_s)
        self._started.clear()

    def _wait_ready(self, room: Room) -> None:
        ready = room.plan.ready
        until = time.monotonic() + READY_WITHIN_S
        while ready and not ready():
            self.check()
            if room.failure:
                raise room.failure
            if time.monotonic() > until:
                raise RoomLate(room.plan.name, READY_WITHIN_S, room.last_line)
            self._over.wait(ASK_EVERY_S)
        if ready:
            self._log.say(SUPERVISOR, f"{room.plan.name} is ready")

    def _give_up(self, failure: RoomFailed) -> None:
        self._failed = self._failed or failure
        self._over.set()


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Let an impatient second Ctrl-C not cut off the stop, which ends within 5 s by itself."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, signal.SIG_IGN) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
