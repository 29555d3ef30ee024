from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageChops

from dream_core.picture.errors import PictureRefused
from dream_core.picture.frame import BACKGROUND
from dream_core.picture.sheet import contact_sheet


def colors(image: Image.Image) -> set[tuple[int, ...]]:
    """Return every color that occurs."""
    return {color for _, color in image.getcolors(1 << 24)}


def test_every_picture_is_on_the_sheet_whatever_its_form(tmp_path: Path) -> None:
    """A file, a picture of Pillow's and an array of floats; of different sizes."""
    Image.new("RGB", (100, 60), "red").save(tmp_path / "red.png")
    blue = np.zeros((3, 90, 40), np.float32)
    blue[2] = 7  # clamped

    sheet = contact_sheet(
        [tmp_path / "red.png", Image.new("RGB", (500, 100), "lime"), blue], ["a", "b", "c"], 2
    )

    assert {(255, 0, 0), (0, 255, 0), (0, 0, 255), BACKGROUND} <= colors(sheet)


def test_a_large_picture_is_shown_small_and_a_small_one_as_it_is() -> None:
    """384 pixels at most; nothing grows."""
    large = contact_sheet([Image.new("RGB", (3840, 1920), "red")], ["large"])
    small = contact_sheet([Image.new("RGB", (38, 19), "red")], ["small"])

    reds = [
        next(count for count, color in sheet.getcolors(1 << 24) if color == (255, 0, 0))
        for sheet in (large, small)
    ]
    assert reds == [384 * 192, 38 * 19]


@pytest.mark.parametrize(("count", "columns"), [(1, 1), (2, 2), (8, 4), (31, 8)])
def test_a_sheet_fills_its_rows(count: int, columns: int) -> None:
    """As near to three by two as it gets without holes."""
    frames = [Image.new("RGB", (384, 288), "red")] * count
    captions = [str(number) for number in range(count)]

    assert contact_sheet(frames, captions).size == contact_sheet(frames, captions, columns).size


def test_a_caption_stays_below_its_own_picture() -> None:
    """One that is too long is cut, not written over its neighbor's."""
    frames = [Image.new("RGB", (120, 80), BACKGROUND)] * 2

    sheet = contact_sheet(frames, ["much too long for a picture of this width", ""], 2)

    ink = ImageChops.difference(sheet, Image.new("RGB", sheet.size, BACKGROUND)).getbbox()
    assert ink is not None
    assert 28 <= ink[0] < ink[2] <= 28 + 120


def test_transparent_pixels_show_the_ground() -> None:
    """Not the color that hides below them."""
    hidden = Image.new("RGBA", (50, 50), (255, 0, 255, 0))

    assert (255, 0, 255) not in colors(contact_sheet([hidden], [""]))


def test_a_file_that_is_no_picture_is_refused(tmp_path: Path) -> None:
    """By the same rules as an upload."""
    (tmp_path / "frame.png").write_bytes(b"nothing")

    with pytest.raises(PictureRefused):
        contact_sheet([tmp_path / "frame.png"], [""])
