import io
from typing import Any

import numpy as np
import pytest
import torch

from dream_core.optim.lbfgs import HISTORY
from dream_core.picture.write import encode_png
from jobs.disk import Footprint, frames_kept, largest_png
from jobs.errors import DiskFull

SPEC = {"image_size": 200, "iterations": 10, "save_every": 3, "optimizer": "adam"}


def footprint(**changes: Any) -> Footprint:
    """Return what a dream takes on a picture of 400 × 300."""
    return Footprint.of({**SPEC, **changes}, 300, 400)


@pytest.mark.parametrize(
    ("begins_at", "iterations", "save_every", "frames"),
    [
        (0, 10, 1, 11),
        (0, 10, 3, 5),  # 0, 3, 6, 9, 10
        (0, 9, 3, 4),
        (0, 1, 10, 2),
        (7, 14, 3, 4),  # 7, 9, 12, 14
        (6, 12, 3, 3),  # 6, 9, 12
        (7, 8, 100, 2),
    ],
)
def test_frames_are_counted_as_the_worker_keeps_them(
    begins_at: int, iterations: int, save_every: int, frames: int
) -> None:
    """The first, every multiple past it, and the last one always."""
    assert frames_kept(begins_at, iterations, save_every) == frames


@pytest.mark.parametrize("size", [(1, 1), (33, 77), (150, 200), (300, 400)])
@pytest.mark.parametrize("alpha", [False, True])
def test_no_frame_is_larger_than_foreseen(size: tuple[int, int], alpha: bool) -> None:
    """Noise can't be made smaller, and is what a dream may come to; the bound stays near it."""
    random = np.random.default_rng(7)
    rgb = random.random((3, *size), np.float32)

    png = encode_png(rgb, alpha=random.random(size, np.float32) if alpha else None)

    foreseen = largest_png(*size, 4 if alpha else 3)
    assert len(png) <= foreseen <= 1.01 * len(png) + 1100


@pytest.mark.parametrize(("optimizer", "tensors"), [("adam", 3), ("lbfgs", 2 + 2 * HISTORY)])
def test_a_checkpoint_is_no_larger_than_foreseen(optimizer: str, tensors: int) -> None:
    """The picture, and what the optimizer knows of every pixel of it."""
    state = {str(number): torch.rand(3, 150, 200) for number in range(tensors)}
    file = io.BytesIO()
    torch.save(state, file)

    takes = footprint(optimizer=optimizer)

    assert 3 * len(file.getvalue()) <= takes.fixed_bytes


def test_what_does_not_fit_is_told_with_what_would() -> None:
    """How many frames, and the save_every that keeps so few."""
    takes = footprint(save_every=1)
    room = takes.fixed_bytes + 6 * takes.frame_bytes

    error = DiskFull(takes, room)

    assert takes.frames_that_fit(room) == 6
    assert Footprint.of({**SPEC, "save_every": 2}, 300, 400).bytes <= room  # 0, 2, 4, 6, 8, 10
    assert "11 frames of 200 × 150 may take" in str(error)
    assert "6 fit; save_every 2 or more fits" in str(error)
    assert error.faults[0].allowed == ("2",)


def test_where_no_save_every_helps_none_is_named() -> None:
    """Then only a smaller picture, or room, does."""
    takes = footprint()

    error = DiskFull(takes, takes.frame_bytes)

    assert "0 fit; ask for a smaller image_size" in str(error)
    assert error.faults[0].allowed == ()
