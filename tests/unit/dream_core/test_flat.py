"""The flat form: names and texts become a DreamSpec, or a sentence that says what is wrong."""

from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dream_core.catalogue import Catalogue
from dream_core.errors import DreamError, InvalidSpec, Refused, UnknownField, UnknownLayer
from dream_core.flat import flat_names, parse_flat
from dream_core.spec import DreamSpec, field_names

CATALOGUE = Catalogue.load(Path("no such folder"))


def flat(**texts: str) -> DreamSpec:
    """The spec of a form."""
    return parse_flat(texts.items(), CATALOGUE)


def refusal(*pairs: tuple[str, str]) -> Refused:
    """The error of a form."""
    with pytest.raises(Refused) as caught:
        parse_flat(pairs, CATALOGUE)
    return caught.value


def test_nothing_asked_is_every_default() -> None:
    """A picture alone is enough: an empty form is the same dream as an empty JSON object."""
    assert flat() == DreamSpec.parse({}, CATALOGUE)


@pytest.mark.parametrize(
    ("texts", "layers"),
    [
        ({"layers": "relu4_1,relu5_1", "dose": "100"}, {"relu4_1": 100, "relu5_1": 100}),
        ({"layers": "relu5_1=1000,relu2_1=-5"}, {"relu2_1": -5, "relu5_1": 1000}),
        ({"layers": "relu5_1=7,relu2_1", "dose": "-5"}, {"relu2_1": -5, "relu5_1": 7}),
        ({"layers": "relu2_1"}, {"relu2_1": 1000}),
        ({"layers": "relu5_1=7,relu2_1"}, {"relu2_1": 1000, "relu5_1": 7}),
        ({"dose": "-5"}, {"relu5_1": -5}),
        ({"dose": "0", "model": "vgg16"}, {"relu5_1": 0}),
        ({"layers": "mixed_5", "model": "inception_v3"}, {"mixed_5": 30_000}),
        ({"layers": " relu5_1 = 1e2 , relu2_1 "}, {"relu2_1": 1000, "relu5_1": 100}),
        ({"layers": "relu5_1=.5"}, {"relu5_1": 0.5}),
    ],
)
def test_doses_go_where_the_form_says(texts: dict[str, str], layers: dict[str, float]) -> None:
    """`dose` goes to each layer without one of its own, alone to the default layer."""
    assert flat(**texts).layers == layers


def test_layers_come_out_in_network_order() -> None:
    """Whatever order they are asked in: a spec is one dream, written one way."""
    assert list(flat(layers="relu5_1,conv1_1,pool2").layers) == ["conv1_1", "pool2", "relu5_1"]


@pytest.mark.parametrize(
    ("field", "text", "says"),
    [
        ("layers", "relu4_1,relu4_1", "twice"),
        ("layers", "relu4_1=1,relu4_1=2", "twice"),
        ("layers", "relu4_1,", "empty item"),
        ("layers", ",relu4_1", "empty item"),
        ("layers", "relu4_1,,relu5_1", "empty item"),
        ("layers", "", "empty item"),
        ("layers", "  ", "empty item"),
        ("layers", "=5", "no layer"),
        ("layers", "relu4_1=", "a number"),
        ("layers", "relu4_1=much", "a number"),
        ("layers", "relu4_1=1=2", "a number"),
        ("layers", "relu4_1=nan", "a number"),
        ("layers", "relu4_1=inf", "a number"),
        ("content_layers", "relu4_2,", "empty item"),
        ("dose", "", "a number"),
        ("dose", "null", "a number"),
        ("dose", "1_000", "a number"),
        ("dose", "١٢", "a number"),
        ("dose", "1,5", "a number"),
        ("learning_rate", "fast", "a number"),
        ("iterations", "3.5", "a whole number"),
        ("iterations", "30.0", "a whole number"),
        ("iterations", "1e3", "a whole number"),
        ("iterations", "", "a whole number"),
        ("iterations", "null", "a whole number"),
        ("seed", "9" * 5000, "5000 digits"),
        ("normalize_gradients", "yes", "true, 1, on, false, 0, off"),
        ("normalize_gradients", "", "true, 1, on, false, 0, off"),
        ("model", "", "leave the field out"),
        ("pooling", "", "leave the field out"),
    ],
)
def test_a_text_that_is_not_what_its_field_holds_is_refused(
    field: str, text: str, says: str
) -> None:
    """The error names the field and the value, and says what would be right."""
    error = refusal((field, text))

    assert isinstance(error, InvalidSpec)
    assert [fault.field for fault in error.faults] == [field]
    assert error.faults[0].value == text
    assert says in str(error)
    assert str(error).startswith(f"{field} is '")


@pytest.mark.parametrize(
    ("field", "text", "limit"),
    [
        ("iterations", "0", "1"),
        ("iterations", "10001", "10000"),
        ("image_size", "31", "32"),
        ("image_size", "12001", "12000"),
        ("learning_rate", "0", "0"),
        ("learning_rate", "-1", "0"),
        ("dose", "1000001", "1000000"),
        ("dose", "-1000001", "-1000000"),
        ("dose", "1e999", "finite"),
        ("layers", "relu5_1=-1e999", "finite"),
        ("seed", "-1", "0"),
        ("seed", str(2**63), str(2**63 - 1)),
        ("save_every", "0", "1"),
        ("style_scale", "0", "0"),
        ("style_scale", "17", "16"),
        ("content_weight", "-1", "0"),
        ("optimizer", "sgd", "'adam' or 'lbfgs'"),
        ("pooling", "median", "'max' or 'avg'"),
    ],
)
def test_a_value_out_of_range_is_refused_with_its_limit(field: str, text: str, limit: str) -> None:
    """The limits are DreamSpec's own: the form adds none and takes none away."""
    error = refusal((field, text))

    assert isinstance(error, InvalidSpec)
    assert limit in str(error)


