"""Health: alive, ready to dream at once, and all figures."""

from typing import Final, Literal

from fastapi import APIRouter, Response
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from pydantic import BaseModel

from api import readiness
from api.dependencies import CatalogueDep, RoomDep
from api.errors import NotReady
from api.openapi import Responses, problems

router = APIRouter(tags=["service"])
METRICS: Final[Responses] = {
    200: {
        "description": "In Prometheus' text format.",
        "content": {"text/plain": {"schema": {"type": "string"}}},
    }
}


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
    checks = readiness.checks(room.settings, room.probe, catalogue)
    failed = {name: said for name, (fine, said) in checks.items() if not fine}
    if failed:
        raise NotReady(failed)
    return Ready(checks={name: said for name, (_, said) in checks.items()})


@router.get("/metrics", response_class=Response, responses={**METRICS, **problems()})
def read_metrics(room: RoomDep) -> Response:
    """Tell what the service does and did, as Prometheus reads it, and whether Redis answers."""
    return Response(room.metrics.page(), media_type=CONTENT_TYPE_LATEST)
