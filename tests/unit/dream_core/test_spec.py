"""DreamSpec: every knob once, resolved, checked against the catalogue and against each other."""

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from dream_core.catalogue import Catalogue
from dream_core.errors import (
    DreamError,
    InvalidSpec,
    NothingToSee,
    Refused,
    UnknownField,
    UnknownLayer,
    UnknownModel,
    WorkingSizeTooLarge,
)
from dream_core.spec import LARGEST_WORKING_PIXELS, DreamSpec, field_names, scaled_size

CATALOGUE = Catalogue.load(Path("no such folder"))
VGG19, VGG16 = CATALOGUE["vgg19"], CATALOGUE["vgg16"]


def spec(**fields: Any) -> DreamSpec:
    """The spec of those fields."""
    return DreamSpec.parse(fields, CATALOGUE)


def refusal(**fields: Any) -> Refused:
    """The error of those fields."""
    with pytest.raises(Refused) as caught:
        spec(**fields)
    return caught.value


def test_defaults_are_those_of_the_design() -> None:
    """engine.md §5, word for word; the 2015 program's own belong to `dream classic`."""
    assert spec().model_dump() == {
        "model": "vgg19",
        "layers": {"relu5_1": 1000.0},
        "iterations": 30,
        "image_size": 512,
        "learning_rate": 10.0,
        "optimizer": "adam",
        "pooling": "max",
        "normalize_gradients": False,
        "content_weight": 0.0,
        "content_layers": (),
        "style_scale": 1.0,
        "seed": 0,
        "save_every": 1,
        "resampler": "lanczos",
        "rounding": "nearest",
        "precision": "auto",
    }


def test_every_field_has_a_help_text() -> None:
    """Form, CLI and page show it; none may be empty."""
    assert all(field.description for field in DreamSpec.model_fields.values())


def test_a_spec_is_frozen() -> None:
    """What was accepted is what runs."""
    with pytest.raises(ValidationError):
        spec().iterations = 5  # type: ignore[misc]


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"optimizer": "lbfgs"},
        {"content_weight": 2},
        {"content_layers": ["relu3_1", "relu1_1"]},
        {"layers": {"relu5_1": -1, "conv1_2": 0.1}, "style_scale": 0.5},
        {"model": "vgg16", "pooling": "avg", "normalize_gradients": True},
    ],
)
def test_a_resolved_spec_posted_again_is_the_same_dream(fields: dict[str, Any]) -> None:
    """Through JSON, as the job document shows it, and once more."""
    first = spec(**fields)

    again = DreamSpec.parse_json(first.model_dump_json(), CATALOGUE)

    assert again == first
    assert again.model_dump_json() == first.model_dump_json()


def test_layers_are_kept_in_network_order() -> None:
    """Two ways to ask for one dream are one spec, and one order of work."""
    one = spec(layers={"relu5_1": 1, "relu1_1": 2}, content_layers=["relu4_2", "relu2_2"])
    other = spec(layers={"relu1_1": 2, "relu5_1": 1}, content_layers=["relu2_2", "relu4_2"])

    assert list(one.layers) == ["relu1_1", "relu5_1"]
    assert one.content_layers == ("relu2_2", "relu4_2")
    assert one.model_dump_json() == other.model_dump_json()


def test_all_layers_names_each_once() -> None:
    """What is asked and what is held may be the same layer."""
    asked = spec(layers={"relu4_2": 1, "relu5_1": 1}, content_layers=["relu4_2", "relu1_1"])

    assert sorted(asked.all_layers()) == ["relu1_1", "relu4_2", "relu5_1"]


