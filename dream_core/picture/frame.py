"""A frame to be shown, in whatever form it is at hand."""

from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dream_core.picture.read import read

Frame: TypeAlias = "Path | Image.Image | NDArray[np.float32]"
"""A picture's file, a picture of Pillow's, or (3, H, W) float32 in [0, 1]."""


BACKGROUND = (24, 24, 26)  # dark and all but neutral, so that only the pictures have color


def frame_image(frame: Frame) -> Image.Image:
    """Return an RGB picture of Pillow's, laid on BACKGROUND where it is transparent.

    Raises:
        PictureRefused: a file that holds no picture we read.
    """
    if isinstance(frame, Path):
        picture = read(frame)
        frame = picture.rgb() if picture.image.mode == "I;16" else picture.image
    if not isinstance(frame, Image.Image):
        steps = np.rint(np.clip(frame, 0, 1) * 255).astype(np.uint8)
        return Image.fromarray(np.ascontiguousarray(steps.transpose(1, 2, 0)))
    if not frame.has_transparency_data:
        return frame.convert("RGB")
    ground = Image.new("RGBA", frame.size, BACKGROUND)
    return Image.alpha_composite(ground, frame.convert("RGBA")).convert("RGB")


def fitted(image: Image.Image, longest: int) -> Image.Image:
    """Return a picture whose longer side is at most `longest`; never one that grew."""
    if max(image.size) <= longest:
        return image
    shown = image.copy()
    shown.thumbnail((longest, longest), Image.Resampling.LANCZOS)
    return shown
