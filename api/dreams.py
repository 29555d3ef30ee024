"""Dreams: post one, find it again, look at its pictures."""

import asyncio
from typing import Annotated, Final

from fastapi import APIRouter, Query, Request, Response, status
from fastapi.concurrency import run_in_threadpool

from api import pictures
from api.dependencies import (
    ULID,
    DeadlineForm,
    DreamedAgain,
    DreamId,
    Iteration,
    JobDep,
    LedgerDep,
    Limit,
    MoreForm,
    NoFields,
    OwnerDep,
    PictureUpload,
    SpecForm,
    TermsForm,
)
from api.documents import DreamList, FrameList, JobDocument
from api.errors import (
    BodyTooLarge,
    ImageSizeAboveLimit,
    InvalidParameter,
    NoResult,
    PictureMissing,
    RangeUnsatisfiable,
)
from api.openapi import DREAM_FORM, FORM_ERRORS, PNG, fields_of, problems
from api.terms import Deadline, More
from dream_core.errors import (
    MemoryExceeded,
    NothingToSee,
    UnknownLayer,
    UnknownModel,
    WeightsMissing,
    WorkingSizeTooLarge,
)
from dream_core.picture.errors import (
    PictureFormatUnsupported,
    PictureSideTooLong,
    PictureTooLarge,
    PictureTooSmall,
    PictureTooThin,
    PictureTruncated,
    PictureUnreadable,
)
from jobs.errors import (
    DiskFull,
    LedgerAway,
    LedgerFull,
    NoState,
    NotFinished,
    QueueFull,
    StoreFault,
    UnknownDream,
    UnknownFrame,
)
from jobs.ledger import Ledger
from jobs.record import Job, Status

PICTURE_ERRORS = (
    PictureTooLarge,
    PictureSideTooLong,
    PictureFormatUnsupported,
    PictureTooSmall,
    PictureTooThin,
    PictureTruncated,
    PictureUnreadable,
)
# What can be wrong with a dream that is asked for: the form, the spec, the picture.
ASKED_FOR_WRONGLY = (
    *FORM_ERRORS,
    UnknownModel,
    UnknownLayer,
    NothingToSee,
    WorkingSizeTooLarge,
    MemoryExceeded,
    ImageSizeAboveLimit,
    WeightsMissing,
    PictureMissing,
    BodyTooLarge,
    *PICTURE_ERRORS,
)
ASKED_AGAIN = (*FORM_ERRORS, UnknownModel, UnknownLayer, MemoryExceeded, UnknownDream, NotFinished)
NO_PLACE = (QueueFull, DiskFull, LedgerAway, LedgerFull, StoreFault)
# A list by status looks at so many dreams in one call; where it finds too few, `next` goes on.
PAGES, PAGE = 5, 200
router = APIRouter(prefix="/dreams", tags=["dreams"])


@router.post(
    "",
    status_code=status.HTTP_202_ACCEPTED,
    openapi_extra=DREAM_FORM,
    responses=problems(*ASKED_FOR_WRONGLY, *NO_PLACE),
)
async def create_dream(
    *,
    spec: SpecForm,
    terms: TermsForm,
    picture: PictureUpload,
    owner: OwnerDep,
    ledger: LedgerDep,
    response: Response,
) -> JobDocument:
    """Accept a picture and a spec; answer with the job before a pixel has moved."""
    job = await run_in_threadpool(
        ledger.accept, spec, picture, owner=owner, queue=terms.queue, timeout_s=terms.timeout_s
    )
    return accepted(job, response)


def accepted(job: Job, response: Response) -> JobDocument:
    """Return the document of a new job, and say where it is."""
    response.headers["Location"] = f"/dreams/{job.id}"
    return JobDocument.of(job)


@router.get("", responses=problems(InvalidParameter, LedgerAway))
def list_dreams(
    ledger: LedgerDep,
    limit: Limit = 50,
    before: Annotated[
        str | None, Query(pattern=ULID, description="only dreams older than this id")
    ] = None,
    wanted: Annotated[
        Status | None, Query(alias="status", description="only dreams that stand so now")
    ] = None,
) -> DreamList:
    """List the dreams, newest first: an id that was lost is found here."""
    if wanted is None:
        jobs, following = ledger.newest(limit, before)
    else:
        jobs, following = _newest_of(ledger, wanted, limit, before)
    return DreamList.of(jobs, limit, following, wanted)


def _newest_of(
    ledger: Ledger, wanted: Status, limit: int, before: str | None
) -> tuple[list[Job], str | None]:
    """Return up to `limit` jobs of a status, and where to go on: maybe fewer, and still more."""
    found: list[Job] = []
    for _ in range(PAGES):
        jobs, before = ledger.newest(PAGE, before)
        for job in jobs:
            found += [job] if job.status is wanted else []
            if len(found) == limit:
                return found, job.id if before or job is not jobs[-1] else None
        if before is None:
            break
    return found, before


