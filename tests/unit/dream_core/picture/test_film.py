from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose
from PIL import Image

from dream_core.picture.film import film_webp


def test_a_film_shows_every_frame_in_order_and_rests_at_its_ends(tmp_path: Path) -> None:
    """The source and the last frame stay longer; then it begins again, for ever."""
    path = tmp_path / "film.webp"
    greys = [20, 90, 160, 230]

    film_webp((Image.new("RGB", (60, 40), (grey,) * 3) for grey in greys), path, 20, hold_s=0.5)

    with Image.open(path) as film:
        shown, durations = [], []
        for number in range(film.n_frames):
            film.seek(number)
            shown.append(np.asarray(film.convert("RGB")).mean())
            durations.append(film.info["duration"])
        assert film.info["loop"] == 0
        assert film.size == (60, 40)
    assert_allclose(shown, greys, atol=3)
    assert durations == [550, 50, 50, 550]
    assert list(tmp_path.iterdir()) == [path]


def test_a_single_frame_is_a_film_too(tmp_path: Path) -> None:
    """One iteration short of a dream."""
    film_webp([np.full((3, 40, 60), 0.5, np.float32)], tmp_path / "film.webp")

    with Image.open(tmp_path / "film.webp") as film:
        assert film.size == (60, 40)


def test_a_film_of_a_restless_dream_stays_below_two_megabytes(tmp_path: Path) -> None:
    """31 frames of 384 × 288 that share nothing with each other: worse than any dream."""
    noise = np.random.default_rng(2)
    frames = (
        Image.fromarray(noise.integers(0, 256, (72, 96, 3), np.uint8)).resize((768, 576))
        for _ in range(31)
    )

    film_webp(frames, tmp_path / "film.webp")

    assert (tmp_path / "film.webp").stat().st_size < 2_000_000
    with Image.open(tmp_path / "film.webp") as film:
        assert film.size == (384, 288)


def test_a_film_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    """Frames of different sizes are no film."""
    frames = [Image.new("RGB", (60, 40)), Image.new("RGB", (40, 60))]

    with pytest.raises(RuntimeError, match="dimensions"):
        film_webp(frames, tmp_path / "film.webp")

    assert list(tmp_path.iterdir()) == []
