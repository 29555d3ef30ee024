"""The reaper: jobs whose worker or message was lost go on.

It runs in the API and in every worker. Each of its moves is a compare-and-set, so it needs no
leader, and two of them at once do what one does.
"""

import logging
import threading
from collections.abc import Iterable, Iterator
from contextlib import suppress

import redis

from dream_core.errors import DreamError
from jobs import forgotten
from jobs.claim import LEASE_S
from jobs.errors import DeadlinePassed, StoreFault, UnknownDream, UnknownVersion
from jobs.ledger import Ledger
from jobs.logs import bound
from jobs.presence import RENEWED_EVERY_S
from jobs.queue import lists
from jobs.record import QUEUES, Job, Problem, Status
from jobs.refill import refill
from jobs.retention import Retention
from jobs.scripts import Scripts, translated
from jobs.store import Store

log = logging.getLogger(__name__)

SWEPT_EVERY_S = 5.0
# A lease renewed at the last moment before Redis hangs lasts that long at least.
BLIND_S = LEASE_S - RENEWED_EVERY_S
UNSENT_AFTER_S = 10  # accepting writes to the ledger, then sends; this long it never takes
LOSSES = 3


def poison(job: Job) -> Problem:
    """Return what to tell of a job that ends its workers; a killer of processes leaves no word."""
    run, memory = job.run, ""
    if run and run.predicted_bytes and run.free_bytes is not None:
        memory = (
            f"; {job.spec['model']} at {run.width} × {run.height} needs about "
            f"{run.predicted_bytes / 1e9:.1f} GB, {run.device} had {run.free_bytes / 1e9:.1f} GB "
            "free, and a system that runs out of memory kills without a word"
        )
    return Problem(
        code="poison",
        title="The dream ends its worker",
        detail=(
            f"{LOSSES} workers in a row were lost while they ran this dream, none got further "
            f"than the one before{memory}; a smaller image_size may fit the memory there is"
        ),
    )


def too_late(job: Job) -> Problem:
    """Return what to tell of a job whose deadline passed while its worker was lost."""
    progress = job.progress
    return Problem.of(DeadlinePassed(progress.iteration, progress.iterations, job.expires_at))


class Reaper:
    """Looks after jobs that nobody looks after."""

    def __init__(
        self,
        client: redis.Redis,
        ledger: Ledger,
        store: Store,
        every_s: float = SWEPT_EVERY_S,
        grace_s: float = LEASE_S,
        *,
        keep_s: float | None = None,
    ) -> None:
        """Sweep the ledger on `client`, and fill it from `store` whenever Redis has started.

        A Redis that was away, or that hung, let every lease run out. So the workers have `grace_s`
        to renew theirs, after its start or when for `BLIND_S` no reaper could look. A
        finished dream is kept for `keep_s`; None: for good.
        """
        self._client = client
        self._scripts = Scripts(client)
        self._ledger = ledger
        self._store = store
        self._seen = ""  # the run of Redis that is known to have all jobs
        self._every_s = every_s
        self._grace_s = grace_s
        self._waiting: set[str] = set()
        self._retention = Retention(self._scripts, ledger, store, keep_s)
        self._foreign: set[str] = set()  # of another release; said once
        self._ended = threading.Event()
        self._silent = False

    def start(self) -> None:
        """Sweep from now on, in a thread of its own."""
        threading.Thread(target=self._sweep_on, daemon=True, name="reaper").start()

    def stop(self) -> None:
        """Sweep no more."""
        self._ended.set()

    def sweep(self) -> None:
        """Look at every job once.

        Raises:
            LedgerAway: Redis doesn't answer.
            StoreFault: the disk refuses to give up what was kept long enough.
        """
        server = translated(lambda: self._client.info("server"))
        if server["run_id"] != self._seen:
            refill(self._ledger, self._store, self._scripts)
            self._seen = server["run_id"]
        times_ms = [round(each * 1000) for each in (UNSENT_AFTER_S, BLIND_S, self._grace_s)]
        unsent, late, ended = self._scripts.run("overdue", "", *times_ms)
        for job_id in self._ours(unsent):
            self._drop_if_refused(job_id)
        for job_id in self._ours(dict.fromkeys([*unsent, *late, *self._unheard()])):
            with bound(job=job_id):
                self._look_after(job_id)
        for job_id in self._ours(ended):
            with bound(job=job_id):
                self._ledger.remember(job_id)
        self._retention.sweep()

    def _ours(self, ids: Iterable[str]) -> Iterator[str]:
        """Go through the jobs whose records this release knows; say once which it doesn't."""
        for job_id in ids:
            try:
                self._scripts.run("read", job_id)
            except UnknownVersion as error:
                if job_id not in self._foreign:
                    log.error("%s", error)
                self._foreign.add(job_id)
            else:
                yield job_id

    def _look_after(self, job_id: str) -> None:
        """Move one job that nobody looks after, or send it again."""
        try:
            job = self._ledger.get(job_id)
        except UnknownDream:  # deleted meanwhile
            self._scripts.run("delete", job_id)
            return
        problems = (poison(job).model_dump_json(), too_late(job).model_dump_json())
        try:
            moved = forgotten.move(self._scripts, self._store, "reap", job_id, LOSSES, *problems)
        except StoreFault as fault:  # of this job's folder; the others are looked after
            log.error("%s", fault)
            return
        if not moved:
            return
        status, queue = moved
        log.warning("job %s had lost its worker or message, or was too late: %s", job_id, status)
        if status == Status.QUEUED:
            self._ledger.deliver(job_id, queue, ahead=True)
        else:
            self._ledger.remember(job_id)

    def _drop_if_refused(self, job_id: str) -> None:
        """Remove the record of a job that was refused because Redis' answer was lost.

        Its folder went then, and no message was ever sent.
        """
        if self._store.has(job_id):
            return
        with suppress(UnknownDream):
            if self._ledger.get(job_id).attempt == 0:
                self._scripts.run("delete", job_id)

    def _unheard(self) -> list[str]:
        """Return jobs that have waited for a sweep and longer while no message is left for them.

        A worker that is stopped while idle can swallow the message it has just been sent.
        """
        waiting: list[str] = []
        if not translated(lambda: self._client.exists("dreams:paused")):
            for queue in QUEUES:
                if not any(self._length(key) for key in lists(queue)):
                    waiting += self._queued(queue)
        before, self._waiting = self._waiting, set(waiting)
        return [job_id for job_id in waiting if job_id in before]

    def _length(self, key: str) -> int:
        length: int = translated(lambda: self._client.llen(key))
        return length

    def _queued(self, queue: str) -> list[str]:
        ids: list[str] = translated(lambda: self._client.zrange(f"dreams:queued:{queue}", 0, -1))
        return ids

    def _sweep_on(self) -> None:
        while not self._ended.is_set():
            try:
                self.sweep()
                self._silent = False
            except DreamError as error:
                if not self._silent:
                    log.warning("%s", error)
                self._silent = True
            except Exception:
                log.exception("a sweep failed; the next one comes")
            self._ended.wait(self._every_s)
