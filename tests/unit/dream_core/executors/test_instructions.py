"""Whole dreams by every instruction path of the kernel, also by those that this CPU lacks."""

import pytest
import torch

from dream_core import native
from dream_core.architectures.vgg import VGG19
from dream_core.dream import Dream
from dream_core.executors import REFERENCE, Plan, Way
from dream_core.model import Pooling
from dream_core.spec import DreamSpec
from tests.emulated import every_path
from tests.thin import apart, gradient, network_of, random_picture, thin_model

# In 16 bit, full planes of 32 channels are read by a way of their own.
MODEL = thin_model(VGG19, (32, 40, 32, 64, 33))
LAYERS = [name for name in MODEL.layer_names if name != "pool5"]
ASKED = (["relu1_2"], ["conv2_2"], ["pool3"], ["relu5_1"], LAYERS)
# Relative L2 of a gradient against float64: about twice of what was measured.
LIMITS = {"exact": 1e-5, "balanced": 0.06, "fast": 0.7}

PRECISIONS = {"float32": ("exact",), "bfloat16": ("balanced", "fast")}
in_every_way = pytest.mark.parametrize(
    ("path", "way"),
    [
        (path, Way("winograd", precision))
        for operands, path in every_path("float32", "bfloat16")
        for precision in PRECISIONS[operands]
    ],
    ids=str,
    indirect=["path"],
)


@in_every_way
@pytest.mark.parametrize("pooling", ["max", "avg"])
def test_a_gradient_is_as_near_as_its_precision_says(path: str, way: Way, pooling: Pooling) -> None:
    """From the picture to a layer and back, at some layers alone and at all together."""
    picture = random_picture(1, 45, 37)
    plain, sharp = (network_of(MODEL, kind, pooling) for kind in (torch.float32, torch.float64))

    for asked in ASKED:
        fields = {"layers": dict.fromkeys(asked, 1000.0), "image_size": 45}
        expected = gradient(sharp, REFERENCE, picture, **fields)
        found = gradient(plain, way, picture, **fields)
        assert apart(found, expected) < LIMITS[way.precision], (path, asked)


@in_every_way
def test_a_dose_of_one_moves_nothing(path: str, way: Way) -> None:
    """Exactly, so no thread and no band of rows leaves another bit at the second look."""
    picture = random_picture(2, 33, 40)
    spec = DreamSpec(model="vgg19", layers=dict.fromkeys(LAYERS, 1.0), image_size=40)
    plan = Plan.make(torch.device("cpu"), torch.float32, way)
    assert path in plan.cpu.split()

    found, losses = Dream(picture, spec, network=network_of(MODEL), plan=plan).gradient(picture)

    assert not found.any()
    assert set(losses.values()) == {0.0}


@in_every_way
def test_between_layers_lies_what_is_multiplied(path: str, way: Way) -> None:
    """On every path that multiplies 16 bit, no more is kept."""
    assert path in native.paths("float32")[:1] + native.paths("bfloat16")[:1]
    network = network_of(MODEL).run_by(way)

    features, _ = network.forward(random_picture(3, 20, 31), ["conv1_2", "relu2_1"])

    kind = torch.bfloat16 if way.precision == "fast" else torch.float32
    assert {kept.dtype for kept in features.values()} == {kind}
