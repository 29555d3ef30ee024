"""Reading a form as it streams in: the same form however it is cut, and an end to waiting."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect

from api import form
from api.errors import BodyTooLarge, MalformedForm, UploadStalled
from api.form import Form, read_form

HEADERS = Headers({"Content-Type": "multipart/form-data; boundary=x"})
PICTURE = bytes(range(256)) + b"\r\n--x" + b"\r\n--"  # nearly a boundary
BODY = (
    b'--x\r\nContent-Disposition: form-data; name="layers"\r\n\r\nrelu5_1,\xc3\xa9\r\n'
    b'--x\r\nContent-Disposition: form-data; name="image"; filename="--x"\r\n'
    b"Content-Type: image/png\r\n\r\n" + PICTURE.replace(b"\r\n--x", b"\r\n--y") + b"\r\n"
    b'--x\r\nContent-Disposition: form-data; name="spec"; filename="s"\r\n\r\n{}\r\n--x--\r\n'
)
WHOLE = Form((("layers", "relu5_1,é"), ("spec", "{}")), PICTURE.replace(b"\r\n--x", b"\r\n--y"))


async def cut(body: bytes, size: int) -> AsyncIterator[bytes]:
    """The body in pieces."""
    for start in range(0, len(body), size):
        yield body[start : start + size]


def read(chunks: AsyncIterator[bytes], max_bytes: int = 1000) -> Form:
    """Read a form, waiting for it."""
    return asyncio.run(read_form(HEADERS, chunks, max_bytes))


@settings(deadline=None)
@given(st.integers(1, len(BODY)))
def test_a_form_is_the_same_however_it_is_cut(size: int) -> None:
    """A network cuts where it likes, in the middle of a boundary too."""
    assert read(cut(BODY, size)) == WHOLE


@settings(deadline=None)
@given(st.integers(0, len(BODY) - 5))
def test_a_form_that_ends_early_is_never_taken_for_a_whole_one(length: int) -> None:
    """Half a picture must not become a dream."""
    with pytest.raises(MalformedForm):
        read(cut(BODY[:length], 100))


@settings(deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes_are_a_form_or_malformed(body: bytes) -> None:
    """The parser's own errors stay inside."""
    try:
        read(cut(b"--x" + body, 50))
    except MalformedForm:
        return


def test_a_picture_over_the_limit_is_not_read_on() -> None:
    """What comes after the limit is never asked for."""
    asked = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal asked
        yield b'--x\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\n'
        while True:
            asked += 1
            yield bytes(100)

    with pytest.raises(BodyTooLarge):
        read(endless(), max_bytes=1000)

    assert asked == 11


def test_a_body_without_end_is_not_read_on() -> None:
    """What follows the last boundary belongs to nothing, and is bounded all the same."""
    asked = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal asked
        yield BODY
        while True:
            asked += 1
            yield bytes(form.OVERHEAD)

    with pytest.raises(BodyTooLarge):
        read(endless(), max_bytes=1000)

    assert asked == 2


def test_a_form_of_too_many_fields_is_not_read_on() -> None:
    """Three times the fields of a dream are enough."""
    part = b'--x\r\nContent-Disposition: form-data; name="dose"\r\n\r\n1\r\n'

    assert len(read(cut(part * 64 + b"--x--\r\n", 1000)).texts) == 64
    with pytest.raises(MalformedForm, match="more than 64 fields"):
        read(cut(part * 65 + b"--x--\r\n", 1000))


def test_a_client_that_stops_sending_loses_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """Eight such clients would otherwise keep everyone out for good."""
    monkeypatch.setattr(form, "STALL_S", 0.001)

    async def silent() -> AsyncIterator[bytes]:
        yield BODY[:20]
        await asyncio.Event().wait()

    with pytest.raises(UploadStalled):
        read(silent())


def test_a_client_that_hangs_up_is_no_fault_of_ours() -> None:
    """Its connection is gone; what is left is a line for nobody."""

    async def gone() -> AsyncIterator[bytes]:
        yield BODY[:20]
        raise ClientDisconnect

    with pytest.raises(MalformedForm):
        read(gone())
