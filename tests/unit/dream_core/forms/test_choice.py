"""Which form is chosen, and what is said where none fits."""

from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from dream_core.architectures import BUILT_IN
from dream_core.errors import MemoryExceeded
from dream_core.forms import Form, reaches
from dream_core.forms.choice import (
    choose,
    fitting_form,
    forms,
    largest_size,
    next_smaller,
    work,
)
from dream_core.forms.form import WHOLE
from dream_core.forms.memory import predicted_bytes
from dream_core.forms.storage import REFERENCE, Storage
from dream_core.spec import DreamSpec

VGG = BUILT_IN["vgg19"]
SIZE = (1536, 2048)
PLENTY = 1e12
LEAN = Storage(lean=True, kernel_forth=True, kernel_back=True)
SHORT = replace(LEAN, forth=2, back=2)


def spec(**fields: Any) -> DreamSpec:
    """Return a spec of a picture of 2048 pixels."""
    return DreamSpec.model_validate({"image_size": 2048, **fields})


def test_where_memory_is_plenty_the_picture_stays_whole() -> None:
    """Any part is more work."""
    assert choose(VGG, spec(), SIZE, PLENTY) == WHOLE
    for form in forms(VGG, spec(), SIZE):
        assert work(VGG, spec(), SIZE, form) >= work(VGG, spec(), SIZE)


@pytest.mark.parametrize("storage", [LEAN, SHORT], ids=["exact", "fast"])
def test_a_thrifty_choice_sees_a_large_picture_in_bands_and_a_small_one_whole(
    storage: Storage,
) -> None:
    """Bands whose tapes are bits cost 2 % more work at 2048 × 1536, and save 300 to 600 MB."""
    asked = spec(layers={"relu5_1": 1.0})

    large = choose(VGG, asked, SIZE, PLENTY, storage, thrifty=True)
    small = choose(VGG, asked, (384, 512), PLENTY, storage, thrifty=True)

    assert large is not None
    assert (large.kind, small) == ("bands", WHOLE)
    assert work(VGG, asked, SIZE, large, storage) < 1.03 * work(VGG, asked, SIZE)
    assert predicted_bytes(VGG, asked, SIZE, large, storage) < 0.7 * predicted_bytes(
        VGG, asked, SIZE, WHOLE, storage
    )


@pytest.mark.parametrize("storage", [LEAN, SHORT], ids=["exact", "fast"])
def test_thrift_pays_a_tenth_more_work_where_shallow_layers_are_asked_of_a_large_picture(
    storage: Storage,
) -> None:
    """In bands to pool2 relu1_1 and relu2_1 are computed once more, and never held whole."""
    five = spec(layers=dict.fromkeys(("relu1_1", "relu2_1", "relu3_1", "relu5_1"), 1.0))

    form = choose(VGG, five, SIZE, PLENTY, storage, thrifty=True)

    assert form is not None
    assert form.cut == "pool2"
    assert 1.05 < work(VGG, five, SIZE, form, storage) / work(VGG, five, SIZE) < 1.2


def test_thrift_takes_no_form_that_goes_in_twice() -> None:
    """Neither tiles nor the reference's bands: both are half as much work again."""
    asked = spec(layers={"relu1_1": 1.0})

    assert choose(VGG, asked, SIZE, PLENTY, LEAN, thrifty=True) == WHOLE
    assert choose(VGG, spec(), SIZE, PLENTY, REFERENCE, thrifty=True) == WHOLE
    assert choose(VGG, asked, SIZE, 5e8, LEAN, thrifty=True).kind == "tiles"


def test_who_keeps_bits_needs_less_and_who_keeps_them_in_16_bit_least() -> None:
    """In every form: or a dream would be cut up too early."""
    for form in forms(VGG, spec(), SIZE):
        needs = [predicted_bytes(VGG, spec(), SIZE, form, each) for each in (SHORT, LEAN)]

        assert needs == sorted(needs)
        # Bands keep what the reference computes again; in thin ones that is more.
        if form.kind != "bands":
            assert needs[-1] < predicted_bytes(VGG, spec(), SIZE, form)


