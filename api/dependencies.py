"""What the routes are given: checked, parsed, ready. Nothing here decides anything about a job.

What waits for nobody is a coroutine: FastAPI hands each plain function to a thread, and back.
"""

import asyncio
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Annotated, Final

from fastapi import Depends, Path, Query, Request
from fastapi.concurrency import run_in_threadpool

from api import form, intake
from api.errors import NoSuchModel, UnknownParameter
from api.metrics import Metrics
from api.readiness import Probe
from api.terms import Deadline, More, Nothing, SizedTerms, Terms, read_terms
from dream_core.catalogue import Catalogue
from dream_core.forms.choice import fitting_form
from dream_core.model import Model
from dream_core.picture import Picture, read
from dream_core.spec import DreamSpec
from jobs.errors import UnknownFrame
from jobs.ledger import Ledger
from jobs.presence import memory_of, storage_of
from jobs.record import Job
from jobs.settings import Settings

UPLOADS_AT_ONCE: Final = 8  # whose bytes are held: 8 × 20 MiB
ULID: Final = r"^[0-7][0-9A-HJKMNP-TV-Z]{25}$"
_NUMBER = re.compile(r"0|[1-9][0-9]{0,9}")


@dataclass(frozen=True)
class Room:
    """What the API works with, made once by `api.app.create_app`."""

    settings: Settings
    ledger: Ledger
    probe: Probe
    metrics: Metrics
    uploads: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(UPLOADS_AT_ONCE))
    # A picture of 40 megapixels takes half a gigabyte while it is decoded: one at a time.
    decoding: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(1))


async def _room(request: Request) -> Room:
    room: Room = request.app.state.room
    return room


RoomDep = Annotated[Room, Depends(_room)]


async def _settings(room: RoomDep) -> Settings:
    return room.settings


async def _ledger(room: RoomDep) -> Ledger:
    return room.ledger


def _catalogue() -> Catalogue:
    return Catalogue.load()


async def _owner() -> str:
    """Whose dream it is: the seam for keys with owners; until they come, everyone is `local`."""
    return "local"


SettingsDep = Annotated[Settings, Depends(_settings)]
LedgerDep = Annotated[Ledger, Depends(_ledger)]
CatalogueDep = Annotated[Catalogue, Depends(_catalogue)]
OwnerDep = Annotated[str, Depends(_owner)]


async def _form(request: Request, room: RoomDep) -> AsyncIterator[form.Form]:
    # Before anything is sent or waited for: pictures are decoded one at a time, and a Redis that
    # is away would make each of them wait for those before it.
    await run_in_threadpool(room.ledger.check)
    async with room.uploads:  # until the answer: the bytes are held so long
        max_bytes = room.settings.max_upload_bytes
        yield await form.read_form(request.headers, request.stream(), max_bytes)


FormDep = Annotated[form.Form, Depends(_form)]


def _spec(posted: FormDep, catalogue: CatalogueDep, settings: SettingsDep) -> DreamSpec:
    return intake.read_spec(posted, catalogue, settings.max_image_size)


SpecForm = Annotated[DreamSpec, Depends(_spec)]


def _terms(posted: FormDep) -> Terms:
    return intake.read_post_terms(posted, Terms)


TermsForm = Annotated[Terms, Depends(_terms)]
Texts = tuple[tuple[str, str], ...]


async def _texts(request: Request) -> Texts:
    return await form.read_texts(request.headers, request.stream())


TextsDep = Annotated[Texts, Depends(_texts)]


def _nothing(texts: TextsDep) -> Nothing:
    return read_terms(Nothing, texts)


def _deadline(texts: TextsDep) -> Deadline:
    return read_terms(Deadline, texts)


def _more(texts: TextsDep) -> More:
    return read_terms(More, texts)


NoFields = Annotated[Nothing, Depends(_nothing)]
DeadlineForm = Annotated[Deadline, Depends(_deadline)]
MoreForm = Annotated[More, Depends(_more)]