@pytest.mark.parametrize(
    ("fields", "field", "says"),
    [
        ({"layers": {}}, "layers", "name at least one"),
        ({"content_layers": ["relu4_2", "relu4_2"]}, "content_layers", "relu4_2 twice"),
        ({"content_weight": 3, "content_layers": []}, "content_layers", "give both"),
        ({"content_weight": 0, "content_layers": ["relu4_2"]}, "content_weight", "give both"),
        ({"optimizer": "lbfgs", "learning_rate": 3}, "learning_rate", "leave it out"),
        ({"optimizer": "lbfgs", "normalize_gradients": True}, "normalize_gradients", "use adam"),
        ({"learning_rate": None}, "learning_rate", "10 is the 2015"),
        ({"layers": {"relu5_1": float("nan")}}, "layers.relu5_1", "finite"),
        ({"layers": {"relu5_1": float("inf")}}, "layers.relu5_1", "finite"),
        ({"layers": {"relu5_1": 1e7}}, "layers.relu5_1", "1000000"),
        ({"learning_rate": float("inf")}, "learning_rate", "finite"),
        ({"model": None}, "model", "string"),
        ({"model": ["vgg19"]}, "model", "string"),
        ({"layers": ["relu5_1"]}, "layers", "valid dict"),
        ({"layers": None}, "layers", "valid dict"),
    ],
)
def test_what_does_not_go_together_is_refused_by_name(
    fields: dict[str, Any], field: str, says: str
) -> None:
    """The fault lies at a field, and the sentence says the way out."""
    error = refusal(**fields)

    assert isinstance(error, InvalidSpec)
    assert [fault.field for fault in error.faults] == [field]
    assert says in str(error)


def test_a_choice_that_is_none_lists_the_choices() -> None:
    """For programs too, in `allowed`."""
    assert refusal(pooling="median").faults[0].allowed == ("max", "avg")


def test_unknown_names_are_refused_with_the_nearest() -> None:
    """Field, model and layer: each with an error of its own."""
    field, model = refusal(iteratons=3), refusal(model="vgg-19")
    layer = refusal(layers={"relu6_1": 1, "relu5_1": 1, "ReLU5_2": 1})

    assert isinstance(field, UnknownField)
    assert field.faults[0].allowed[0] == "iterations"
    assert isinstance(model, UnknownModel)
    assert model.faults[0].allowed[0] == "vgg19"
    assert isinstance(layer, UnknownLayer)
    assert [fault.value for fault in layer.faults] == ["relu6_1", "ReLU5_2"]
    assert [fault.allowed[0] for fault in layer.faults] == ["relu5_1", "relu5_2"]


def test_an_unknown_field_beside_another_fault_is_told_with_it() -> None:
    """Both at once; the code says that not only a name is wrong."""
    error = refusal(iterations=0, imagesize=3)

    assert type(error) is InvalidSpec
    assert {fault.field for fault in error.faults} == {"iterations", "imagesize"}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        "3",
        '"spec"',
        "[" * 100_000,
        '{"seed": ' + "1" * 5000 + "}",
        '{"iterations": 1e400}',
        '{"iterations": "30"}',
        '{"iterations": 30.5}',
        '{"iterations": true}',
        '{"layers": "relu5_1"}',
        '{"layers": {"relu5_1": "1000"}}',
        '{"layers": {"relu5_1": NaN}}',
        '{"layers": {"relu5_1": Infinity}}',
        '{"content_layers": "relu4_2"}',
        '{"content_layers": [4]}',
        '{"model": "\\ud800"}',
        '{"\\ud800": 1}',
        "{'model': 'vgg19'}",
        '{"seed": 1, "seed": 1}',
        '{"layers": {"relu5_1": 1, "relu5_1": 2}}',
        b"\xff\xfe",
        b'{"model": "\xff"}',
    ],
)
def test_json_that_is_no_spec_is_one_of_our_sentences(text: str | bytes) -> None:
    """Types are strict in JSON, a field comes once, and no bytes end in a traceback."""
    with pytest.raises(InvalidSpec) as caught:
        DreamSpec.parse_json(text, CATALOGUE)

    assert caught.value.faults
    assert len(str(caught.value)) < 1000


def test_json_takes_whole_numbers_for_doses() -> None:
    """Strict means no texts for numbers, not 1000.0 for 1000."""
    asked = DreamSpec.parse_json('{"layers": {"relu5_1": 1000}, "learning_rate": 1}', CATALOGUE)

    assert asked.layers == {"relu5_1": 1000.0}


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from(field_names()), st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=5,
), max_size=4))  # fmt: skip
def test_whatever_json_holds_is_a_spec_or_one_of_our_sentences(data: dict[str, Any]) -> None:
    """Nobody's JSON ends in a traceback."""
    with suppress(DreamError):
        DreamSpec.parse_json(json.dumps(data), CATALOGUE)


