from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from PIL import Image

from dream_core.picture.errors import PictureNotFinite
from dream_core.picture.read import read
from dream_core.picture.write import encode_png, write_png

EVERY_STEP = np.broadcast_to(np.arange(256, dtype=np.uint8), (3, 40, 256))


def pixels(data: bytes) -> np.ndarray:
    """Return a PNG's samples, (C, H, W) uint8."""
    return np.asarray(Image.open(BytesIO(data))).transpose(2, 0, 1)


@pytest.mark.parametrize("rounding", ["nearest", "truncate"])
def test_what_was_read_is_written_as_it_was(rounding: Any) -> None:
    """All 256 steps survive k / 255 and back in float32, by either rounding."""
    fractions = EVERY_STEP / np.float32(255)

    assert_array_equal(pixels(encode_png(fractions, rounding)), EVERY_STEP)


def test_the_two_roundings_differ_as_they_say() -> None:
    """Nearest with a half to the even step; truncate is the floor that the 2015 program took."""
    values = np.float32([0.5, 1.5, 10.49, 10.51, 10.99, 254.5]) / 255
    rgb = np.tile(values, (3, 1, 1))

    assert pixels(encode_png(rgb, "nearest"))[0].tolist() == [[0, 2, 10, 11, 11, 254]]
    assert pixels(encode_png(rgb, "truncate"))[0].tolist() == [[0, 1, 10, 10, 10, 254]]


@pytest.mark.parametrize("rounding", ["nearest", "truncate"])
def test_values_beyond_the_range_are_clamped_not_wrapped(rounding: Any) -> None:
    """A dream is unclamped until it is saved."""
    rgb = np.tile(np.float32([-300, -0.01, 1.01, 300]), (3, 1, 1))

    assert pixels(encode_png(rgb, rounding))[2].tolist() == [[0, 0, 255, 255]]
    assert rgb[0, 0, 3] == 300  # what is saved is a copy


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_picture_that_is_not_finite_is_refused(value: float, tmp_path: Path) -> None:
    """Clamping would make black or white of it; and the file that was there stays."""
    rgb = np.zeros((3, 4, 5), np.float32)
    rgb[1, 2, 3] = value
    path = tmp_path / "out.png"
    path.write_bytes(b"older")

    with pytest.raises(PictureNotFinite, match=r"1 of 60 values .* smaller learning_rate"):
        write_png(path, rgb)

    assert [(file, file.read_bytes()) for file in tmp_path.iterdir()] == [(path, b"older")]


def test_alpha_is_kept_to_the_step_by_either_rounding() -> None:
    """It is the source's own, not dreamed."""
    alpha = EVERY_STEP[0] / np.float32(255) - np.float32(1e-4)
    data = encode_png(np.full((3, 40, 256), 0.5, np.float32), "truncate", alpha)

    assert_array_equal(pixels(data)[3], EVERY_STEP[0])
    assert read(data).has_alpha


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (37, 53)])
@pytest.mark.parametrize("alpha", [False, True])
def test_every_pixel_comes_back_where_it_was(size: tuple[int, int], alpha: bool) -> None:
    """Also by the strictest reader of ours, which takes no chunk with a wrong checksum."""
    steps = np.random.default_rng(2).integers(0, 256, (4, *size), np.uint8)
    fractions = steps / np.float32(255)

    data = encode_png(fractions[:3], alpha=fractions[3] if alpha else None)

    assert_array_equal(pixels(data), steps if alpha else steps[:3])


def test_the_same_picture_gives_the_same_bytes_and_nothing_but_pixels() -> None:
    """No time, no software, no gamma: three kinds of chunk."""
    rgb = np.random.default_rng(1).random((3, 50, 70), np.float32)

    data = encode_png(rgb)

    assert data == encode_png(rgb.copy())
    assert Image.open(BytesIO(data)).info == {}
    for name in (b"tEXt", b"tIME", b"gAMA", b"pHYs", b"iCCP", b"eXIf"):
        assert name not in data


def test_a_file_appears_whole_and_alone(tmp_path: Path) -> None:
    """Written beside and renamed: no half file, nothing left over, an older one replaced."""
    rgb = np.random.default_rng(1).random((3, 50, 70), np.float32)
    path = tmp_path / "out.png"
    path.write_bytes(b"older")

    write_png(path, rgb)

    assert path.read_bytes() == encode_png(rgb)
    assert list(tmp_path.iterdir()) == [path]
