"""The worker's pulse: a thread that says it is alive and keeps the lease of the job it runs."""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import redis

from dream_core.errors import DreamError, Stale
from dream_core.weights import PullProgress
from jobs.claim import Claim
from jobs.logs import bound
from jobs.presence import RENEWED_EVERY_S, Memory, Presence, announce, withdraw
from jobs.scripts import Scripts
from worker.memory import for_a_dream, measure

log = logging.getLogger(__name__)

_PULL_TOLD_EVERY_S = 0.5


class Heartbeat:
    """What this worker says about itself. A Redis that is away stops nothing: it is told later."""

    def __init__(
        self,
        client: redis.Redis,
        presence: Presence,
        clock: Callable[[], float] = time.monotonic,
        *,
        measure: Callable[[str | None], Memory] = measure,
    ) -> None:
        """Begin with `presence`; nothing is said before `start`. `measure` is given a device."""
        self.presence = presence
        self._client = client
        self._scripts = Scripts(client)
        self._clock = clock
        self._measure = measure
        self._free: int | None = None  # for a dream, when last there was none
        self._claim: Claim | None = None
        self._ended = threading.Event()
        self._told_at = clock()
        self._silent = False
        self._thread = threading.Thread(target=self._beat_on, daemon=True, name="heartbeat")

    def start(self) -> None:
        """Say that the worker is there, now and every 5 s."""
        self.beat()
        self._thread.start()

    def stop(self) -> None:
        """Say that the worker is gone."""
        self._ended.set()
        self._quietly(lambda: withdraw(self._client, self.presence.name))

    def tell(self, **changes: Any) -> None:
        """Say what has changed, at once."""
        self.presence = self.presence.model_copy(update=changes)
        self._told_at = self._clock()
        self._announce()

    def pulling(self, progress: PullProgress) -> None:
        """Say how far a pull of weights is, twice a second at most."""
        if self.presence.state == "pulling" and self._clock() - self._told_at < _PULL_TOLD_EVERY_S:
            return
        self.tell(
            state="pulling",
            model=progress.model,
            bytes_done=progress.bytes_done,
            bytes_total=progress.bytes_total,
        )

    def idle(self) -> None:
        """Say that the next job can come."""
        self.tell(state="idle", model=None, bytes_done=None, bytes_total=None, job=None)

    @contextmanager
    def dreaming(self, claim: Claim) -> Iterator[None]:
        """Keep the lease of a job inside."""
        self._claim = claim
        self.tell(state="dreaming", model=claim.job.spec["model"], job=claim.job.id)
        try:
            yield
        finally:
            self._claim = None
            self.idle()

    def held_up(self, by_disk: bool) -> None:
        """Say that the dream waits for room on the disk, or goes on."""
        self.tell(state="disk-full" if by_disk else "dreaming")

    def give_back(self) -> None:
        """Put the job that runs back in its queue, from another thread than its own."""
        claim = self._claim
        if claim is not None:
            with bound(**claim.known_as):
                self._quietly(claim.give_back)

    def beat(self) -> None:
        """Renew presence and lease once."""
        claim = self._claim
        self._announce()
        if claim is not None:
            with bound(**claim.known_as):
                self._quietly(claim.renew)

    def _announce(self) -> None:
        # Not kept in `presence`: two threads announce, and one of them says what it does.
        known = self.presence
        memory = self._measure(known.device)
        update: dict[str, Any] = {"memory": memory}
        # A dream may have begun meanwhile, and what that takes isn't gone.
        if known.state == "idle" and known.device and self.presence is known:
            self._free = for_a_dream(known.device, memory) or self._free
        if self._free is not None:
            update["memory_bytes"] = self._free
        said = known.model_copy(update=update)
        self._quietly(lambda: announce(self._scripts, said))

    def _beat_on(self) -> None:
        while not self._ended.wait(RENEWED_EVERY_S):
            self.beat()

    def _quietly(self, call: Callable[[], object]) -> None:
        """Log the first of a row of failures; the worker goes on without Redis while it can."""
        try:
            call()
        except Stale:
            pass  # the loop finds out by itself at its next write
        except DreamError as error:
            if not self._silent:
                log.warning("%s", error)
            self._silent = True
        else:
            self._silent = False
