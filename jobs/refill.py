"""Refill: a Redis that lost its last second, or everything, learns from the folders again."""

import json
import logging
from contextlib import suppress
from datetime import UTC, datetime

from dream_core.errors import DreamError
from jobs.disk import Footprint
from jobs.document import fields, milliseconds
from jobs.errors import LedgerAway, UnknownDream, UnknownVersion
from jobs.ledger import Ledger
from jobs.record import Ending, Order, Problem, Progress, Status
from jobs.scripts import Scripts
from jobs.store import Store

log = logging.getLogger(__name__)


def refill(ledger: Ledger, store: Store, scripts: Scripts) -> int:
    """Tell Redis of every job on disk that it doesn't know, or whose end, frames or cancel.

    And of those that it knows and that were deleted.

    Costs one look at every folder. Any number of processes may do it at once.

    Returns:
        how many jobs Redis had lost.

    Raises:
        LedgerAway: Redis doesn't answer.
    """
    store.clear_leftovers()
    restored = 0
    for job_id in store.ids():
        restored += take_in(job_id, ledger, store, scripts)
    _forget_deleted(store, scripts)
    return restored


def take_in(job_id: str, ledger: Ledger, store: Store, scripts: Scripts) -> bool:
    """Tell Redis of one job on disk; return whether it had lost anything.

    A folder that can't be read, and never will be, is set aside, and it is said where; one that
    another release has written stays where it is.

    Raises:
        LedgerAway: Redis doesn't answer.
    """
    try:
        restored = _restore(job_id, ledger, store, scripts)
        if store.asked_to_cancel(job_id):
            ledger.cancel(job_id)
    except LedgerAway:
        raise
    except (DreamError, OSError) as error:
        known = isinstance(error, UnknownDream | UnknownVersion)  # what they say is all there is
        log.error("%s%s", "" if known else f"the folder of {job_id} is left: ", error)
        return False
    except ValueError as error:
        reason = str(error).partition("\n")[0]
        log.error("job.json of %s can't be read (%s)", job_id, reason)
        if not scripts.run("read", job_id):  # else Redis knows all that it said
            log.error("dream %s is lost; its folder is kept as %s", job_id, store.set_aside(job_id))
        return False
    return restored


def _forget_deleted(store: Store, scripts: Scripts) -> None:
    """Delete once more what Redis has forgotten to be deleted: it has a record and no folder."""
    if next(iter(store.ids()), None) is None:  # a disk that isn't mounted looks like this
        return
    for job_id in scripts.run("known", ""):
        if not store.has(job_id):
            with suppress(UnknownVersion):  # the reaper says so
                scripts.run("delete", job_id)
                log.warning("dream %s had been deleted, and Redis had lost that", job_id)


def _restore(job_id: str, ledger: Ledger, store: Store, scripts: Scripts) -> bool:
    """Tell Redis of one job; return whether it had lost anything.

    Raises:
        ValueError: its order can't be read.
    """
    order = store.order(job_id)
    try:
        ending, whole = store.ending(job_id), True
    except ValueError:
        ending, whole = _lost_ending(order, _told(store, job_id)), False
    frames = ending.frames if ending else _told(store, job_id)
    takes = _takes(order)
    left = takes.bytes - len(frames) * takes.frame_bytes
    told = [*fields(order), "frame_bytes", takes.frame_bytes]
    told += _ended(ending) if ending else ("seq", 0)
    pairs = [part for frame in frames for part in (json.loads(frame)["iteration"], frame)]
    status = ending.status if ending else Status.QUEUED
    if not scripts.run("restore", job_id, order.queue, status, left, len(told), *told, *pairs):
        return False
    if not store.has(job_id):  # deleted between our look at its folder and now
        scripts.run("delete", job_id)
        return False
    if not whole:
        ledger.remember(job_id)
    log.warning("Redis had lost dream %s: it is %s", job_id, status)
    if status is Status.QUEUED:
        ledger.deliver(job_id, order.queue)
    return True


def _lost_ending(order: Order, frames: list[str]) -> Ending:
    """Return an ending for a job that has one which can't be read: it isn't run again."""
    log.error("ending.json of %s can't be read: it counts as failed, its frames stay", order.id)
    return Ending(
        status=Status.FAILED,
        seq=0,
        attempt=0,
        run=None,
        progress=Progress.at(order.begins_at, order.spec["iterations"]),
        problem=Problem(
            code="ending-lost",
            title="How it ended is not known",
            detail=f"ending.json of dream {order.id} can't be read; its frames are kept, and "
            f"POST /dreams/{order.id}/retry asks for the same once more",
        ),
        started_at=None,
        finished_at=datetime.now(UTC),
        frames=frames,
    )


def _takes(order: Order) -> Footprint:
    """Return the disk that a job may take."""
    source = order.source
    assert source is not None  # noqa: S101 (it was stored before the order)
    return Footprint.of(order.spec, source.height, source.width, begins_at=order.begins_at)


def _ended(ending: Ending) -> list[str | int]:
    """Return an ending as names and values of the record's hash."""
    values: dict[str, str | int] = {
        "seq": ending.seq,
        "attempt": ending.attempt,
        "progress": ending.progress.model_dump_json(),
        "run": ending.run.model_dump_json() if ending.run else "",
        "problem": ending.problem.model_dump_json() if ending.problem else "",
        "started_at": milliseconds(ending.started_at),
        "finished_at": milliseconds(ending.finished_at),
    }
    return [part for pair in values.items() for part in pair]


def _told(store: Store, job_id: str) -> list[str]:
    return [frame for _, frame in store.found(job_id)]
