"""Bytes of anyone: whatever they are, `read` answers with a picture or with one of our errors."""

import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import GifImagePlugin, Image

from dream_core.errors import DreamError
from dream_core.picture.errors import (
    PictureFormatUnsupported,
    PictureIsHeic,
    PictureRefused,
    PictureSideTooLong,
    PictureTooLarge,
    PictureTooSmall,
    PictureTooThin,
    PictureTruncated,
    PictureUnreadable,
)
from dream_core.picture.picture import Picture
from dream_core.picture.read import READERS, Limits, read

Encode = Callable[..., bytes]
STARTS = [
    b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR",
    b"\xff\xd8\xff\xe0",
    b"RIFF\xff\0\0\0WEBPVP8 ",
    b"GIF89a",
    b"II*\0\x08\0\0\0",
    b"BM",
    b"\0\0\0\x1cftypavif",
]


def chunk(kind: bytes, body: bytes) -> bytes:
    """Return a chunk of a PNG."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png_of(width: int, height: int, body: bytes = b"", color: int = 2) -> bytes:
    """Return a PNG that says it has that size."""
    header = struct.pack(">IIBBBBB", width, height, 8, color, 0, 0, 0)
    start = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header)
    return start + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def answer_to(data: bytes) -> Picture | DreamError:
    """Return what `read` says; any other exception fails the test."""
    try:
        return read(data)
    except DreamError as error:
        return error


@pytest.fixture
def no_decoding(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail the test as soon as a decoder is asked for pixels."""

    def load(_: object) -> None:
        raise AssertionError("pixels were decoded")

    for reader in READERS.values():
        monkeypatch.setattr(reader, "load", load)


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("PNG", {}),
        ("JPEG", {}),
        ("JPEG", {"progressive": True}),
        ("WEBP", {}),
        ("WEBP", {"lossless": True}),
        ("TIFF", {}),
        ("TIFF", {"compression": "tiff_lzw"}),
        ("GIF", {}),
        ("BMP", {}),
        ("AVIF", {}),
    ],
)
def test_a_file_cut_off_anywhere_is_refused(
    kind: str, options: dict[str, Any], photo: Image.Image, encode: Encode
) -> None:
    """At every tenth of its bytes, and one short of its last twelve: no grey half is dreamed on."""
    data = encode(photo, kind, **options)

    for length in (*(len(data) * tenth // 10 for tenth in range(10)), len(data) - 12):
        with pytest.raises(PictureRefused):
            read(data[:length])


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF"])
def test_what_breaks_off_in_its_pixels_is_called_so(
    kind: str, photo: Image.Image, encode: Encode
) -> None:
    """The way out is another one than for a damaged file: send it again."""
    data = encode(photo, kind)
    most = data[: len(data) * 9 // 10]

    with pytest.raises(PictureTruncated, match=f"{len(most)} bytes") as caught:
        read(most)

    assert caught.value.faults[0].field == "image"


@pytest.mark.usefixtures("no_decoding")
def test_a_bomb_is_refused_by_its_header() -> None:
    """12 KB of black dots that would stand as 400 MB of RGB."""
    header = struct.pack(">IIBBBBB", 10_000, 10_000, 1, 0, 0, 0, 0)
    rows = zlib.compress(bytes(1251 * 10_000), 9)
    bomb = (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    )
    assert len(bomb) < 13_000

    with pytest.raises(PictureTooLarge, match=r"100\.0 megapixels, the limit is 40") as caught:
        read(bomb)

    assert caught.value.code == "picture-too-large"


@pytest.mark.usefixtures("no_decoding")
@pytest.mark.parametrize(
    ("width", "height", "error", "says"),
    [
        (6_400, 6_251, PictureTooLarge, "40.006400 megapixels, the limit is 40"),
        (12_001, 3_000, PictureSideTooLong, "12001 × 3000"),
        (4_000, 99, PictureTooThin, "40.4 times"),
        (99, 4_000, PictureTooThin, "the limit is 40"),
        (31, 500, PictureTooSmall, "31 × 500"),
        (60_000, 60_000, PictureTooLarge, "3600.0 megapixels"),
    ],
)
def test_each_limit_has_its_own_sentence(
    width: int, height: int, error: type[PictureRefused], says: str
) -> None:
    """With the value, the limit and the way out, laid to the field `image`, before any decoding."""
    with pytest.raises(error, match=says) as caught:
        read(png_of(width, height))

    assert caught.value.faults[0].field == "image"
    assert caught.value.faults[0].message == str(caught.value)


@pytest.mark.parametrize(("width", "height"), [(1280, 32), (32, 1280), (12_000, 300)])
def test_a_picture_at_the_limits_is_taken(width: int, height: int) -> None:
    """Each limit includes its own value."""
    rows = (b"\0" + bytes(width)) * height

    assert read(png_of(width, height, zlib.compress(rows), color=0)).width == width


@pytest.mark.usefixtures("no_decoding")
def test_every_format_is_measured_before_it_is_decoded(photo: Image.Image, encode: Encode) -> None:
    """Not only PNG: a WebP of 160 megapixels fits in 34 bytes."""
    tight = Limits(max_pixels=64 * 96 - 1)

    for kind in ("PNG", "JPEG", "WEBP", "GIF", "TIFF", "BMP", "AVIF"):
        data = encode(photo, kind)
        with pytest.raises(PictureTooLarge):
            read(data, tight)


def test_frames_beyond_the_first_are_never_walked(
    photo: Image.Image, encode: Encode, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A GIF of a million frames costs what its first one costs."""
    frames = [photo.point(lambda value, step=step: value // step) for step in (2, 3, 4)]
    data = encode(photo, "GIF", save_all=True, append_images=frames)
    seen = []
    seek = GifImagePlugin.GifImageFile._seek

    def count(self: Any, frame: int, update_image: bool = True) -> None:
        seen.append(frame)
        seek(self, frame, update_image)

    monkeypatch.setattr(GifImagePlugin.GifImageFile, "_seek", count)
    read(data)

    assert set(seen) == {0}


def test_a_gif_whose_frame_outgrows_its_screen_is_too_large() -> None:
    """The screen is small, the frame is 65535 × 65535."""
    screen = b"GIF89a" + struct.pack("<HHBBB", 64, 64, 0x80, 0, 0) + bytes(6)
    frame = b"," + struct.pack("<HHHHB", 0, 0, 65_535, 65_535, 0) + b"\x02\x02\x4c\x01\0;"

    with pytest.raises(PictureTooLarge, match=r"429\d\.\d megapixels"):
        read(screen + frame)


@pytest.mark.parametrize("name", [b"zTXt", b"iTXt", b"iCCP"])
@pytest.mark.parametrize("before", [True, False])
def test_a_bomb_in_a_text_or_profile_is_refused_or_left_alone(
    name: bytes, before: bool, photo: Image.Image, encode: Encode
) -> None:
    """64 MB of zeros in 64 KB: never unpacked whole, and never an error that isn't ours."""
    data = encode(photo, "PNG")
    packed = zlib.compress(bytes(64_000_000), 9)
    body = {b"zTXt": b"k\0\0", b"iTXt": b"k\0\1\0\0\0", b"iCCP": b"p\0\0"}[name] + packed
    at = data.index(b"IDAT" if before else b"IEND") - 4

    answer = answer_to(data[:at] + chunk(name, body) + data[at:])

    if isinstance(answer, Picture):
        assert answer.width == 96
    else:
        assert answer.code == "picture-unreadable"
        assert "too large" in str(answer)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"%PDF-1.7 ...", "the file is a PDF, which can't be dreamed on; send PNG"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "SVG"),
        (b"<!DOCTYPE html><html>", "web page"),
        (b"8BPS\0\1", "Photoshop"),
        (b"\0\0\0\x20ftypisom\0\0\0\0isommp42", "video"),
        (b"\xff\x0a\0\0", "JPEG XL"),
        (b"PK\x03\x04....", "zip"),
        (b"hello, world", "the file isn't a picture we can read; send PNG"),
        (b"\x88PNG\r\n\x1a\n", "isn't a picture we can read"),
    ],
)
def test_what_is_no_picture_is_named(data: bytes, says: str) -> None:
    """By content; and every refusal lists what can be read."""
    with pytest.raises(PictureFormatUnsupported, match=says) as caught:
        read(data)

    assert "send PNG, JPEG, WebP, GIF, TIFF, BMP or AVIF" in str(caught.value)
    assert caught.value.code == "picture-format-unsupported"


@pytest.mark.parametrize(
    "brands", [b"heic\0\0\0\0mif1heic", b"mif1\0\0\0\0mif1heic", b"heix\0\0\0\0"]
)
def test_heic_is_told_how_to_export(brands: bytes) -> None:
    """What iPhones write is not read here, and its owner can do something about it."""
    with pytest.raises(PictureIsHeic, match="export it as JPEG") as caught:
        read(struct.pack(">I", 8 + len(brands)) + b"ftyp" + brands + bytes(100))

    assert caught.value.code == PictureFormatUnsupported.code


def test_an_empty_or_missing_file_says_so(tmp_path: Path) -> None:
    """A path that leads nowhere is the user's move too."""
    with pytest.raises(PictureUnreadable, match="empty"):
        read(b"")
    with pytest.raises(PictureUnreadable, match=r"nowhere\.png: No such file"):
        read(tmp_path / "nowhere.png")


def test_floats_that_are_no_numbers_are_refused(encode: Encode) -> None:
    """A TIFF may hold NaN; a dream of it would be all NaN."""
    values = np.zeros((40, 40), np.float32)
    values[7, 7] = np.nan

    with pytest.raises(PictureUnreadable, match="not finite"):
        read(encode(Image.fromarray(values), "TIFF"))


@settings(max_examples=300, deadline=None)
@given(start=st.sampled_from([*STARTS, b""]), rest=st.binary(max_size=400))
def test_random_bytes_raise_nothing_but_our_errors(start: bytes, rest: bytes) -> None:
    """Behind every signature that we know."""
    assert answer_to(start + rest)


SAMPLE = Image.fromarray(np.random.default_rng(3).integers(0, 256, (40, 48, 3), np.uint8))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "TIFF", "BMP", "AVIF"])
def test_a_real_file_with_some_bytes_changed_raises_nothing_but_our_errors(
    kind: str, encode: Encode
) -> None:
    """Damage reaches deeper into a decoder than noise does: 200 copies, 1 to 8 bytes each."""
    exif = Image.Exif()
    exif[0x0112] = 6
    options = {} if kind in ("GIF", "BMP") else {"exif": exif}
    whole = np.frombuffer(encode(SAMPLE, kind, **options), np.uint8)
    random = np.random.default_rng(11)

    for _ in range(200):
        data = whole.copy()
        reach = len(data) if random.random() < 0.5 else min(200, len(data))
        where = random.integers(0, reach, random.integers(1, 9))
        data[where] = random.integers(0, 256, len(where))
        assert answer_to(data.tobytes())
