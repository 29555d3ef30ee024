import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image

from dream_core.picture.scale import BAND_SAMPLES, as_fractions, scale

GOLDEN = Path(__file__).parents[3] / "golden"
CASES = json.loads((GOLDEN / "cases.json").read_text())
BOTH = pytest.mark.parametrize("resampler", ["lanczos", "classic"])


def noise(*shape: int) -> np.ndarray:
    """Return evenly spread samples, the same every time."""
    return np.random.default_rng(4).random(shape, np.float32)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_classic_sees_the_source_that_the_2015_program_saw(case: dict[str, Any]) -> None:
    """The golden runs' own x0, scaled up, down and not at all: 1e-5 is their stated limit."""
    pixels = np.asarray(Image.open(GOLDEN / "inputs" / case["image"]).convert("RGB"))
    source = as_fractions(pixels.transpose(2, 0, 1))
    expected = np.load(GOLDEN / "cases" / f"{case['name']}.npz")["x0"]

    seen = scale(source, tuple(case["size"]), "classic")

    assert_allclose(seen, expected, rtol=0, atol=1e-5)


@BOTH
def test_the_same_size_is_a_copy(resampler: Any) -> None:
    """Bit for bit, and not the same memory: a dream never draws on its source."""
    source = noise(3, 33, 21)

    scaled = scale(source, (33, 21), resampler)

    assert_array_equal(scaled, source)
    assert not np.shares_memory(scaled, source)


@BOTH
@pytest.mark.parametrize("size", [(17, 5), (64, 99), (33, 99), (17, 21), (64, 5), (1, 1)])
def test_a_flat_picture_stays_flat(resampler: Any, size: tuple[int, int]) -> None:
    """Weights add up to one at every position, borders included, up and down and each way alone."""
    flat = np.broadcast_to(np.float32([[[0.25]], [[1.0]], [[0.0]]]), (3, 33, 21))

    scaled = scale(flat, size, resampler)

    assert scaled.shape == (3, *size)
    assert scaled.dtype == np.float32
    assert_allclose(scaled, np.broadcast_to(flat[:, :1, :1], scaled.shape), atol=2e-7)


@BOTH
def test_nothing_leaves_the_range_of_a_picture(resampler: Any) -> None:
    """Lanczos overshoots at hard edges; a source lies in [0, 1] all the same."""
    edges = (noise(1, 40, 40) > 0.5).astype(np.float32)

    scaled = scale(edges, (71, 23), resampler)

    assert scaled.min() >= 0
    assert scaled.max() <= 1


@BOTH
def test_bands_leave_no_seam(resampler: Any) -> None:
    """A plane of several bands scales like its parts alone: rows know nothing of each other."""
    rows, columns = 3 * BAND_SAMPLES // 4096 + 7, 4096
    plane = noise(1, rows, columns)

    whole = scale(plane, (rows, 97), resampler)

    alone = [scale(plane[:, row : row + 1], (1, 97), resampler) for row in range(0, rows, 51)]
    assert_array_equal(whole[:, ::51], np.concatenate(alone, axis=1))


def test_lanczos_is_pillows_own_on_both_sides_at_once() -> None:
    """Rows first, then columns, in bands, is one call on the whole plane, but for the last bit."""
    plane = noise(1, 60, 80)

    ours = scale(plane, (35, 121), "lanczos")

    pillows = Image.fromarray(plane[0]).resize((121, 35), Image.Resampling.LANCZOS)
    assert_allclose(ours[0], np.clip(np.asarray(pillows), 0, 1), rtol=0, atol=2**-22)


def test_lanczos_lets_no_stripes_through_that_the_new_size_cannot_hold() -> None:
    """Shrunk to a third, stripes of one pixel become their mean, not a moiré."""
    stripes = np.tile(np.float32([0, 1]), (1, 120, 60))

    scaled = scale(stripes, (40, 40), "lanczos")

    assert_allclose(scaled[:, :, 4:-4], 0.5, atol=0.02)


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_integers_are_parts_of_their_largest_value(kind: type[np.unsignedinteger[Any]]) -> None:
    """So a 40 megapixel upload never has to exist as float32 at its full size."""
    samples = (noise(3, 20, 30) * np.iinfo(kind).max).astype(kind)

    from_integers = scale(samples, (9, 50))

    assert_array_equal(from_integers, scale(as_fractions(samples), (9, 50)))
    assert as_fractions(np.array([np.iinfo(kind).max], kind)) == [1]


def test_a_line_of_one_pixel_grows() -> None:
    """Aligned corners of a single sample: there is nothing to interpolate."""
    assert_array_equal(scale(np.full((1, 1, 4), 0.5, np.float32), (3, 4), "classic"), 0.5)
