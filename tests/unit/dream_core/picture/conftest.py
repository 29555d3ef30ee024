from collections.abc import Callable
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from PIL import Image

Encode = Callable[..., bytes]


@pytest.fixture
def photo() -> Image.Image:
    """Return 96 × 64 pixels of RGB with structure and a few hard edges, nothing symmetric."""
    noise = np.random.default_rng(4).integers(0, 256, (8, 12, 3), np.uint8)
    photo = Image.fromarray(noise).resize((96, 64), Image.Resampling.BICUBIC)
    photo.paste((250, 10, 20), (0, 0, 20, 11))
    return photo


@pytest.fixture
def encode() -> Encode:
    """Return the function from a picture of Pillow's and a format to the bytes of a file."""

    def encode(image: Image.Image, kind: str, **options: Any) -> bytes:
        file = BytesIO()
        image.save(file, kind, **options)
        return file.getvalue()

    return encode
