"""Reads a multipart form as it streams in: counted, bounded, in memory, no temporary files."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import parse_qsl

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect

from api.errors import (
    BodyTooLarge,
    MalformedForm,
    PictureMissing,
    UnsupportedMediaType,
    UploadStalled,
)

PICTURE: Final = "image"
MEDIA_TYPE: Final = "multipart/form-data"
URLENCODED: Final = "application/x-www-form-urlencoded"
MOST_PARTS: Final = 64  # three times the fields of a dream
LONGEST_TEXT: Final = 64 * 1024  # bytes of one field that is no picture
OVERHEAD: Final = 256 * 1024  # bytes of a body beside its picture: boundaries, headers, fields
HOW_TO_SEND: Final = "curl -F name=value …"
STALL_S: Final = 30.0  # a client that sends nothing for so long holds a place for nothing


@dataclass
class Part:
    """One field of a form."""

    name: str = ""
    is_file: bool = False
    content: bytearray = field(default_factory=bytearray)


@dataclass(frozen=True)
class Form:
    """What was posted: texts in their order, and the picture's bytes."""

    texts: tuple[tuple[str, str], ...]
    picture: bytes | None

    def texts_alone(self) -> tuple[tuple[str, str], ...]:
        """Return all fields; a picture, where none belongs, is one too many of them."""
        return self.texts if self.picture is None else (*self.texts, (PICTURE, ""))

    def need_picture(self) -> bytes:
        """Return the picture's bytes.

        Raises:
            PictureMissing: there is none.
        """
        if self.picture is None:
            raise PictureMissing("the form has no image")
        return self.picture


async def read_form(headers: Headers, chunks: AsyncIterator[bytes], max_bytes: int) -> Form:
    """Read a form with one picture of up to `max_bytes`; stop reading where it can't be taken.

    Raises:
        UnsupportedMediaType: another kind of body.
        BodyTooLarge: by its Content-Length, or as soon as too much has come.
        MalformedForm, PictureMissing, UploadStalled: see there.
    """
    kind, options = parse_options_header(headers.get("content-type"))
    if kind.decode("latin-1") != MEDIA_TYPE:
        raise UnsupportedMediaType(headers.get("content-type", ""))
    promised = headers.get("content-length", "")
    if promised.isdecimal() and len(promised) < 20 and int(promised) > max_bytes + OVERHEAD:
        raise BodyTooLarge(max_bytes)
    try:
        reader = _Reader(options.get(b"boundary", b""), max_bytes)
        async for chunk in _without_stalling(chunks):
            reader.write(chunk)
    except FormParserError as error:
        raise MalformedForm("it isn't what its boundary and headers say") from error
    except ClientDisconnect as error:
        raise MalformedForm("the connection closed in the middle") from error
    return reader.form()


async def read_texts(headers: Headers, chunks: AsyncIterator[bytes]) -> tuple[tuple[str, str], ...]:
    """Read a form of texts alone, of either kind that browsers and curl send; no body is none.

    Raises:
        UnsupportedMediaType, MalformedForm, UploadStalled: see there.
    """
    body = await _small_body(chunks)
    kind, options = parse_options_header(headers.get("content-type"))
    if not body:
        return ()
    if kind.decode("latin-1") == URLENCODED:
        return _pairs(body)
    if kind.decode("latin-1") != MEDIA_TYPE:
        raise UnsupportedMediaType(headers.get("content-type", ""), HOW_TO_SEND)
    try:
        reader = _Reader(options.get(b"boundary", b""), LONGEST_TEXT)
        reader.write(body)
    except FormParserError as error:
        raise MalformedForm("it isn't what its boundary and headers say", HOW_TO_SEND) from error
    return reader.form().texts_alone()


async def _small_body(chunks: AsyncIterator[bytes]) -> bytes:
    body = b""
    try:
        async for chunk in _without_stalling(chunks):
            body += chunk
            if len(body) > LONGEST_TEXT:
                raise MalformedForm(f"it is over {LONGEST_TEXT // 1024} KiB", HOW_TO_SEND)
    except ClientDisconnect as error:
        raise MalformedForm("the connection closed in the middle", HOW_TO_SEND) from error
    return body


def _pairs(body: bytes) -> tuple[tuple[str, str], ...]:
    try:
        text = body.decode("ascii")
        pairs = parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=MOST_PARTS)
    except ValueError as error:
        raise MalformedForm("it isn't what its Content-Type says", HOW_TO_SEND) from error
    return tuple(pairs)


async def _without_stalling(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    try:
        while True:
            async with asyncio.timeout(STALL_S):
                chunk = await anext(chunks, None)
            if chunk is None:
                return
            yield chunk
    except TimeoutError as error:
        raise UploadStalled(STALL_S) from error


class _Reader:
    """Collects the parts of a form from the parser's calls."""

    def __init__(self, boundary: bytes, max_bytes: int) -> None:
        if not boundary:
            raise MalformedForm("its Content-Type names no boundary")
        self._max_bytes = max_bytes
        self._came = 0
        self._complete = False
        self._parts: list[Part] = []
        self._header = (bytearray(), bytearray())
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._begin,
                "on_header_field": lambda data, start, end: self._header[0].extend(data[start:end]),
                "on_header_value": lambda data, start, end: self._header[1].extend(data[start:end]),
                "on_header_end": self._end_header,
                "on_headers_finished": self._check_name,
                "on_part_data": self._extend,
                "on_end": self._end,
            },
        )

    def write(self, chunk: bytes) -> None:
        self._came += len(chunk)
        if self._came > self._max_bytes + OVERHEAD:
            raise BodyTooLarge(self._max_bytes)
        self._parser.write(chunk)

    def form(self) -> Form:
        """Return the whole form, once everything has been written."""
        if not self._complete:
            raise MalformedForm("it ends before its last boundary")
        pictures = [part for part in self._parts if part.name == PICTURE]
        if len(pictures) > 1:
            raise PictureMissing(f"the form has {len(pictures)} fields image")
        if pictures and not pictures[0].is_file:
            raise PictureMissing(
                "image is a text, not a file (curl wants an @ before a file's name)"
            )
        texts = tuple((part.name, _text(part)) for part in self._parts if part.name != PICTURE)
        return Form(texts, bytes(pictures[0].content) if pictures else None)

    def _begin(self) -> None:
        if len(self._parts) == MOST_PARTS:
            raise MalformedForm(f"it has more than {MOST_PARTS} fields")
        self._parts.append(Part())

    def _end_header(self) -> None:
        name, value = (bytes(part).decode("latin-1") for part in self._header)
        self._header = (bytearray(), bytearray())
        if name.strip().lower() == "content-disposition":
            _, options = parse_options_header(value)
            part = self._parts[-1]
            part.name = options.get(b"name", b"").decode("utf-8", "replace")
            part.is_file = b"filename" in options

    def _check_name(self) -> None:
        if not self._parts[-1].name:
            raise MalformedForm("one of its fields has no name")

    def _extend(self, data: bytes, start: int, end: int) -> None:
        part = self._parts[-1]
        part.content += memoryview(data)[start:end]
        if part.name == PICTURE and len(part.content) > self._max_bytes:
            raise BodyTooLarge(self._max_bytes)
        if part.name != PICTURE and len(part.content) > LONGEST_TEXT:
            raise MalformedForm(f"the field {part.name[:40]} is over {LONGEST_TEXT // 1024} KiB")

    def _end(self) -> None:
        self._complete = True


def _text(part: Part) -> str:
    try:
        return part.content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise MalformedForm(f"the field {part.name[:40]} is not UTF-8") from error