async def _picture(
    posted: FormDep, spec: SpecForm, catalogue: CatalogueDep, room: RoomDep
) -> AsyncIterator[Picture]:
    """Decode the picture; it is held until the job is accepted, and so is the next one's turn."""
    data = posted.need_picture()
    async with room.decoding:
        picture = await run_in_threadpool(read, data)
        model, size = catalogue[spec.model], (picture.height, picture.width)
        spec.check_picture(*size, model)
        await run_in_threadpool(_check_fits, room.ledger, spec, model, size)
        yield picture


def _check_fits(ledger: Ledger, spec: DreamSpec, model: Model, size: tuple[int, int]) -> None:
    """Refuse what fits into the memory of no worker that is up: it would wait for nothing.

    Raises:
        MemoryExceeded: names the largest image_size that would fit.
    """
    workers = ledger.workers()
    if (free := memory_of(workers)) is not None:
        stored = storage_of(workers, spec.precision)
        fitting_form(model, spec, size, free, "this server", storage=stored)


PictureUpload = Annotated[Picture, Depends(_picture)]


def _spec_for_size(posted: FormDep, catalogue: CatalogueDep, settings: SettingsDep) -> DreamSpec:
    return intake.read_spec(posted, catalogue, settings.max_image_size, SizedTerms)


SpecForSize = Annotated[DreamSpec, Depends(_spec_for_size)]


def _sized_terms(posted: FormDep) -> SizedTerms:
    return intake.read_post_terms(posted, SizedTerms)


SizedTermsForm = Annotated[SizedTerms, Depends(_sized_terms)]


def _size(
    posted: FormDep, spec: SpecForSize, terms: SizedTermsForm, catalogue: CatalogueDep
) -> tuple[int, int]:
    """Measure the picture, or take the form's word, and check that it can be dreamed on."""
    size = intake.read_size(posted, terms)
    spec.check_picture(*size, catalogue[spec.model])
    return size


SizeForm = Annotated[tuple[int, int], Depends(_size)]

DreamId = Annotated[str, Path(description="a dream's id", examples=["01KAT3Y5W7ZQH9N4C8RSBV6XEM"])]


def _job(id: DreamId, ledger: LedgerDep) -> Job:  # noqa: A002
    return ledger.get(id)


JobDep = Annotated[Job, Depends(_job)]


def _dreamed_again(job: JobDep, ledger: LedgerDep, catalogue: CatalogueDep) -> str:
    """Hold what would be dreamed once more to the memory there is now, as what is posted."""
    if job.status.terminal:  # else the ledger has a better reason
        spec = DreamSpec.parse(job.spec, catalogue)
        size = (job.source.height, job.source.width)
        _check_fits(ledger, spec, catalogue[spec.model], size)
    return job.id


DreamedAgain = Annotated[str, Depends(_dreamed_again)]


def _iteration(
    n: Annotated[str, Path(description="a frame's number: its iteration, 0 is the source")],
    job: JobDep,
) -> int:
    """Any text may stand in a path: what is no number is a frame that isn't there."""
    if not _NUMBER.fullmatch(n):
        raise UnknownFrame(job.id, n, job.frames.latest)
    return int(n)


Iteration = Annotated[int, Depends(_iteration)]


def _model(
    model: Annotated[str, Path(description="a model's name", examples=["vgg19"])],
    catalogue: CatalogueDep,
) -> Model:
    if model not in catalogue:
        raise NoSuchModel(model, [known.name for known in catalogue])
    return catalogue[model]


ModelDep = Annotated[Model, Depends(_model)]

Limit = Annotated[int, Query(ge=1, le=1000, description="how many at most")]


async def known_parameters_only(request: Request) -> None:
    """Refuse query parameters that the OpenAPI document doesn't name: nothing is silently ignored.

    Raises:
        UnknownParameter: lists the nearest right names.
    """
    if not request.scope["query_string"]:
        return
    paths = request.app.openapi()["paths"]
    operation = paths.get(request.scope["route"].path, {}).get(request.scope["method"].lower())
    if operation is None:
        return  # a page, not a part of the API
    names = [item["name"] for item in operation.get("parameters", []) if item["in"] == "query"]
    given = [name for name, _ in request.query_params.multi_items()]
    wrong = [name for name in dict.fromkeys(given) if name not in names or given.count(name) > 1]
    if wrong:
        raise UnknownParameter(wrong, names)
