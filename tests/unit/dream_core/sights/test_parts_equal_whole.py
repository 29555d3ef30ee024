"""Bands and tiles against the whole picture: one gradient, however it is cut."""

from collections.abc import Collection, Iterator, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from dream_core import native
from dream_core.dream import Dream
from dream_core.errors import Interrupted
from dream_core.executors import REFERENCE, Executor, ExecutorTape, Plan, Way
from dream_core.forms import Form
from dream_core.model import Layer, Pooling
from dream_core.sights import look
from dream_core.spec import DreamSpec
from tests.emulated import every_path
from tests.thin import apart, network_of, patchwork, random_picture, thin_model, thin_network

LIMIT = {torch.float64: 1e-12, torch.float32: 2e-3}  # relative L2, performance.md §4
# In `fast`, about twice of what was measured: a band begins elsewhere in a tile of Winograd, which
# rounds to 16 bit otherwise there.
FAST_APART = 0.3
FIVE = {"relu1_1": -5.0, "relu2_1": 50.0, "relu3_1": 1000.0, "relu4_1": 0.0, "relu5_1": -1000.0}
ONE = {"conv5_4": 1000.0}
WHOLE = Form()
PARTS = [Form("bands", 64, "pool2"), Form("bands", 48, "pool4"), Form("tiles", 97)]
KERNEL = pytest.mark.skipif(not native.available(), reason=native.reason())
SOURCE = random_picture(1, 259, 37)


def started(
    form: Form,
    dtype: torch.dtype = torch.float64,
    source: Tensor = SOURCE,
    way: Way = REFERENCE,
    **fields: Any,
) -> Dream:
    """Start a dream that looks in a form."""
    spec = DreamSpec.model_validate({"model": "vgg19", "image_size": 259, **fields})
    network = thin_network(pooling=spec.pooling, dtype=dtype)
    plan = Plan.make(torch.device("cpu"), dtype, way).of_form(form)
    return Dream(source, spec, network=network, plan=plan)


def elsewhere(source: Tensor, dtype: torch.dtype) -> Tensor:
    """Return a picture beside the source."""
    generator = torch.Generator().manual_seed(2)
    return (source + 0.1 * torch.randn(source.shape, generator=generator)).to(dtype)


CASES = {
    "one": (ONE, {}),
    "five": (FIVE, {}),
    "normalized": (FIVE, {"normalize_gradients": True}),
    "style_scale": ({"pool2": 5.0, "relu4_1": 10.0, "relu5_1": 3.0}, {"style_scale": 0.7}),
}


@pytest.mark.parametrize("form", PARTS, ids=str)
@pytest.mark.parametrize(
    ("case", "pooling", "dtype"),
    [
        ("one", "max", torch.float64),
        ("five", "max", torch.float64),
        ("five", "avg", torch.float64),
        ("normalized", "max", torch.float64),
        ("style_scale", "avg", torch.float64),
        ("one", "avg", torch.float32),
        ("five", "max", torch.float32),
    ],
    ids=str,
)
def test_the_gradient_is_that_of_the_whole_picture(
    case: str, pooling: Pooling, dtype: torch.dtype, form: Form
) -> None:
    """Max pools round up and average pools down, and no side of 259 × 37 divides by anything."""
    layers, fields = CASES[case]
    at = elsewhere(SOURCE, dtype)

    whole, losses = started(WHOLE, dtype, layers=layers, pooling=pooling, **fields).gradient(at)
    gradient, found = started(form, dtype, layers=layers, pooling=pooling, **fields).gradient(at)

    assert float((gradient - whole).norm() / whole.norm()) < LIMIT[dtype]
    assert found == pytest.approx(losses, rel=LIMIT[dtype])


