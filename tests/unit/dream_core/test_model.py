"""A network as data: sizes, and what must run to see a layer."""

from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional

from dream_core.architectures import BUILT_IN
from dream_core.catalogue import Catalogue
from dream_core.errors import UnknownLayer
from dream_core.model import PICTURE, Layer, Model, Origin
from dream_core.spec import DreamSpec

LENGTHS = range(1, 30)
ORIGIN = Origin(kind="file", name="none")


def layer(name: str, *inputs: str, **options: Any) -> Layer:
    """Return a layer, a relu if nothing else is asked."""
    return Layer(**{"name": name, "kind": "relu", "inputs": inputs, "channels": 1} | options)


def model(*layers: Layer) -> Model:
    """Return a model of those layers."""
    names = {"default_layer": layers[-1].name, "content_layer": layers[-1].name}
    return Model(name="small", title="small", layers=layers, origin=ORIGIN, **names)


def length_in_torch(shape: Layer, length: int) -> int:
    """Return how many columns torch makes of `length`; 0 where it refuses."""
    picture = torch.zeros(1, 1, 9, length)
    kernel, stride, padding = shape.kernel, shape.stride, shape.padding
    try:
        if shape.kind == "max_pool":
            out = functional.max_pool2d(
                picture, kernel, stride, padding, shape.dilation, ceil_mode=shape.rounds_up
            )
        elif shape.kind == "average_pool":
            out = functional.avg_pool2d(picture, kernel, stride, padding, shape.rounds_up)
        else:
            weight = torch.zeros(1, 1, *kernel)
            out = functional.conv2d(picture, weight, None, stride, padding, shape.dilation)
    except RuntimeError:
        return 0
    return out.shape[-1]


@pytest.mark.parametrize("rounds_up", [False, True])
@pytest.mark.parametrize("kind", ["max_pool", "average_pool"])
def test_pools_have_torchs_sizes(kind: str, rounds_up: bool) -> None:
    """Whatever the kernel, stride and padding: the size foretold is the size that comes out."""
    for kernel, stride, length in product(range(1, 6), range(1, 6), LENGTHS):
        for padding in range(kernel // 2 + 1):
            pool = layer(
                "pool",
                PICTURE,
                kind=kind,
                kernel=(1, kernel),
                stride=(1, stride),
                padding=(0, padding),
                rounds_up=rounds_up,
            )

            _, foretold = pool.size_after(9, length)

            asked = f"{kernel=} {stride=} {padding=} {length=}"
            assert foretold == length_in_torch(pool, length), asked


def test_convolutions_have_torchs_sizes() -> None:
    """The same of convolutions, spread ones included."""
    for kernel, stride, dilation in product((1, 2, 3, 5, 7), (1, 2, 3), (1, 2, 3)):
        for padding, length in product(range(4), LENGTHS):
            convolution = layer(
                "convolution",
                PICTURE,
                kind="convolution",
                kernel=(1, kernel),
                stride=(1, stride),
                padding=(0, padding),
                dilation=(1, dilation),
            )

            _, foretold = convolution.size_after(9, length)

            asked = f"{kernel=} {stride=} {dilation=} {padding=} {length=}"
            assert foretold == length_in_torch(convolution, length), asked


def test_height_and_width_each_follow_their_own_rule() -> None:
    """Pairs are (height, width), all the way."""
    slit = layer("slit", PICTURE, kind="convolution", kernel=(7, 1), stride=(1, 2), padding=(0, 1))

    assert slit.size_after(20, 30) == (14, 16)


def test_average_pooling_replaces_max_pools_and_rounds_down() -> None:
    """The 2015 program's `-pooling avg`, on sides that do not divide."""
    vgg19 = BUILT_IN["vgg19"]

    assert vgg19.sizes(["pool3"], 37, 53, "max")["pool3"] == (5, 7)
    assert vgg19.sizes(["pool3"], 37, 53, "avg")["pool3"] == (4, 6)


def test_average_pooling_leaves_every_other_layer_as_it_is() -> None:
    """An average pool keeps its own rounding; a convolution is not touched."""
    pool = layer("pool", PICTURE, kind="average_pool", kernel=(2, 2), stride=(2, 2), rounds_up=True)
    relu = layer("relu", PICTURE)

    assert pool.under("avg") == pool
    assert relu.under("avg") == relu


def test_only_what_a_layer_reads_must_run() -> None:
    """No deeper and no wider: a branch that nobody reads does not run."""
    branching = model(
        layer("stem", PICTURE),
        layer("left", "stem"),
        layer("right", "stem"),
        layer("join", "left", "right", kind="concatenate", channels=2),
        layer("after", "join"),
    )

    assert [needed.name for needed in branching.needed_for(["right"])] == ["stem", "right"]
    assert [needed.name for needed in branching.needed_for(["join", "left"])] == [
        "stem",
        "left",
        "right",
        "join",
    ]


def test_names_come_back_in_network_order() -> None:
    """The 2015 program skipped what was listed out of order; here any order will do."""
    assert BUILT_IN["vgg19"].in_order(["relu5_1", "relu1_1", "pool2"]) == (
        "relu1_1",
        "pool2",
        "relu5_1",
    )


def test_an_unknown_name_brings_the_nearest() -> None:
    """A slip of the finger is answered with what was meant."""
    with pytest.raises(UnknownLayer, match="did you mean relu4_") as refusal:
        BUILT_IN["vgg19"].in_order(["relu4_l"])

    assert "relu4_1" in refusal.value.faults[0].allowed


def test_nothing_is_left_behind_a_layer_where_nothing_was_left() -> None:
    """A size of 0 stays 0: padding does not bring a picture back."""
    shrinking = model(
        layer("big", PICTURE, kind="convolution", kernel=(9, 9)),
        layer("padded", "big", kind="convolution", kernel=(3, 3), padding=(4, 4)),
    )

    assert shrinking.sizes(["padded"], 8, 20)["padded"] == (0, 0)


def test_a_model_survives_being_written_down() -> None:
    """What `dream models add` writes is what the catalogue reads."""
    inception = BUILT_IN["inception_v3"]

    assert Model.model_validate_json(inception.model_dump_json()) == inception


def test_a_model_dreams_at_its_own_layer_and_dose_where_nothing_is_asked(tmp_path: Path) -> None:
    """What 1000 does to VGG-19's relu5_1 takes more where features are smaller."""
    catalogue = Catalogue.load(tmp_path)

    assert DreamSpec.parse({}, catalogue).layers == {"relu5_1": 1000.0}
    assert DreamSpec.parse({"model": "inception_v3"}, catalogue).layers == {"mixed_3": 30_000.0}
