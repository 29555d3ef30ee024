"""What a dream needs to run at once, each asked now and in bounded time: a word on each."""

import shutil
import tempfile
from dataclasses import dataclass
from typing import Any

import redis

from api.intake import way_out, weights_state
from dream_core.catalogue import Catalogue
from dream_core.errors import Wait
from jobs.backlog import QueueState
from jobs.connection import PROBE, connect
from jobs.ledger import Ledger
from jobs.presence import Presence
from jobs.scripts import check_takes_writes, translated
from jobs.settings import NO_MODEL, Settings
from jobs.store import Store
from jobs.wiring import open_ledger

Check = tuple[bool, str]  # whether it is as it should be, and a sentence either way


@dataclass(frozen=True)
class Probe:
    """A ledger and a client of its Redis that give up soon: who asks has a timeout of his own."""

    ledger: Ledger
    client: redis.Redis

    @classmethod
    def of(cls, settings: Settings) -> "Probe":
        """Return the probe of a deployment; nothing is connected before it is asked something."""
        return cls(open_ledger(settings, patience=PROBE), connect(settings, PROBE))


def checks(settings: Settings, probe: Probe, catalogue: Catalogue) -> dict[str, Check]:
    """Return how Redis, workers, weights, disk and queue are."""
    ledger, state = _ledger(probe)
    up = state.workers if state else []
    return {
        "redis": ledger,
        "worker": _worker(up),
        "weights": _weights(up, catalogue, settings.preload),
        "disk": _disk(settings),
        "queue": _queue(state),
    }


def _ledger(probe: Probe) -> tuple[Check, QueueState | None]:
    """Redis is there when it takes a write."""
    state = None
    try:
        state = probe.ledger.queue()
        check_takes_writes(probe.client)
        return _evicting(translated(lambda: probe.client.info("memory"))), state
    except Wait as error:  # the one place where it is an answer and not a failure
        return (False, str(error)), state


def _queue(state: QueueState | None) -> Check:
    """A paused queue is as somebody wants it: said, and no reason to take the API out."""
    if state is None:
        return True, "unknown while Redis is away"
    if state.since:
        since = state.since.isoformat(timespec="seconds")
        return True, f"paused since {since}: nothing starts before POST /queue/resume"
    return True, f"{state.queued} queued, {state.running} running"


def _evicting(memory: dict[str, Any]) -> Check:
    policy, limit = memory.get("maxmemory_policy", "noeviction"), memory.get("maxmemory", 0)
    if limit and policy != "noeviction":
        reason = f"its maxmemory-policy is {policy}, which throws dreams away when it is full"
        return False, f"{reason}; set it to noeviction"
    return True, "answers and takes writes"


def _worker(up: list[Presence]) -> Check:
    if not up:
        return False, "none is up; `dream up` starts one, its log says why it ended"
    states = ", ".join(f"{worker.name} is {worker.state}" for worker in up)
    return any(worker.state in ("idle", "dreaming") for worker in up), states


def _weights(up: list[Presence], catalogue: Catalogue, name: str) -> Check:
    """Whether the model that every worker has before its first job is here, or how far it is."""
    if name == NO_MODEL:
        return True, "fetched when a dream asks for them"
    if name not in catalogue:
        return False, f"DREAM_PRELOAD names {name}, which is no model; GET /models lists all"
    if weights_state(catalogue[name], catalogue) == "present":
        return True, f"{name} is here"
    for worker in up:
        if worker.problem:
            return False, worker.problem
        if worker.state == "pulling":
            of = f" of {worker.bytes_total / 1e6:.0f}" if worker.bytes_total else ""
            return (
                False,
                f"{worker.model or name}: {(worker.bytes_done or 0) / 1e6:.0f}{of} MB so far",
            )
    return False, f"{name} is not here; a worker fetches it, or: {way_out(catalogue[name])}"


def _disk(settings: Settings) -> Check:
    """Whether the data folder takes a file: permissions alone don't tell (root, quotas, mounts)."""
    folder, floor = Store(settings.data_dir).root, settings.min_free_disk
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder, buffering=0) as file:
            file.write(b"\0")
        free = shutil.disk_usage(folder).free
    except OSError as error:
        way = "free space, give the service access, or set DREAM_DATA_DIR"
        return False, f"{folder} can't be written ({error.strerror}); {way}"
    said = f"{free / 1e9:.1f} GB free in {folder}"
    if free < floor:
        return False, f"{said}, {floor / 1e9:g} GB are kept free; delete dreams or free space"
    return True, said