@pytest.mark.parametrize("form", PARTS, ids=str)
@pytest.mark.parametrize(
    ("way", "dtype"),
    [
        (Way("direct", "exact"), torch.float64),
        (Way("direct", "exact"), torch.float32),
        pytest.param(Way("winograd", "exact"), torch.float64, marks=KERNEL),
        pytest.param(Way("winograd", "exact"), torch.float32, marks=KERNEL),
    ],
    ids=str,
)
@pytest.mark.parametrize("case", ["one", "five", "normalized", "style_scale"])
@pytest.mark.parametrize("pooling", ["max", "avg"])
def test_tapes_that_are_bits_lead_back_to_the_same_gradient(
    case: str, pooling: Pooling, way: Way, dtype: torch.dtype, form: Form
) -> None:
    """Bands keep theirs from the way in; the reference looks at the whole picture."""
    layers, fields = CASES[case]
    at = elsewhere(SOURCE, dtype)

    whole, losses = started(WHOLE, dtype, layers=layers, pooling=pooling, **fields).gradient(at)
    gradient, found = started(
        form, dtype, way=way, layers=layers, pooling=pooling, **fields
    ).gradient(at)

    assert float((gradient - whole).norm() / whole.norm()) < LIMIT[dtype]
    assert found == pytest.approx(losses, rel=LIMIT[dtype])


@pytest.mark.parametrize("form", PARTS, ids=str)
@pytest.mark.parametrize(
    "way",
    [Way("direct", "exact"), pytest.param(Way("winograd", "exact"), marks=KERNEL)],
    ids=str,
)
def test_where_windows_tie_parts_choose_as_the_whole_does(way: Way, form: Form) -> None:
    """At the source of a picture of flat patches: a part begins elsewhere in a tile."""
    source = patchwork(3, 400, 260)  # so large are its patches that pool3 has windows within
    # The reference's float64 rounds otherwise from place to place, and chooses by that.
    sharp = started(WHOLE, source=source, way=Way("direct", "exact"), layers=FIVE)
    expected, _ = sharp.gradient(source.double())

    found, _ = started(form, torch.float32, source, way, layers=FIVE).gradient(source)

    assert apart(found.double(), expected) < LIMIT[torch.float32]


@pytest.mark.parametrize("path", [path for _, path in every_path("bfloat16")], indirect=True)
@pytest.mark.parametrize("cut", ["pool1", "pool2"])
def test_few_channels_at_the_cut_are_not_read_as_a_picture(path: str, cut: str) -> None:
    """The form for planes reads float32; in `fast`, what bands put together is of 16 bit."""
    network = network_of(thin_model(widths=(4, 4, 6, 6, 8)))
    spec = DreamSpec(model="vgg19", image_size=259, layers={"relu3_2": 50.0, "relu5_1": -5.0})
    plan = Plan.make(torch.device("cpu"), torch.float32, Way("winograd", "fast"))
    assert path in plan.cpu.split()
    at = elsewhere(SOURCE, torch.float32)

    whole, bands = (
        Dream(SOURCE, spec, network=network, plan=plan.of_form(form)).gradient(at)[0]
        for form in (WHOLE, Form("bands", 64, cut))
    )

    assert apart(bands, whole) < FAST_APART


def everywhere_alike(features: Tensor, onto: Tensor | None = None, *, over: bool = False) -> Tensor:
    """Pull by 1."""
    if onto is not None:
        return onto.add_(1)
    return features.fill_(1) if over else torch.ones_like(features)


class Counted:
    """An executor, and what it was asked for."""

    def __init__(self, executor: Executor) -> None:
        self.executor, self.lean, self.gives = executor, executor.lean, executor.gives
        self.asked: list[set[str]] = []

    def forward(
        self, picture: Tensor, layers: Sequence[Layer], asked: Collection[str], *equals: object
    ) -> tuple[dict[str, Tensor], ExecutorTape]:
        self.asked.append(set(asked))
        return self.executor.forward(picture, layers, asked, *equals)


