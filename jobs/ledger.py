"""The ledger: the truth about every job, in Redis; each change one compare-and-set.

Synchronous: the API calls it from its thread pool, the worker directly. Any call raises
`LedgerAway` when Redis doesn't answer. What may follow what is the table in `jobs/record.py`.
"""

import logging
import secrets
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import redis
from ulid import ULID

from dream_core.errors import DreamError
from dream_core.model import Model
from dream_core.spec import DreamSpec
from jobs import document, forgotten, logs
from jobs.backlog import QueueState
from jobs.claim import LEASE_S, Claim
from jobs.disk import Footprint
from jobs.errors import (
    DiskFull,
    QueueFull,
    StoreFault,
    UnknownDream,
    UnknownFrame,
)
from jobs.estimate import Estimate, Known
from jobs.figures import Figures
from jobs.limits import Limits
from jobs.presence import Presence, workers
from jobs.record import QUEUES, Ending, Frame, Job, Order, QueueName, Status
from jobs.request import Request
from jobs.scripts import Scripts, translated
from jobs.store import Picture, Store

log = logging.getLogger(__name__)

UNKNOWN_PACE_S = 30  # where no job was ever started


class Publish(Protocol):
    """Hands a job's id to the broker; `ahead`: before all that wait."""

    def __call__(self, job_id: str, queue: str, *, ahead: bool) -> None: ...  # noqa: D102


