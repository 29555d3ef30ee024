from collections.abc import Mapping

import numpy as np
import pytest

from dream_core.architectures.vgg import vgg
from dream_core.model import Model, Origin
from dream_core.weights import store


@pytest.fixture
def model() -> Model:
    """Two convolutions, small enough to hash in no time."""
    return Model(
        name="tiny",
        title="Two convolutions",
        layers=vgg((1, 1), pools_round_up=True, widths=(2, 4)),
        default_layer="relu2_1",
        content_layer="relu1_1",
        origin=Origin(kind="file", name="tiny.caffemodel"),
    )


@pytest.fixture
def tensors(model: Model) -> Mapping[str, np.ndarray]:
    """Weights that fit `model`."""
    random = np.random.default_rng(7)
    return {
        name: random.normal(size=shape).astype(np.float32)
        for name, shape in store.shapes(model).items()
    }
