from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from PIL import Image

from dream_core.picture.picture import MODES
from dream_core.picture.read import read
from dream_core.picture.scale import scale
from dream_core.picture.source import working_source


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("resampler", ["lanczos", "classic"])
def test_a_working_source_is_the_picture_scaled(
    mode: str, resampler: Any, photo: Image.Image, encode: Callable[..., bytes]
) -> None:
    """Plane by plane from integers or at once from floats: the same values, three channels."""
    if mode == "I;16":
        image = Image.fromarray(np.arange(64 * 96, dtype=np.uint16).reshape(64, 96) * 10)
    else:
        image = photo.convert(mode)
        if "A" in mode:
            image.putalpha(Image.linear_gradient("L").resize(photo.size))
    picture = read(encode(image, "PNG"))

    rgb, alpha = working_source(picture, (33, 50), resampler)

    assert rgb.shape == (3, 33, 50)
    assert_array_equal(rgb, scale(picture.rgb(), (33, 50), resampler))
    whole = picture.alpha()
    if whole is None:
        assert alpha is None
    else:
        assert_array_equal(alpha, scale(whole[None], (33, 50), resampler)[0])
