"""Refill: a Redis that lost its last second, or everything, learns from the folders again."""

import json
import logging
import struct
from pathlib import Path

from dream_core.errors import DreamError
from jobs.ledger import Ledger, fields, milliseconds
from jobs.record import Ending, Status
from jobs.scripts import Scripts
from jobs.store import Store

log = logging.getLogger(__name__)


def refill(ledger: Ledger, store: Store, scripts: Scripts) -> int:
    """Tell Redis of every job on disk that it doesn't know, or whose end it doesn't know.

    Costs one look at every folder. Any number of processes may do it at once.

    Returns:
        how many jobs Redis had lost.

    Raises:
        LedgerAway: Redis doesn't answer.
    """
    restored = 0
    for job_id in store.ids():
        try:
            order, ending = store.order(job_id), store.ending(job_id)
        except (DreamError, ValueError) as error:
            log.error("the folder of %s can't be read and is left: %s", job_id, error)
            continue
        told = [*fields(order), *(_ended(ending) if ending else ("seq", 0))]
        frames = ending.frames if ending else _found(store, job_id)
        pairs = [part for frame in frames for part in (json.loads(frame)["iteration"], frame)]
        status = ending.status if ending else Status.QUEUED
        if scripts.run("restore", job_id, order.queue, status, len(told), *told, *pairs):
            log.warning("Redis had lost dream %s: it is %s", job_id, status)
            restored += 1
            if status is Status.QUEUED:
                ledger.deliver(job_id, order.queue)
    return restored


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


def _found(store: Store, job_id: str) -> list[str]:
    """Return frames as the ledger would know them, from the files that are there."""
    frames = []
    for iteration, path in sorted(store.frames(job_id).items()):
        width, height = _size(path)
        fence = path.name.split(".")[1]
        frame = {
            "iteration": iteration,
            "width": width,
            "height": height,
            "bytes": path.stat().st_size,
            "fence": fence,
        }
        frames.append(json.dumps(frame))
    return frames


def _size(path: Path) -> tuple[int, int]:
    """Return width and height of a PNG, which its first chunk begins with."""
    with path.open("rb") as file:
        header = file.read(24)
    width, height = struct.unpack(">II", header[16:24])
    return width, height
