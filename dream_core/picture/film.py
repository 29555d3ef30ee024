"""Film: the frames of a dream as one animated WebP that any browser plays."""

from collections.abc import Iterable
from pathlib import Path

from dream_core.picture.frame import Frame, fitted, frame_image
from dream_core.picture.write import whole_file

QUALITY = 70
EFFORT = 4  # of 0 to 6; Pillow's default


def film_webp(
    frames: Iterable[Frame],
    path: Path,
    frame_rate: float = 10,
    longest: int = 384,
    hold_s: float = 1.5,
) -> None:
    """Write the frames in order as an animation that repeats for ever.

    Args:
        frames: one or more, in the order they are shown; taken one at a time.
        path: file to write, whole from the moment it has its name.
        frame_rate: frames a second.
        longest: longer side of the film in pixels; smaller frames stay as they are.
        hold_s: how much longer the first (the source) and the last frame stay.
    """
    shown = [fitted(frame_image(frame), longest) for frame in frames]
    one_ms = round(1000 / frame_rate)
    durations = [one_ms] * len(shown)
    for end in {0, len(shown) - 1}:
        durations[end] += round(1000 * hold_s)
    first, *others = shown
    with whole_file(path) as unfinished:
        first.save(
            unfinished,
            "WEBP",
            save_all=True,
            append_images=others,
            duration=durations,
            loop=0,
            quality=QUALITY,
            method=EFFORT,
        )
