"""Costs: how much of each kind of work an iteration has, and rates found from what was measured."""

from dataclasses import asdict

import pytest

from dream_core.architectures import BUILT_IN
from dream_core.costs import TYPICAL, Costs, fit
from dream_core.forms.form import WHOLE, Form
from dream_core.spec import DreamSpec

VGG19 = BUILT_IN["vgg19"]
LOOKS = [
    (96, 128, "relu5_1"),
    (192, 256, "relu5_1"),
    (192, 256, "relu1_1"),
    (192, 256, "relu2_1"),
    (384, 512, "relu1_1"),
    (384, 512, "relu2_1"),
]
# A machine that is nothing like the typical one: its memory is slow.
STRANGE = Costs(1e-12, 3e-9, 6e-9, 1e-9, 9e-9, 4e-12)


def costs(height: int, width: int, *layers: str, form: Form = WHOLE, frames: int = 0) -> Costs:
    """Return those of a dream of 30 iterations."""
    spec = DreamSpec(layers=dict.fromkeys(layers, 1000.0), iterations=30)
    return Costs.of(VGG19, spec, (height, width), form, frames=frames)


def test_kinds_are_counted_by_hand() -> None:
    """relu1_1 of 40 × 60: 64 filters of 3 × 3 × 3, there and back; Gram: 64 × 64 at each pixel."""
    pixels = 40 * 60

    assert asdict(costs(40, 60, "relu1_1", frames=15)) == {
        "multiply_adds": 2 * 27 * 64 * pixels,
        "elements": 64 * pixels,
        "large": 0,
        "weights": 27 * 64,
        "asked": 64 * pixels,
        "products": 2 * 64 * 64 * pixels,
        "saved": pixels / 2,
    }


def test_weights_are_read_once_however_large_the_picture() -> None:
    """And so a small picture costs more for each pixel."""
    small, large = costs(64, 64, "relu5_1"), costs(128, 128, "relu5_1")

    assert small.weights == large.weights
    assert large.elements == 4 * small.elements


def test_only_features_that_no_allocator_keeps_are_large() -> None:
    """64 channels of float32 pass 32 MiB between 362 and 363 pixels square."""
    assert costs(362, 362, "relu1_1").large == 0
    assert costs(363, 363, "relu1_1").large == 64 * 363**2


def test_what_is_seen_in_parts_runs_some_of_it_again() -> None:
    """More multiply-adds, and no large features: that is what parts are for."""
    whole = costs(768, 1024, "relu5_1")
    bands = costs(768, 1024, "relu5_1", form=Form("bands", 64, "pool2"))

    assert bands.multiply_adds > whole.multiply_adds
    assert bands.large == 0 < whole.large


@pytest.mark.parametrize("rates", [TYPICAL, STRANGE], ids=["typical", "strange"])
def test_rates_found_from_few_looks_foretell_other_dreams(rates: Costs) -> None:
    """Within 15 %, whatever the machine is: sizes and layers that were not looked at."""
    looks = [costs(*look) for look in LOOKS]
    found = fit([(look, look.seconds(rates)) for look in looks])

    for unseen in (
        costs(300, 400, "relu3_1"),
        costs(768, 1024, "relu5_1"),
        costs(768, 1024, "relu1_1"),
        costs(480, 640, "relu4_1"),
    ):
        assert unseen.seconds(found) == pytest.approx(unseen.seconds(rates), rel=0.15)


def test_one_look_is_enough_to_know_how_fast_a_machine_is() -> None:
    """What it says nothing of is taken as on others: a slow machine is slow in all."""
    look = costs(*LOOKS[0])
    found = fit([(look, 5 * look.seconds(TYPICAL))])

    other = costs(768, 1024, "relu1_1")
    assert other.seconds(found) == pytest.approx(5 * other.seconds(TYPICAL), rel=1e-6)


def test_no_kind_of_work_takes_less_than_no_time() -> None:
    """A busy machine spoils a look; what is foretold from it stays above zero."""
    looks = [costs(*look) for look in LOOKS]
    spoiled = [(look, look.seconds(TYPICAL) * (1 + 5 * (at % 2))) for at, look in enumerate(looks)]

    assert min(asdict(fit(spoiled)).values()) >= 0
