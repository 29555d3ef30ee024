"""The ledger: the truth about every job, in Redis; each change one compare-and-set.

Synchronous: the API calls it from its thread pool, the worker directly. Any call raises
`LedgerAway` when Redis doesn't answer. What may follow what is the table in `jobs/record.py`.
"""

import json
import logging
import secrets
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Literal, Protocol, cast

import redis
from ulid import ULID

from dream_core.errors import DreamError
from dream_core.spec import DreamSpec
from jobs.claim import LEASE_S, Claim
from jobs.errors import LedgerAway, LedgerFull, UnknownDream, UnknownFrame
from jobs.presence import Presence, workers
from jobs.record import (
    Ending,
    Frame,
    Frames,
    Job,
    Order,
    Problem,
    Progress,
    Queue,
    Run,
    Source,
    Status,
)
from jobs.scripts import Scripts, translated
from jobs.store import Picture, Store
from jobs.waiting import waits_for

log = logging.getLogger(__name__)


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
    ) -> None:
        """Work on `client` and `store`; `publish` hands ids to the broker.

        A worker gives `PatientScripts`, which wait for a Redis that is away.
        """
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
        queue: Literal["interactive", "bulk"] = "interactive",
    ) -> Job:
        """Take a job: disk, then ledger, then queue. When this returns, nothing can lose it.

        Raises:
            LedgerAway, LedgerFull, StoreFault: nothing was accepted.
        """
        ulid = ULID()
        order = Order(
            id=str(ulid),
            owner=owner,
            queue=queue,
            spec=spec.model_dump(mode="json"),
            created_at=ulid.datetime,
        )
        order = self._store.create(order.id, picture, order)
        try:
            self._scripts.run("accept", order.id, order.queue, *fields(order))
        except (LedgerAway, LedgerFull):
            # Nobody was promised anything. Had the script run and its answer been lost, the
            # first worker would find no picture and say so.
            self._store.discard(order.id)
            raise
        self.deliver(order.id, order.queue)
        return self.get(order.id)

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
        jobs = self._jobs(found[:limit])
        return jobs, jobs[-1].id if len(found) > limit else None

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
        shown = [_frame(told)[0] for told in found[:limit]]
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
            frame, fence = _frame(found[0])
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
        taken = self._scripts.run("claim", job_id, token, worker, LEASE_S * 1000)
        if not taken:
            return None
        fence, queue = taken
        return Claim(
            self.get(job_id),
            fence,
            self._scripts,
            self._store,
            deliver=partial(self.deliver, job_id, queue, ahead=True),
            remember=partial(self.remember, job_id),
        )

    def cancel(self, job_id: str) -> Job:
        """Stop a job: at once if it waits, after its present step if it runs. Idempotent.

        Raises:
            UnknownDream: no such job.
        """
        if self._scripts.run("cancel", job_id) == Status.CANCELED:
            self.remember(job_id)
        return self.get(job_id)

    def delete(self, job_id: str) -> None:
        """Remove a job, its pictures and all that is known of it. Idempotent.

        The folder goes first: what has a folder would be taken for lost by Redis, and restored.
        """
        self._store.discard(job_id)
        self._scripts.run("delete", job_id)

    def remember(self, job_id: str) -> None:
        """Write to disk how a job ended, so that a lost ledger doesn't run it again."""
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
        except DreamError as error:  # deleted meanwhile, or a full disk: the ledger knows it still
            log.warning("the ending of %s is not on disk: %s", job_id, error)

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
        """Return documents as jobs; the workers are asked once, and only if a job waits for one."""
        waiting = any(place is not None for _, _, place, _, _ in documents)
        up = self.workers() if waiting else []
        return [_job(document, up) for document in documents]


def fields(order: Order) -> list[str | int]:
    """Return an order as names and values of the record's hash."""
    assert order.source is not None  # noqa: S101 (the store has just filled it in)
    values: dict[str, str | int] = {
        "owner": order.owner,
        "parent": order.parent or "",
        "spec": json.dumps(order.spec),
        "source": order.source.model_dump_json(),
        "created_at": milliseconds(order.created_at),
        "expires_at": milliseconds(order.expires_at),
    }
    return [part for pair in values.items() for part in pair]


def _job(document: Any, up: Sequence[Presence]) -> Job:
    """Return one answer of the `read` script as the document that everyone sees."""
    job_id, flat, place, count, latest = document
    fields = dict(zip(flat[::2], flat[1::2], strict=True))
    spec = json.loads(fields["spec"])
    position = None if place is None else place + 1
    progress = fields.get("progress")
    run, problem = fields.get("run"), fields.get("problem")
    return Job(
        id=job_id,
        status=Status(fields["status"]),
        seq=int(fields["seq"]),
        parent=fields["parent"] or None,
        spec=spec,
        source=Source.model_validate_json(fields["source"]),
        run=Run.model_validate_json(run) if run else None,
        progress=Progress.model_validate_json(progress)
        if progress
        else Progress(iterations=spec["iterations"]),
        queue=Queue(
            position=position, waits_for=None if position is None else waits_for(position, up)
        ),
        attempt=int(fields["attempt"]),
        frames=Frames(count=count, latest=None if latest is None else int(latest)),
        created_at=_moment(fields["created_at"]),
        started_at=_moment(fields.get("started_at")),
        finished_at=_moment(fields.get("finished_at")),
        expires_at=_moment(fields["expires_at"]),
        problem=Problem.model_validate_json(problem) if problem else None,
    )


def _frame(told: str) -> tuple[Frame, str]:
    """Return a frame and the fence under which it was written."""
    fields = json.loads(told)
    fence = cast(str, fields.pop("fence"))
    return Frame(**fields), fence


def milliseconds(moment: datetime | None) -> str:
    """Return a time as the record's hash has it; empty where there is none."""
    return str(round(moment.timestamp() * 1000)) if moment else ""


def _moment(milliseconds: str | None) -> datetime | None:
    return datetime.fromtimestamp(int(milliseconds) / 1000, UTC) if milliseconds else None
