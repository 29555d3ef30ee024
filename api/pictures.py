"""PNG files as answers: never changing, so kept by browsers, with a strong ETag and ranges."""

import hashlib
import re
from pathlib import Path
from typing import Final

from fastapi import Request, Response
from fastapi.responses import FileResponse

from api.errors import RangeUnsatisfiable
from jobs.errors import StoreFault

# A year. Private: a picture is its owner's, no shared cache may keep it.
FOREVER: Final = "private, max-age=31536000, immutable"
MEDIA_TYPE: Final = "image/png"
_ONE_RANGE: Final = re.compile(r"bytes=(?:([0-9]{1,15})-|-(?=[1-9]))([0-9]{0,15})")


def png(path: Path, request: Request) -> Response:
    """Return a file of the store; 304 where the client has it already.

    The store never changes a file under its name, so folder and name are a strong validator.

    Raises:
        StoreFault: the file that the ledger knows isn't there, or can't be read.
        RangeUnsatisfiable: a Range that begins past the end.
    """
    try:
        found = path.stat()
    except OSError as error:
        raise StoreFault(path.name, error.strerror) from error
    name = f"{path.parent.parent.name}/{path.parent.name}/{path.name}/{found.st_size}"
    etag = f'"{hashlib.sha256(name.encode()).hexdigest()[:32]}"'
    headers = {"ETag": etag, "Cache-Control": FOREVER}
    if _has(request.headers.get("if-none-match", ""), etag):
        return Response(status_code=304, headers=headers)
    _settle_range(request, found.st_size)
    return FileResponse(path, headers=headers, media_type=MEDIA_TYPE, stat_result=found)


def _settle_range(request: Request, size: int) -> None:
    """Leave one plain range to `FileResponse`; anything else is answered with the whole picture.

    RFC 9110 allows that. Starlette answers it in plain text, and takes any number of ranges.
    """
    wanted = _ONE_RANGE.fullmatch(request.headers.get("range", ""))
    first, last = wanted.groups() if wanted else (None, None)
    if wanted is None or (first and last and int(last) < int(first)):
        headers = request.scope["headers"]
        request.scope["headers"] = [header for header in headers if header[0] != b"range"]
    elif first and int(first) >= size:
        raise RangeUnsatisfiable(wanted[0], size)


def _has(wanted: str, etag: str) -> bool:
    # If-None-Match compares weakly: W/"x" and "x" are the same picture.
    return any(item.strip().removeprefix("W/") in (etag, "*") for item in wanted.split(","))
