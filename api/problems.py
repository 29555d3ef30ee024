"""Errors → RFC 9457 problems. The one place that knows which error is which HTTP status."""

import inspect
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from http import HTTPStatus
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.types import Receive, Scope, Send

from api import errors as ours
from api.access import REQUEST_ID
from api.middleware import HEADERS
from dream_core import errors as core
from dream_core.errors import DreamError, FieldFault, Stale, Wait, shown
from dream_core.picture import errors as pictures
from jobs import errors as jobs
from jobs import logs

MEDIA_TYPE: Final = "application/problem+json"
LONGEST_ALLOWED: Final = 100  # names in one list
LARGEST_NUMBER: Final = 1e300

# The nearest class decides: an error that isn't named here is answered as its branch is.
STATUS: Final[Mapping[type[DreamError], int]] = {
    core.Refused: 422,
    core.WeightsMissing: 422,  # of the model that was asked for
    pictures.PictureTooLarge: 413,
    pictures.PictureSideTooLong: 413,
    pictures.PictureFormatUnsupported: 415,
    ours.MalformedForm: 400,
    ours.UnsupportedMediaType: 415,
    ours.BodyTooLarge: 413,
    ours.UploadStalled: 408,
    ours.NoSuchModel: 404,
    ours.NoResult: 404,
    ours.RangeUnsatisfiable: 416,
    ours.Unauthorized: 401,
    ours.ForeignHost: 421,
    ours.ForeignOrigin: 403,
    jobs.UnknownDream: 404,
    jobs.UnknownFrame: 404,
    jobs.NotFinished: 409,
    jobs.NoState: 409,
    jobs.QueueFull: 429,
    jobs.DiskFull: 507,
    core.Wait: 503,
    core.HostFault: 503,
    core.DreamError: 500,
}


class Fault(BaseModel):
    """One thing that is wrong."""

    field: str = Field(description="the field, parameter or check it is about")
    value: Any = Field(description="the value that was given, cut short where it is long")
    message: str
    allowed: list[str] = Field(description="what would be right; the nearest names of many")


class ProblemDocument(BaseModel):
    """What every error is answered with (RFC 9457)."""

    type: str = Field(description="address of a page about problems of this code")
    title: str
    status: int
    code: str = Field(description="stable; for programs")
    detail: str = Field(description="one sentence for people: the value, the limit, the way out")
    errors: list[Fault]
    request: str | None = Field(
        None, description="id of the request, as in `X-Request-ID` and the service's log"
    )


class ProblemResponse(JSONResponse):
    """A problem on its way out: the log of its request names the code, and metrics count it."""

    media_type = MEDIA_TYPE

    def __init__(self, document: ProblemDocument, headers: Mapping[str, str]) -> None:
        """Answer with `document`."""
        super().__init__(document.model_dump(), document.status, headers)
        self._code = document.code

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        logs.bind(problem=self._code)
        await super().__call__(scope, receive, send)


class ProblemKind(BaseModel):
    """What a problem's code means."""

    code: str
    title: str
    status: int
    meaning: str


def problem_type(code: str) -> str:
    """Return the address of a page about problems of that code; RFC 9457's own where we have none.

    A job can fail for reasons that only the worker's room knows.
    """
    return f"/problems/{code}" if code in kinds() else "about:blank"


def status_of(error: type[DreamError]) -> int:
    """Return the HTTP status of a class of errors."""
    return next(STATUS[parent] for parent in error.__mro__ if parent in STATUS)


@cache
def kinds() -> Mapping[str, ProblemKind]:
    """Return every problem that this API can answer with, by code."""
    found = {
        error.code: ProblemKind(
            code=error.code,
            title=error.title,
            status=status_of(error),
            meaning=inspect.cleandoc(error.__doc__ or "").partition("\n")[0],
        )
        for error in known()
        if not issubclass(error, Stale) and "code" in vars(error)
    }
    for status, meaning in _MEANINGS.items():
        code, phrase = _plain_code(status), HTTPStatus(status).phrase
        found[code] = ProblemKind(code=code, title=phrase, status=status, meaning=meaning)
    return dict(sorted(found.items()))


_MEANINGS: Final[Mapping[int, str]] = {
    404: "There is nothing at that address.",
    405: "The address doesn't take that method; Allow names those that it takes.",
}


def _plain_code(status: int) -> str:
    """Return the code of a problem that is no more than its HTTP status."""
    return HTTPStatus(status).phrase.lower().replace(" ", "-")