def test_bands_that_keep_their_tapes_do_less_work_the_fewer_features_are_asked_there() -> None:
    """Nothing asked: once through. relu1_2 asked: block 1 again. The reference: all again."""
    form = Form("bands", 128, "pool2")
    deep, both = spec(layers={"relu5_1": 1.0}), spec(layers={"relu1_2": 1.0, "relu5_1": 1.0})

    works = [
        work(VGG, deep, SIZE, form, LEAN),
        work(VGG, both, SIZE, form, LEAN),
        work(VGG, both, SIZE, form),
    ]

    assert works == sorted(works)
    assert len(set(works)) == 3


def test_with_less_and_less_memory_it_is_seen_in_bands_and_then_in_tiles() -> None:
    """Down to the last: every next form needs clearly less, as long as there is one."""
    tried = [WHOLE]
    while following := next_smaller(VGG, spec(), SIZE, tried[-1]):
        tried.append(following)
    needs = [predicted_bytes(VGG, spec(), SIZE, form) for form in tried]

    assert [form.kind for form in tried[:2]] == ["whole", "bands"]
    assert tried[-1].kind == "tiles"
    assert all(after <= 0.75 * before for before, after in pairwise(needs))


def test_forty_megapixels_dream_at_the_deepest_layer_in_4_gb() -> None:
    """Beside a process and a network of 0.65 GB, as measured."""
    size = (5479, 7299)
    for layer in ("relu1_1", "conv5_4"):
        asked = spec(layers={layer: 1000.0}, image_size=7299)

        assert choose(VGG, asked, size, 4e9 - 0.65e9) is not None


def test_what_holds_features_in_place_is_never_asked_in_parts() -> None:
    """Content at relu3_1 leaves bands that end before it, and no tiles."""
    held = spec(content_layers=["relu3_1"])
    found = list(forms(VGG, held, SIZE))

    assert {form.kind for form in found} == {"whole", "bands"}
    assert {form.cut for form in found if form.kind == "bands"} == {"pool1", "pool2"}


def test_a_network_of_other_layers_is_seen_whole() -> None:
    """Inception's windows overlap and its branches join: no crop holds all it can see."""
    model = BUILT_IN["inception_v3"]
    asked = spec(model="inception_v3", layers={"mixed_3": 1.0})

    assert list(forms(model, asked, SIZE)) == [WHOLE]


def test_a_layer_sees_the_sum_of_the_windows_before_it() -> None:
    """Performance.md §4: 70 pixels for relu5_1, 118 for conv5_4, in strides of 16."""
    reached = reaches(VGG.needed_for(["conv5_4"]))

    assert reached is not None
    assert (reached["relu5_1"].halo, reached["relu5_1"].stride) == (70, 16)
    assert reached["conv5_4"].halo == 118
    assert reached["pool2"].stride == 4


def test_what_fits_in_no_form_is_refused_with_the_largest_size_that_does() -> None:
    """The size named is taken, the next one is not."""
    free = 250_000_000
    with pytest.raises(MemoryExceeded, match=r"the largest image_size that fits is \d+") as caught:
        fitting_form(VGG, spec(), SIZE, free, "this server")

    largest = largest_size(VGG, spec(), SIZE, 0.85 * free)
    assert largest is not None
    assert caught.value.faults[0].allowed == (str(largest),)
    fitting_form(VGG, spec(image_size=largest), SIZE, free, "")
    with pytest.raises(MemoryExceeded):
        fitting_form(VGG, spec(image_size=largest + 1), SIZE, free, "")


def test_where_nothing_fits_at_all_the_way_out_is_another() -> None:
    """No image_size is named that would be refused too."""
    with pytest.raises(MemoryExceeded, match="no image_size fits; free some memory"):
        fitting_form(VGG, spec(), SIZE, 1_000_000, "this server")


def test_lbfgs_keeps_ten_pairs_of_pictures() -> None:
    """Its memory is counted, or a large dream would die of it."""
    adam, lbfgs = spec(), spec(optimizer="lbfgs")
    form = Form("tiles", 256)

    more = predicted_bytes(VGG, lbfgs, SIZE, form) - predicted_bytes(VGG, adam, SIZE, form)

    assert more >= 18 * 4 * 3 * SIZE[0] * SIZE[1]