@settings(deadline=None)
@given(st.integers(1, 12_000), st.integers(1, 12_000), st.integers(32, 12_000))
def test_the_longer_side_becomes_exactly_image_size(height: int, width: int, longer: int) -> None:
    """And the other is truncated, as the 2015 program did."""
    scaled = scaled_size(height, width, longer)

    assert max(scaled) == longer
    assert min(scaled) == min(height, width) * longer // max(height, width)
    assert scaled_size(width, height, longer) == scaled[::-1]


def test_style_size_is_relative_to_image_size() -> None:
    """style_scale scales the longer side, and the rest follows."""
    asked = spec(image_size=300, style_scale=0.5)

    assert asked.working_size(200, 400) == (150, 300)
    assert asked.style_size(200, 400) == (75, 150)


def test_a_picture_that_shrinks_to_nothing_names_the_smallest_size_that_works() -> None:
    """VGG-16's pools round down: 16 pixels are one position at relu5_1, 15 are none."""
    asked = spec(model="vgg16", image_size=32)

    asked.check_picture(100, 200, VGG16)
    with pytest.raises(NothingToSee, match="smallest image_size that has one is 48") as caught:
        asked.check_picture(100, 300, VGG16)
    spec(model="vgg16", image_size=48).check_picture(100, 300, VGG16)
    with pytest.raises(NothingToSee):
        spec(model="vgg16", image_size=47).check_picture(100, 300, VGG16)

    assert caught.value.faults[0].allowed == ("48",)


def test_pools_that_round_up_always_leave_a_position() -> None:
    """VGG-19 sees something in any picture, but not under average pools, which round down."""
    thin = (32, 1280)

    spec(image_size=40).check_picture(*thin, VGG19)
    with pytest.raises(NothingToSee):
        spec(image_size=40, pooling="avg").check_picture(*thin, VGG19)


def test_held_layers_and_the_style_source_are_checked_too() -> None:
    """Each layer is looked at at its own size; the smallest image_size serves all of them."""
    held = spec(model="vgg16", layers={"relu1_1": 1}, content_layers=["relu5_1"], image_size=32)
    style = spec(model="vgg16", style_scale=0.25, image_size=48)

    with pytest.raises(NothingToSee, match=r"relu5_1 has no position; .* is 48"):
        held.check_picture(100, 300, VGG16)
    with pytest.raises(NothingToSee, match="is 64"):
        style.check_picture(100, 100, VGG16)
    spec(model="vgg16", style_scale=0.25, image_size=64).check_picture(100, 100, VGG16)


def test_where_no_size_works_the_sentence_says_so() -> None:
    """style_scale can make any picture vanish."""
    with pytest.raises(NothingToSee, match="no image_size has one") as caught:
        spec(model="vgg16", style_scale=1e-9).check_picture(100, 100, VGG16)

    assert caught.value.faults[0].allowed == ()


@settings(deadline=None)
@given(
    st.integers(32, 12_000),
    st.integers(32, 12_000),
    st.integers(100, 12_000),  # so that something is left of the thinnest at half the size
    st.sampled_from([1.0, 0.5, 2.0, 16.0]),
)
def test_too_many_pixels_name_the_largest_size_that_works(
    height: int, width: int, image_size: int, style_scale: float
) -> None:
    """What the sentence advises is taken, and it is the largest that would be."""
    assume(max(height, width) <= 40 * min(height, width))
    asked = spec(image_size=image_size, style_scale=style_scale)
    try:
        asked.check_picture(height, width, VGG19)
    except WorkingSizeTooLarge as error:
        largest = int(error.faults[0].allowed[0])
    else:
        sizes = (asked.working_size(height, width), asked.style_size(height, width))
        assert max(h * w for h, w in sizes) <= LARGEST_WORKING_PIXELS
        return

    spec(image_size=largest, style_scale=style_scale).check_picture(height, width, VGG19)
    with pytest.raises(WorkingSizeTooLarge):
        spec(image_size=largest + 1, style_scale=style_scale).check_picture(height, width, VGG19)