def test_dose_is_refused_where_every_layer_has_its_own() -> None:
    """It would go nowhere, and nothing is silently ignored."""
    error = refusal(("layers", "relu5_1=1,relu4_1=2"), ("dose", "3"))

    assert [(fault.field, fault.value) for fault in error.faults] == [("dose", "3")]
    assert "leave dose out" in str(error)


def test_a_repeated_field_is_refused_even_with_the_same_value() -> None:
    """Which one counts is nobody's guess."""
    error = refusal(("iterations", "3"), ("dose", "1"), ("iterations", "3"))

    assert [fault.field for fault in error.faults] == ["iterations"]
    assert "more than once" in str(error)


def test_an_unknown_field_lists_the_nearest_right_names() -> None:
    """Also those that only the flat form has."""
    errors = {name: refusal((name, "1")) for name in ("iteration", "doses", "spec", "Layers")}

    assert all(isinstance(error, UnknownField) for error in errors.values())
    assert errors["iteration"].faults[0].allowed[0] == "iterations"
    assert errors["doses"].faults[0].allowed[0] == "dose"
    assert errors["Layers"].faults[0].allowed[0] == "layers"


def test_an_unknown_layer_lists_the_nearest_right_names() -> None:
    """In both fields that name layers, and says in which."""
    doses = refusal(("layers", "relu6_1=3"))
    held = refusal(("content_layers", "relu42"))

    assert isinstance(doses, UnknownLayer)
    assert isinstance(held, UnknownLayer)
    assert (doses.faults[0].field, doses.faults[0].allowed[0]) == ("layers", "relu5_1")
    assert (held.faults[0].field, held.faults[0].allowed[0]) == ("content_layers", "relu4_2")


@pytest.mark.parametrize("text", ["true", "1", "on", "True", "ON"])
def test_a_switch_is_on(text: str) -> None:
    """Web forms send `on`, people write true, shells write 1."""
    assert flat(normalize_gradients=text).normalize_gradients is True


@pytest.mark.parametrize("text", ["false", "0", "off"])
def test_a_switch_is_off(text: str) -> None:
    """The other half."""
    assert flat(normalize_gradients=text).normalize_gradients is False


def test_content_fields_bring_each_other() -> None:
    """Either one alone brings the other's 2015 default."""
    by_weight, by_layers = flat(content_weight="3"), flat(content_layers="relu2_2,relu1_1")

    assert (by_weight.content_weight, by_weight.content_layers) == (3, ("relu4_2",))
    assert (by_layers.content_weight, by_layers.content_layers) == (5, ("relu1_1", "relu2_2"))
    assert flat(content_layers="") == flat()


def test_null_is_taken_where_json_takes_it() -> None:
    """learning_rate is null with lbfgs; a resolved spec must be writable in flat form."""
    assert flat(optimizer="lbfgs", learning_rate="null").learning_rate is None


def test_all_wrong_fields_are_named_at_once() -> None:
    """Nobody likes to be told one at a time."""
    error = refusal(("iterations", "x"), ("dose", "y"), ("seed", "z"))

    assert [fault.field for fault in error.faults] == ["iterations", "dose", "seed"]


def test_the_form_has_every_field_of_a_dream_and_dose() -> None:
    """A new field of DreamSpec is a field of the form on the same day."""
    assert set(flat_names()) == {*field_names(), "dose"}


def as_text(value: object) -> str:
    """A field's value as the form has it."""
    if isinstance(value, dict):
        return ",".join(f"{name}={dose!r}" for name, dose in value.items())
    if isinstance(value, list | tuple):
        return ",".join(value)
    return str(value).lower() if isinstance(value, bool) else str(value)


LAYER = st.sampled_from(CATALOGUE["vgg19"].layer_names)


@settings(deadline=None)
@given(
    st.fixed_dictionaries(
        {
            "layers": st.dictionaries(LAYER, st.floats(-1e6, 1e6), min_size=1, max_size=5),
            "iterations": st.integers(1, 10_000),
            "learning_rate": st.floats(1e-300, 1e6),
            "normalize_gradients": st.booleans(),
            "content_layers": st.lists(LAYER, unique=True, max_size=3),
            "seed": st.integers(0, 2**63 - 1),
        }
    )
)
def test_every_resolved_spec_can_be_written_flat(fields: dict[str, Any]) -> None:
    """One spec, two ways to write it: the form loses nothing, not a bit of a float."""
    spec = DreamSpec.parse(fields, CATALOGUE)

    texts = {name: as_text(value) for name, value in spec.model_dump().items()}

    assert parse_flat(texts.items(), CATALOGUE) == spec


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from(flat_names()), st.text(max_size=12)), max_size=4))
def test_whatever_is_written_is_a_spec_or_one_of_our_sentences(
    pairs: list[tuple[str, str]],
) -> None:
    """No text of anyone's ends in a traceback."""
    with suppress(DreamError):
        parse_flat(pairs, CATALOGUE)


def test_a_thousand_wrong_layers_are_answered_with_a_short_list() -> None:
    """What a caller sends in megabytes is not sent back in megabytes."""
    error = refusal(("layers", ",".join(f"nothing{n}" for n in range(1000))))

    assert len(error.faults) == 10
    assert "and 990 more" in str(error)
    assert len(str(refusal(("pooling", "x" * 60_000)))) < 300