class Ledger:
    """All jobs."""

    def __init__(
        self,
        client: redis.Redis,
        store: Store,
        publish: Publish,
        scripts: Scripts | None = None,
        limits: Limits | None = None,
    ) -> None:
        """Work on `client` and `store`; `publish` hands ids to the broker.

        A worker gives `PatientScripts`, which wait for a Redis that is away.
        """
        self._limits = limits or Limits()
        self._client = client
        self._store = store
        self._publish = publish
        self._scripts = scripts or Scripts(client)

    def accept(
        self,
        spec: DreamSpec,
        picture: Picture,
        *,
        owner: str = "local",
        queue: QueueName = "interactive",
        timeout_s: float | None = None,
        parent: str | None = None,
    ) -> Job:
        """Take a job: disk, then ledger, then queue. When this returns, nothing can lose it.

        Args:
            spec: what to dream.
            picture: on what; upright.
            owner: whose it is.
            queue: where it waits.
            timeout_s: seconds, from now, after which it expires if it still waits, or fails with
                `deadline-passed` if it runs; None: never.
            parent: id of the job that it comes from.

        Raises:
            QueueFull, DiskFull: there is no place for it.
            LedgerAway, LedgerFull, StoreFault: nothing was accepted.
        """
        request = Request(picture, spec.model_dump(mode="json"), owner, queue, parent)
        return self._accept(request, timeout_s)

    def retry(self, job_id: str, *, timeout_s: float | None = None) -> Job:
        """Take a job that asks once more for what `job_id` asked: the same spec and source.

        A dream that was continued is continued once more. The deadline is a new one.

        Raises:
            UnknownDream: no such job.
            NotFinished: it has not ended.
            and all that `accept` raises.
        """
        return self._accept(Request.again(self.get(job_id), self._store), timeout_s)

    def continue_(self, job_id: str, iterations: int, *, timeout_s: float | None = None) -> Job:
        """Take a job that goes on where `job_id` stopped, for so many more iterations.

        Its first frame is the picture that it begins with, numbered as in its parent; its spec
        counts the iterations from the source, so that the spec posted with the source gives the
        same dream.

        Args:
            job_id: a job that has ended, however it did.
            iterations: how many more than its last state has.
            timeout_s: see `accept`.

        Raises:
            UnknownDream: no such job.
            NotFinished: it has not ended.
            NoState: it has left no state.
            InvalidSpec: fewer than 1 more, or more in all than a dream may have.
            and all that `accept` raises.
        """
        return self._accept(Request.further(self.get(job_id), iterations, self._store), timeout_s)

    def _accept(self, request: Request, timeout_s: float | None) -> Job:
        ulid = ULID()
        order = Order(
            id=str(ulid),
            owner=request.owner,
            queue=request.queue,
            parent=request.parent,
            begins_at=request.begins_at,
            request=logs.bound_now().get("request"),
            spec=request.spec,
            created_at=ulid.datetime,
            expires_at=None if timeout_s is None else ulid.datetime + timedelta(seconds=timeout_s),
        )
        takes = request.footprint()
        self._admit(request.footprint(source_bytes=request.source_bytes))
        order = self._store.create(order.id, request.picture, order, request.start)
        try:
            self._check(
                takes,
                lambda room: self._scripts.run(
                    "accept",
                    order.id,
                    order.queue,
                    self._limits.max_queued,
                    takes.bytes,
                    room,
                    takes.frame_bytes,
                    *document.fields(order),
                ),
            )
        except DreamError:
            # Nobody was promised anything. Had the script run and its answer been lost, there is
            # now a record without a folder and without a message, and the reaper removes it.
            self._store.discard(order.id)
            raise
        with logs.bound(job=order.id):
            log.info("dream accepted into %s", order.queue)
            self.deliver(order.id, order.queue)
        return self.get(order.id)

    def _admit(self, takes: Footprint) -> None:
        """Ask before anything is written: a full disk is the last to be told to."""
        self._check(
            takes,
            lambda room: self._scripts.run("admit", "", self._limits.max_queued, takes.bytes, room),
        )

    def _check(self, takes: Footprint, ask: Callable[[int], Any]) -> None:
        """Ask a script whether there is a place for a job, given the bytes that may be taken.

        Raises:
            QueueFull, DiskFull: there is none.
        """
        free, floor = self._store.free_bytes(), self._limits.min_free_disk
        room = free - floor
        match ask(room):
            case ["queue", waiting, pace_s]:
                raise QueueFull(waiting, self._limits.max_queued, pace_s or UNKNOWN_PACE_S)
            case ["disk", promised]:
                raise DiskFull(takes, room - int(promised), free, floor)

    def deliver(self, job_id: str, queue: str, *, ahead: bool = False) -> None:
        """Hand a job to the broker; where that fails the ledger knows, and it is tried again."""
        try:
            self._publish(job_id, queue, ahead=ahead)
            self._scripts.run("published", job_id)
        except Exception:
            log.warning("job %s is accepted but not yet published", job_id, exc_info=True)

    def get(self, job_id: str) -> Job:
        """Return the job as it stands.

        Raises:
            UnknownDream: for an id of any form that no job has.
        """
        found = self._scripts.run("read", job_id)
        if not found:
            raise UnknownDream(job_id)
        return self._jobs([found])[0]

    def newest(self, limit: int, before: str | None = None) -> tuple[list[Job], str | None]:
        """Return up to `limit` jobs older than `before`, newest first, and the next `before`."""
        found = self._scripts.run("newest", before or "", limit + 1)
        return self._jobs(found[:limit]), found[limit - 1][0] if len(found) > limit else None

    def frames(
        self, job_id: str, after: int | None = None, limit: int = 1000
    ) -> tuple[list[Frame], int | None]:
        """Return up to `limit` frames past iteration `after`, ascending, and the next `after`.

        Raises:
            UnknownDream: no such job.
        """
        start = "-inf" if after is None else f"({after}"
        found = self._scripts.run("frames", job_id, start, limit + 1)
        if found is None:
            raise UnknownDream(job_id)
        shown = [document.frame(told)[0] for told in found[:limit]]
        return shown, shown[-1].iteration if len(found) > limit else None

    def source_path(self, job_id: str) -> Path:
        """Return the PNG of the upright source.

        Raises:
            UnknownDream: no such job.
        """
        self.get(job_id)
        return self._store.source_path(job_id)

    def frame_path(self, job_id: str, iteration: int) -> Path:
        """Return the PNG of a published frame.

        Raises:
            UnknownDream, UnknownFrame: no such job, or no such frame (yet).
        """
        found = self._scripts.run("frames", job_id, iteration, 1)
        if found is None:
            raise UnknownDream(job_id)
        if found:
            frame, fence = document.frame(found[0])
            if frame.iteration == iteration:
                return self._store.frame_path(job_id, iteration, fence)
        raise UnknownFrame(job_id, iteration, self.get(job_id).frames.latest)

    def result_path(self, job_id: str) -> Path | None:
        """Return the PNG of the last frame once the job has succeeded, else None.

        Raises:
            UnknownDream: no such job.
        """
        job = self.get(job_id)
        if job.status is not Status.SUCCEEDED or job.frames.latest is None:
            return None
        return self.frame_path(job_id, job.frames.latest)

    def claim(self, job_id: str, worker: str) -> Claim | None:
        """Take a queued job for `worker`; None where it isn't queued (any more)."""
        token = secrets.token_hex(4)
        taken = forgotten.move(
            self._scripts, self._store, "claim", job_id, token, worker, LEASE_S * 1000
        )
        if not taken:
            return None
        fence, queue, request, lost = taken
        return Claim(
            self.get(job_id),
            fence,
            self._scripts,
            self._store,
            deliver=partial(self.deliver, job_id, queue, ahead=True),
            remember=partial(self.remember, job_id),
            request=request,
            lost=lost,
        )

    def cancel(self, job_id: str) -> Job:
        """Stop a job: at once if it waits, after its present step if it runs. Idempotent.

        Raises:
            UnknownDream: no such job.
        """
        job = self.get(job_id)
        if job.status.terminal:
            return job
        # On disk first: a Redis that loses its last second is told of it again (`jobs.refill`).
        with suppress(StoreFault):  # a full disk is a reason to cancel, and no reason not to
            self._store.ask_to_cancel(job_id)
        try:
            status = forgotten.move(self._scripts, self._store, "cancel", job_id)
        except DreamError:
            self._store.withdraw_cancel(job_id)
            raise
        if status == Status.CANCELED:
            self.remember(job_id)
        return self.get(job_id)

    def delete(self, job_id: str) -> None:
        """Remove a job, its pictures and all that is known of it. Idempotent.

        The folder goes first: what has a folder would be taken for lost by Redis, and restored.

        Raises:
            UnknownVersion: another release has written it, and may keep more of it than we know.
        """
        self._scripts.run("read", job_id)
        self._store.discard(job_id)
        self._scripts.run("delete", job_id)

    def pause(self) -> QueueState:
        """Start no queued job until `resume`; those that run go on. Idempotent, outlives restarts.

        A message that comes meanwhile is used up, and the ledger notes whose it was.
        """
        self._scripts.run("pause", "")
        return self.queue()

    def resume(self) -> QueueState:
        """Start queued jobs again: those whose messages are used up are sent anew. Idempotent."""
        for job_id, queue in self._scripts.run("resume", ""):
            # Ahead: they have waited longer than what came and was not delivered meanwhile.
            self.deliver(job_id, queue, ahead=True)
        return self.queue()

    def queue(self) -> QueueState:
        """Return what waits and runs now."""
        return QueueState.of(self._scripts.run("queue", ""), self.workers())

    def following(self) -> list[str]:
        """Return the job that is the next of each queue that has one.

        Raises:
            LedgerAway: Redis doesn't answer.
        """
        keys = [f"dreams:queued:{queue}" for queue in QUEUES]
        heads = [translated(partial(self._client.zrange, key, 0, 0)) for key in keys]
        return [job_id for head in heads for job_id in head]

    def figures(self) -> Figures:
        """Return what was done and is being done, by one cheap read."""
        return Figures.of(self._scripts.run("figures", ""))

    def estimate(
        self,
        spec: DreamSpec,
        model: Model,
        picture: tuple[int, int],
        *,
        queue: QueueName = "interactive",
    ) -> Estimate:
        """Return what a dream would cost; nothing is accepted.

        Args:
            spec: what would be dreamed.
            model: the spec's.
            picture: (height, width) of the source.
            queue: where it would wait.

        Raises:
            MemoryExceeded: it fits into no worker that is up.
        """
        known = Known.of(self._scripts.run("estimate", ""))
        return Estimate.of(spec, model, picture, queue=queue, known=known, workers=self.workers())

    def remember(self, job_id: str) -> None:
        """Write to disk how a job ended, so that a lost ledger doesn't run it again.

        What nobody needs any more goes: frames that were never published, all states but the last.
        Where it can't be written now, the reaper tries again.
        """
        try:
            job = self.get(job_id)
            ending = Ending(
                status=job.status,
                seq=job.seq,
                attempt=job.attempt,
                run=job.run,
                progress=job.progress,
                problem=job.problem,
                started_at=job.started_at,
                finished_at=job.finished_at,
                frames=self._scripts.run("frames", job_id, "-inf", -1) or [],
            )
            self._store.write_ending(job_id, ending)
            self._scripts.run("remembered", job_id)
            self._tidy(job_id, ending.frames)
        except DreamError as error:  # deleted meanwhile, or a full disk: the ledger knows it still
            log.warning("the ending of %s is not on disk: %s", job_id, error)

    def tidy(self, job_id: str) -> None:
        """Remove files of a job that has ended which nobody needs.

        Raises:
            StoreFault: the disk refuses.
        """
        found = self._scripts.run("frames", job_id, "-inf", -1) or []
        self._tidy(job_id, found)

    def _tidy(self, job_id: str, frames: Sequence[str]) -> None:
        published = [document.frame(told) for told in frames]
        self._store.tidy(job_id, {(each.iteration, fence) for each, fence in published})

    def check(self) -> None:
        """Check that Redis answers.

        Raises:
            LedgerAway: it doesn't.
        """
        translated(self._client.ping)

    def workers(self) -> list[Presence]:
        """Return all workers that are up."""
        return workers(self._client)

    def _jobs(self, documents: Sequence[Any]) -> list[Job]:
        """Return documents as jobs; the workers are asked once, and only if a job waits for one.

        What another release has written is left out: who asks for it by its id hears why.
        """
        documents = [told for told in documents if document.known(told)]
        waiting = any(place is not None for _, _, place, *_ in documents)
        up = self.workers() if waiting else []
        return [document.job(told, up) for told in documents]
