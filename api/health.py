"""Health: alive, and ready to dream at once."""

import os
import shutil
from typing import Literal

from fastapi import APIRouter
from pydantic import BaseModel

from api.dependencies import CatalogueDep, RoomDep
from api.errors import NotReady
from api.intake import way_out, weights_state
from api.openapi import problems
from dream_core.catalogue import Catalogue
from jobs.errors import LedgerAway
from jobs.presence import Presence
from jobs.settings import Settings

router = APIRouter(tags=["service"])
NO_MODEL = "none"  # DREAM_PRELOAD: no worker has weights before its first job


class Alive(BaseModel):
    """The API answers."""

    status: Literal["ok"] = "ok"


class Ready(BaseModel):
    """A dream posted now starts at once, or after those before it."""

    status: Literal["ready"] = "ready"
    checks: dict[str, str]


@router.get("/healthz", responses=problems())
async def healthz() -> Alive:
    """Tell that the API is alive; it asks nobody else."""
    return Alive()


@router.get("/readyz", responses=problems(NotReady))
def readyz(room: RoomDep, catalogue: CatalogueDep) -> Ready:
    """Tell whether a dream posted now would run: Redis, a worker, its weights, the disk."""
    workers, ledger = _workers(room)
    checks = {
        "redis": ledger,
        "worker": _worker(workers),
        "weights": _weights(workers, catalogue, room.settings.preload),
        "disk": _disk(room.settings),
    }
    failed = {name: said for name, (fine, said) in checks.items() if not fine}
    if failed:
        raise NotReady(failed)
    return Ready(checks={name: said for name, (_, said) in checks.items()})


Check = tuple[bool, str]


def _workers(room: RoomDep) -> tuple[list[Presence], Check]:
    try:
        return room.ledger.workers(), (True, "answers")
    except LedgerAway as error:  # the one place where it is an answer and not a failure
        return [], (False, str(error))


def _worker(workers: list[Presence]) -> Check:
    if not workers:
        return False, "none is up; `dream up` starts one, its log says why it ended"
    states = ", ".join(f"{worker.name} is {worker.state}" for worker in workers)
    return any(worker.state in ("idle", "dreaming") for worker in workers), states


def _weights(workers: list[Presence], catalogue: Catalogue, name: str) -> Check:
    """Whether the model that every worker has before its first job is here, or how far it is."""
    if name == NO_MODEL:
        return True, "fetched when a dream asks for them"
    if name not in catalogue:
        return False, f"DREAM_PRELOAD names {name}, which is no model; GET /models lists all"
    if weights_state(catalogue[name], catalogue) == "present":
        return True, f"{name} is here"
    for worker in workers:
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
    folder = settings.data_dir
    try:
        folder.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(folder).free
        writable = os.access(folder, os.W_OK | os.X_OK)
    except OSError:
        writable = False
    if not writable:
        return False, f"{folder} can't be written; give the service access, or set DREAM_DATA_DIR"
    return free > settings.max_upload_bytes, f"{free / 1e9:.1f} GB free in {folder}"
