"""Dreams: post one, find it again, look at its pictures."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response, status
from fastapi.concurrency import run_in_threadpool

from api import pictures
from api.dependencies import (
    ULID,
    Iteration,
    JobDep,
    LedgerDep,
    Limit,
    OwnerDep,
    PictureUpload,
    SpecForm,
)
from api.documents import DreamList, FrameList, JobDocument
from api.errors import (
    BodyTooLarge,
    ImageSizeAboveLimit,
    InvalidParameter,
    MalformedForm,
    NoResult,
    PictureMissing,
    RangeUnsatisfiable,
    UnsupportedMediaType,
    UploadStalled,
)
from api.openapi import DREAM_FORM, PNG, problems
from dream_core.errors import (
    InvalidSpec,
    NothingToSee,
    UnknownField,
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
from jobs.errors import LedgerAway, LedgerFull, StoreFault, UnknownDream, UnknownFrame

PICTURE_ERRORS = (
    PictureTooLarge,
    PictureSideTooLong,
    PictureFormatUnsupported,
    PictureTooSmall,
    PictureTooThin,
    PictureTruncated,
    PictureUnreadable,
)
router = APIRouter(prefix="/dreams", tags=["dreams"])


@router.post(
    "",
    status_code=status.HTTP_202_ACCEPTED,
    openapi_extra=DREAM_FORM,
    responses=problems(
        InvalidSpec,
        UnknownField,
        UnknownModel,
        UnknownLayer,
        NothingToSee,
        WorkingSizeTooLarge,
        ImageSizeAboveLimit,
        WeightsMissing,
        PictureMissing,
        MalformedForm,
        UnsupportedMediaType,
        BodyTooLarge,
        UploadStalled,
        *PICTURE_ERRORS,
        LedgerAway,
        LedgerFull,
        StoreFault,
    ),
)
async def create_dream(
    spec: SpecForm, picture: PictureUpload, owner: OwnerDep, ledger: LedgerDep, response: Response
) -> JobDocument:
    """Accept a picture and a spec; answer with the job before a pixel has moved."""
    job = await run_in_threadpool(ledger.accept, spec, picture, owner=owner)
    response.headers["Location"] = f"/dreams/{job.id}"
    return JobDocument.of(job)


@router.get("", responses=problems(InvalidParameter, LedgerAway))
def list_dreams(
    ledger: LedgerDep,
    limit: Limit = 50,
    before: Annotated[
        str | None, Query(pattern=ULID, description="only dreams older than this id")
    ] = None,
) -> DreamList:
    """List the dreams, newest first: an id that was lost is found here."""
    jobs, following = ledger.newest(limit, before)
    return DreamList.of(jobs, limit, following)


@router.get("/{id}", responses=problems(UnknownDream, LedgerAway))
def read_dream(job: JobDep) -> JobDocument:
    """Tell how a dream stands."""
    return JobDocument.of(job)


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
