"""A picture as the engine takes it: upright, sRGB, nothing but pixels."""

from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dream_core.picture.scale import Planes, Samples, as_fractions
from dream_core.picture.write import QUICK

MODES = ("L", "LA", "RGB", "RGBA", "I;16")
"""What PNG holds and gives back bit for bit; I;16 is grey of 16 bits."""


@dataclass(frozen=True, eq=False)
class Picture:
    """Pixels as they were decoded, 8 bits each or 16 in grey; made floats only when asked.

    Made by `read`, which has turned it upright, brought it to sRGB and dropped its metadata.
    """

    image: Image.Image  # one of MODES; 4 bytes a pixel inside Pillow (grey: 1, grey of 16 bits: 2)

    @property
    def height(self) -> int:
        """Return the number of rows."""
        return self.image.height

    @property
    def width(self) -> int:
        """Return the number of columns."""
        return self.image.width

    @property
    def has_alpha(self) -> bool:
        """Whether some pixel may be transparent."""
        return "A" in self.image.mode

    def plane(self, channel: int) -> Samples:
        """Return (H, W) of red, green or blue (0, 1, 2), uint8 or uint16; grey is all three."""
        if self.image.mode == "I;16":
            return np.asarray(self.image, np.uint16)
        band = channel if self.image.mode.startswith("RGB") else 0
        return np.asarray(self.image.getchannel(band), np.uint8)

    def rgb(self) -> Planes:
        """Return (3, H, W) float32 in [0, 1]."""
        return np.stack([as_fractions(self.plane(channel)) for channel in range(3)])

    def alpha_plane(self) -> NDArray[np.uint8] | None:
        """Return (H, W), 255 where the picture is opaque; None where it is so everywhere."""
        return np.asarray(self.image.getchannel("A"), np.uint8) if self.has_alpha else None

    def alpha(self) -> Planes | None:
        """Return (H, W) float32 in [0, 1], 1 is opaque; None where all of it is."""
        plane = self.alpha_plane()
        return None if plane is None else as_fractions(plane)

    def save_png(self, target: Path | BinaryIO) -> None:
        """Write the picture so that `read` gives back the same bits."""
        self.image.save(target, "PNG", **QUICK)