@pytest.mark.parametrize(
    ("way", "layers", "again"),
    [
        (Way("direct", "exact"), {"relu5_1"}, None),
        (Way("direct", "exact"), {"relu1_2", "relu5_1"}, {"relu1_2"}),
        (REFERENCE, {"relu1_2", "relu5_1"}, {"relu1_2", "pool2"}),
    ],
    ids=str,
)
def test_bands_go_in_once_where_their_tapes_are_bits(
    way: Way, layers: set[str], again: set[str] | None
) -> None:
    """Again only as deep as features are asked there; where tapes are features, all of it."""
    network = thin_network().run_by(way)
    network.executor = counted = Counted(network.executor)
    sight = look(network, SOURCE, layers, Form("bands", 64, "pool2"), lambda: None)
    bands = 5  # of 259 rows

    sight.gather([(layer, torch.sum) for layer in sorted(layers)])
    sight.pull_back([(layer, everywhere_alike) for layer in sorted(layers)])

    shallow = (layers - {"relu5_1"}) | {"pool2"}
    repeated = [again] * bands if again else []
    assert counted.asked == [shallow] * bands + [{"relu5_1"}] + repeated


def test_tiles_are_cut_on_both_sides() -> None:
    """Twelve of them, the last ones of 11 pixels, seen at relu3_1 with a halo of 24."""
    source = random_picture(3, 75, 107)
    at = elsewhere(source, torch.float64)
    fields = {"source": source, "layers": {"conv1_1": 3.0, "relu3_1": -7.0}}

    whole, _ = started(WHOLE, **fields).gradient(at)
    gradient, _ = started(Form("tiles", 32), **fields).gradient(at)

    assert float((gradient - whole).norm() / whole.norm()) < LIMIT[torch.float64]


@pytest.mark.parametrize("form", [Form("bands", 64, "pool1"), Form("bands", 64, "pool2")], ids=str)
def test_content_behind_the_bands_is_held_as_by_the_whole(form: Form) -> None:
    """What can't be asked in parts isn't: behind the cut there is one part."""
    fields = {"layers": FIVE, "content_weight": 3e3, "content_layers": ["relu3_4"]}
    at = elsewhere(SOURCE, torch.float64)

    whole, _ = started(WHOLE, **fields).gradient(at)
    gradient, _ = started(form, **fields).gradient(at)

    assert float((gradient - whole).norm() / whole.norm()) < LIMIT[torch.float64]


@pytest.mark.parametrize("form", PARTS, ids=str)
def test_a_dose_of_one_keeps_the_picture_in_every_form(form: Form) -> None:
    """Exactly: the form that steps is the form that captured, and adds up in the same order."""
    layers = dict.fromkeys(("relu1_2", "pool2", "relu4_1", "conv5_4"), 1.0)
    dream = started(form, torch.float32, layers=layers)

    dream.step()

    assert torch.equal(dream.picture(), SOURCE)


@pytest.mark.parametrize("form", PARTS[::2], ids=str)
def test_a_dream_in_parts_that_is_saved_and_loaded_has_the_same_bits(form: Form) -> None:
    """The form is in the plan, the plan in the state."""
    straight, broken = (started(form, torch.float32, layers=FIVE) for _ in range(2))
    straight.step()
    broken.step()
    state = broken.state_dict()
    assert Plan(**state["plan"]).form == form

    resumed = started(form, torch.float32, layers=FIVE)
    resumed.load_state_dict(state)
    for dream in (straight, resumed):
        dream.step()

    assert torch.equal(straight.picture(), resumed.picture())


@pytest.mark.parametrize("optimizer", ["adam", "lbfgs"])
@pytest.mark.parametrize("form", PARTS[::2], ids=str)
def test_a_step_left_between_two_parts_has_moved_nothing(form: Form, optimizer: str) -> None:
    """Whoever steps again has the bits of a dream that was never asked to stop."""
    answers: Iterator[bool] = iter(())
    spec = DreamSpec(layers=FIVE, optimizer=optimizer, image_size=259)
    plan = Plan.make(torch.device("cpu"), torch.float32).of_form(form)
    network = thin_network()
    plain = Dream(SOURCE, spec, network=network, plan=plan)
    dream = Dream(
        SOURCE, spec, network=network, plan=plan, should_stop=lambda: next(answers, False)
    )
    plain.step()
    dream.step()
    before = dream.picture()

    answers = iter([False, False, True])
    with pytest.raises(Interrupted):
        dream.step()
    assert torch.equal(dream.picture(), before)
    plain.step()
    dream.step()

    assert dream.iteration == 2
    assert torch.equal(plain.picture(), dream.picture())