# What is asked most of all, every second by each who waits: `api/polls.py` answers most of it. Here
# the request itself is given: a chain of dependencies, resolved anew, cost as much as the read.
@router.get("/{id}", response_model=JobDocument, responses=problems(UnknownDream, LedgerAway))
async def read_dream(id: DreamId, request: Request) -> Response:  # noqa: A002
    """Tell how a dream stands."""
    job = await asyncio.to_thread(request.app.state.room.ledger.get, id)
    return Response(JobDocument.of(job).model_dump_json(), media_type="application/json")


READ: Final = router.routes[-1]  # that very route: `api/polls.py` answers in its place


@router.delete(
    "/{id}",
    status_code=status.HTTP_204_NO_CONTENT,
    responses=problems(UnknownDream, LedgerAway, StoreFault)
    | {204: {"description": "Nothing is left of it."}},
)
def delete_dream(id: DreamId, ledger: LedgerDep) -> None:  # noqa: A002
    """Delete a dream with all its pictures, running or not; nothing is left of it.

    Idempotent: what is gone can't be told from what never was, so any id that a dream could have
    is answered with 204.
    """
    ledger.delete(id)


@router.post("/{id}/cancel", responses=problems(*FORM_ERRORS, UnknownDream, LedgerAway))
def cancel_dream(id: DreamId, ledger: LedgerDep, _: NoFields) -> JobDocument:  # noqa: A002
    """Stop a dream: at once where it waits, after its present iteration where it runs.

    Idempotent: a dream that has ended stays as it ended. Its frames stay too.
    """
    return JobDocument.of(ledger.cancel(id))


@router.post(
    "/{id}/retry",
    status_code=status.HTTP_202_ACCEPTED,
    openapi_extra=fields_of(Deadline),
    responses=problems(*ASKED_AGAIN, *NO_PLACE),
)
def retry_dream(
    parent: DreamedAgain,
    terms: DeadlineForm,
    ledger: LedgerDep,
    response: Response,
) -> JobDocument:
    """Ask once more for what a dream that has ended was asked for: a new dream, with a parent."""
    return accepted(ledger.retry(parent, timeout_s=terms.timeout_s), response)


@router.post(
    "/{id}/continue",
    status_code=status.HTTP_202_ACCEPTED,
    openapi_extra=fields_of(More),
    responses=problems(*ASKED_AGAIN, NoState, *NO_PLACE),
)
def continue_dream(
    parent: DreamedAgain,
    more: MoreForm,
    ledger: LedgerDep,
    response: Response,
) -> JobDocument:
    """Go on where a dream that has ended stopped: a new dream, with a parent, that counts on."""
    return accepted(ledger.continue_(parent, more.iterations, timeout_s=more.timeout_s), response)


@router.get("/{id}/frames", responses=problems(InvalidParameter, UnknownDream, LedgerAway))
def list_frames(
    job: JobDep,
    ledger: LedgerDep,
    limit: Limit = 1000,
    after: Annotated[
        int | None, Query(ge=0, le=10**9, description="only frames past this iteration")
    ] = None,
) -> FrameList:
    """List the frames there are, while the dream still runs too."""
    frames, following = ledger.frames(job.id, after, limit)
    return FrameList.of(job.id, frames, limit, following)


@router.get(
    "/{id}/frames/{n}",
    response_class=Response,
    responses=PNG
    | problems(UnknownDream, UnknownFrame, LedgerAway, StoreFault, RangeUnsatisfiable),
)
def read_frame(job: JobDep, n: Iteration, ledger: LedgerDep, request: Request) -> Response:
    """Return one frame."""
    return pictures.png(ledger.frame_path(job.id, n), request)


@router.get(
    "/{id}/source",
    response_class=Response,
    responses=PNG | problems(UnknownDream, LedgerAway, StoreFault, RangeUnsatisfiable),
)
def read_source(job: JobDep, ledger: LedgerDep, request: Request) -> Response:
    """Return the picture that was posted: upright, sRGB, at its own size."""
    return pictures.png(ledger.source_path(job.id), request)


@router.get(
    "/{id}/result",
    response_class=Response,
    responses=PNG | problems(UnknownDream, NoResult, LedgerAway, StoreFault, RangeUnsatisfiable),
)
def read_result(job: JobDep, ledger: LedgerDep, request: Request) -> Response:
    """Return the last frame of a dream that has succeeded."""
    path = ledger.result_path(job.id)
    if path is None:
        raise NoResult(job)
    return pictures.png(path, request)
