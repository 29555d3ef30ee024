"""Builds the API: the one place where its parts meet."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Final

from fastapi import Depends, FastAPI
from starlette.middleware.cors import CORSMiddleware

from api import dreams, estimate, health, home, models, problems, queue
from api.access import Access
from api.dependencies import Room, known_parameters_only
from api.door import Door
from api.metrics import Metrics
from api.middleware import Manners
from api.openapi import describe
from api.polls import Polls
from api.readiness import Probe
from dream_core.version import version
from jobs.connection import REQUEST
from jobs.door import listed
from jobs.line import Line
from jobs.settings import Settings
from jobs.standing import SCRIPT
from jobs.wiring import open_ledger, open_reaper

# What a page elsewhere, where one is let in, may send and see beside what all may.
ASKED_WITH: Final = ("Authorization", "If-None-Match", "Range")
ANSWERED_WITH: Final = ("Content-Range", "ETag", "Location", "Retry-After", "WWW-Authenticate")


def create_app(settings: Settings) -> FastAPI:
    """Return the API of a deployment. Redis need not be up: it is asked when a request needs it."""
    ledger = open_ledger(settings, patience=REQUEST)
    line = Line(settings, SCRIPT)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        reaper = open_reaper(settings, ledger)
        reaper.start()
        async with line.held():
            yield
        reaper.stop()

    app = FastAPI(
        title="torch-inception",
        summary="A neural network dreams on your picture",
        version=version(),
        lifespan=lifespan,
        docs_url=None,  # ours is api/home.py's: FastAPI's own fetches its assets from elsewhere
        redoc_url=None,
        redirect_slashes=False,
        generate_unique_id_function=lambda route: route.name,
        dependencies=[Depends(known_parameters_only)],
    )
    probe = Probe.of(settings)
    seen = Metrics(probe.ledger)
    app.state.room = Room(settings, ledger, probe, seen)
    app.openapi = partial(describe, app)  # type: ignore[method-assign]
    # From the inside out. A page elsewhere that may ask learns also why it is refused.
    app.add_middleware(Polls, line=line, route=dreams.READ)
    app.add_middleware(
        Door,
        key=settings.key(),
        hosts=listed(settings.allowed_hosts),
        origins=listed(settings.cors_origins),
    )
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=listed(settings.cors_origins),
            allow_methods=("GET", "POST", "PATCH", "DELETE"),
            allow_headers=ASKED_WITH,
            expose_headers=ANSWERED_WITH,
            allow_private_network=True,  # who named the page has let it in
        )
    app.add_middleware(Manners)
    app.add_middleware(Access, metrics=seen)  # the last one added is the outermost
    problems.install(app)
    for room in (dreams, estimate, queue, models, health, home):
        app.include_router(room.router)
    return app