def known() -> Iterator[type[DreamError]]:
    """Go through the errors of the rooms that the API sees, each once."""
    for room in (core, pictures, jobs, ours):
        for error in vars(room).values():
            if (
                isinstance(error, type)
                and issubclass(error, DreamError)
                and error.__module__ == room.__name__
            ):
                yield error


def answer(
    status: int,
    code: str,
    title: str,
    detail: str,
    *,
    faults: Iterable[FieldFault] = (),
    headers: Mapping[str, str] | None = None,
) -> JSONResponse:
    """Return a problem as a response."""
    document = ProblemDocument(
        type=problem_type(code),
        title=title,
        status=status,
        code=code,
        detail=_sendable(detail),
        errors=[_fault(fault) for fault in faults],
        request=logs.bound_now().get("request"),
    )
    return ProblemResponse(document, headers or {})


def of(error: DreamError) -> JSONResponse:
    """Return the problem that an error of ours is."""
    headers: dict[str, str] = {}
    if isinstance(error, Wait):
        headers["Retry-After"] = str(error.retry_after_s)
    if isinstance(error, ours.Unauthorized):  # RFC 6750, 3: no reason where nothing was sent
        headers["WWW-Authenticate"] = 'Bearer error="invalid_token"' if error.sent else "Bearer"
    return answer(
        status_of(type(error)),
        error.code,
        error.title,
        str(error),
        faults=error.faults,
        headers=headers,
    )


def install(app: FastAPI) -> None:
    """Make `app` answer every error with a problem."""

    @app.exception_handler(DreamError)
    async def ours_(_: Request, error: DreamError) -> JSONResponse:
        return of(error)

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        return of(ours.InvalidParameter([_parameter_fault(fault) for fault in error.errors()]))

    @app.exception_handler(HTTPException)
    async def plain(request: Request, error: HTTPException) -> JSONResponse:
        phrase, code = HTTPStatus(error.status_code).phrase, _plain_code(error.status_code)
        detail = error.detail
        if error.status_code in _PLAIN:
            method, path = request.scope["method"], shown(request.url.path)
            detail = _PLAIN[error.status_code].format(method=method, path=path)
        headers = {"Allow": _allowed(request)} if error.status_code == 405 else error.headers
        return answer(error.status_code, code, phrase, detail, headers=headers)

    @app.exception_handler(Exception)
    async def internal(_: Request, __: Exception) -> JSONResponse:
        # The server logs the traceback, once; the user gets none.
        detail = (
            "something went wrong here, not with what you sent; the server's log says what, "
            "under this request's id"
        )
        # Starlette answers this one outside of all middleware.
        headers = {**HEADERS, REQUEST_ID: logs.bound_now().get("request", "")}
        return answer(500, DreamError.code, DreamError.title, detail, headers=headers)


_PLAIN: Final[Mapping[int, str]] = {
    404: "there is nothing at {path}; / says what there is",
    405: "{path} doesn't take {method}; /docs says what it takes",
}


def _allowed(request: Request) -> str:
    """Return the methods of an address: of all its routes, where the router knows the first's."""
    methods = set()
    for template, operations in request.app.openapi()["paths"].items():
        if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", template), request.url.path):
            methods |= {method.upper() for method in operations}
    if not methods or "GET" in methods:  # not described: a page
        methods |= {"GET", "HEAD"}
    return ", ".join(sorted(methods))


def _fault(fault: FieldFault) -> Fault:
    return Fault(
        field=_sendable(fault.field)[:LONGEST_ALLOWED],
        value=_json_value(fault.value),
        message=_sendable(fault.message),
        allowed=[_sendable(name) for name in fault.allowed[:LONGEST_ALLOWED]],
    )


def _parameter_fault(fault: Mapping[str, Any]) -> FieldFault:
    name = str(fault["loc"][-1])
    message = fault["msg"][:1].lower() + fault["msg"][1:]
    return FieldFault(name, fault["input"], f"{name} is {shown(fault['input'])}: {message}")


def _json_value(value: object) -> Any:
    """Return a value that JSON can carry and that isn't longer than a line."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int | float):
        # JSON has neither nan nor inf, and many readers no whole numbers past a float's range.
        return value if -LARGEST_NUMBER < value < LARGEST_NUMBER else shown(value)
    return _sendable(value if isinstance(value, str) and len(value) <= 80 else shown(value))


def _sendable(text: str) -> str:
    """Return the text without what UTF-8 can't carry: half of a surrogate pair."""
    return text.encode("utf-8", "replace").decode()
