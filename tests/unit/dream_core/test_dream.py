import io
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.testing import assert_close

from dream_core.architectures import BUILT_IN
from dream_core.dream import Dream
from dream_core.errors import NotFinite, NothingToSee, StateRefused, WeightsMissing
from dream_core.executors import Executor, ExecutorTape, Paces, Plan, Probe, Way
from dream_core.forms import Form
from dream_core.model import Layer, Pooling
from dream_core.networks import Network
from dream_core.picture import scale
from dream_core.spec import DreamSpec
from tests.thin import random_picture, random_weights, thin_model, thin_network

SOURCE = random_picture(1, 37, 50)
EVERY_LAYER = BUILT_IN["vgg19"].layer_names


def spec(**fields: Any) -> DreamSpec:
    """Return a spec for a picture of 50 pixels."""
    return DreamSpec(**{"model": "vgg19", "image_size": 50, **fields})


def dream(
    source: Tensor = SOURCE,
    network: Network | None = None,
    dtype: torch.dtype = torch.float32,
    **fields: Any,
) -> Dream:
    """Start a dream of a thin VGG-19."""
    asked = spec(**fields)
    return Dream(source, asked, network=network or thin_network(pooling=asked.pooling, dtype=dtype))


def after(started: Dream, iterations: int) -> Tensor:
    """Return the picture that many iterations later."""
    for _ in range(iterations):
        started.step()
    return started.picture()


@pytest.mark.parametrize("layer", EVERY_LAYER)
def test_a_dose_of_one_keeps_the_picture_at_every_layer(layer: str) -> None:
    """Exactly: the target is the source's own Gram matrix, captured by the plan that steps."""
    started = dream(layers={layer: 1.0})

    gradient, losses = started.gradient(SOURCE)

    assert losses == {layer: 0.0}
    assert not gradient.any()
    assert torch.equal(after(started, 2), SOURCE)


MANY = {"conv1_2": -5.0, "relu2_1": 50.0, "relu4_1": 1000.0, "pool4": 0.0}


@pytest.mark.parametrize("pooling", ["max", "avg"])
@pytest.mark.parametrize(
    "fields",
    [
        {"layers": {"relu3_1": 1000.0}},
        {"layers": MANY},
        {"layers": MANY, "content_weight": 3e3, "content_layers": ["relu2_1", "relu3_4"]},
        {"layers": MANY, "style_scale": 0.7},
        {"layers": {"relu2_1": 1.0}, "style_scale": 1.5, "resampler": "classic"},
    ],
    ids=["one", "many", "content", "style_scale", "style_scale-up"],
)
def test_the_gradient_is_the_slope_of_the_loss(fields: dict[str, Any], pooling: Pooling) -> None:
    """Against central differences in float64, at odd sizes, along a random direction.

    The tolerance is a difference's own: a step of 1e-7 crosses a kink of a ReLU or a pool here
    and there.
    """
    started = dream(dtype=torch.float64, pooling=pooling, **fields)
    generator = torch.Generator().manual_seed(2)
    at = (SOURCE + 0.1 * torch.randn(SOURCE.shape, generator=generator)).double()
    direction = torch.randn(SOURCE.shape, generator=generator, dtype=torch.float64)

    gradient, _ = started.gradient(at)

    def loss(step: float) -> float:
        return sum(started.gradient(at + step * direction)[1].values())

    slope = (loss(1e-7) - loss(-1e-7)) / 2e-7
    assert float((gradient * direction).sum()) == pytest.approx(slope, rel=1e-5)


def test_normalized_layers_pull_with_a_sum_of_one_each() -> None:
    """Each layer's own gradient by its own L1 norm, before a deeper one is added; content before w.

    Written out at the seam: the network is pulled by hand with what each layer should ask.
    """
    network = thin_network(dtype=torch.float64)
    fields = {"content_weight": 7.0, "content_layers": ["relu1_2"]}
    started = dream(
        network=network,
        layers={"relu1_2": 30.0, "relu3_1": -4.0},
        normalize_gradients=True,
        **fields,
    )
    at = (SOURCE * 0.9).double()

    gradient, _ = started.gradient(at)

    source, _ = network.forward(SOURCE.double(), ["relu1_2", "relu3_1"])
    seen, tape = network.forward(at, ["relu1_2", "relu3_1"])
    pulls = {}
    for layer, dose in started.spec.layers.items():
        f, f0 = seen[layer][0].flatten(1), source[layer][0].flatten(1)
        pull = (f @ f.T / f.numel() - dose * (f0 @ f0.T / f.numel())) @ f
        pulls[layer] = (pull / pull.abs().sum()).view_as(seen[layer])
    held = seen["relu1_2"] - source["relu1_2"]
    pulls["relu1_2"] = pulls["relu1_2"] + 7 * held / held.abs().sum()
    assert_close(gradient, tape.backward(pulls))


def test_losses_are_those_of_the_picture_before_the_step() -> None:
    """Frame t − 1, with content under a name of its own; the sum is what falls."""
    started = dream(
        layers={"relu2_1": 20.0, "relu3_1": 5.0}, content_weight=2.0, content_layers=["relu2_1"]
    )
    for iteration in range(1, 4):
        before = started.picture()

        step = started.step()

        assert step.iteration == started.iteration == iteration
        assert step.octave == 0
        assert list(step.losses) == ["relu2_1", "relu3_1", "content:relu2_1"]
        assert step.losses == started.gradient(before)[1]


def test_the_order_in_which_layers_are_asked_does_not_matter() -> None:
    """The 2015 program skipped what was out of network order, in silence."""
    one = dream(layers={"relu1_1": 2.0, "relu3_1": 100.0})
    other = dream(layers={"relu3_1": 100.0, "relu1_1": 2.0})

    assert torch.equal(after(one, 3), after(other, 3))


@pytest.mark.parametrize("form", [Form(), Form("bands", 16, "pool2"), Form("tiles", 16)], ids=str)
@pytest.mark.parametrize("optimizer", ["adam", "lbfgs"])
@pytest.mark.parametrize("way", [Way("autograd", "exact"), Way("direct", "exact")], ids=str)
def test_the_first_step_goes_on_from_the_look_that_fixed_the_targets(
    way: Way, optimizer: str, form: Form, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One way in less, of all parts, and the bits of a dream that has to look again."""
    network = thin_network().run_by(way)
    looked_at: list[Tensor] = []
    forward = network.executor.forward

    def counted(picture: Tensor, *rest: Any) -> Any:
        looked_at.append(picture)
        return forward(picture, *rest)

    monkeypatch.setattr(network.executor, "forward", counted)
    fields = {"layers": {"relu4_1": 1000.0, "relu1_1": -2.0}, "optimizer": optimizer}
    plan = replace(Plan.make(network.device, torch.float32, way).of_form(form), threads=2)
    at_once = Dream(SOURCE, spec(**fields), network=network, plan=plan)
    way_in = len(looked_at)
    asked_before = Dream(SOURCE, spec(**fields), network=network, plan=plan)
    assert at_once.looked
    elsewhere = asked_before.gradient(random_picture(2, 37, 50))[0]
    assert not asked_before.looked

    before = len(looked_at)
    at_once.step()
    in_between = len(looked_at)
    asked_before.step()

    assert not at_once.looked
    assert len(looked_at) - in_between == in_between - before + way_in
    assert torch.equal(at_once.picture(), asked_before.picture())
    assert torch.equal(after(at_once, 3), after(asked_before, 3))
    assert torch.equal(at_once.gradient(random_picture(2, 37, 50))[0], elsewhere)


@pytest.mark.parametrize(
    "fields",
    [
        {"style_scale": 0.6},
        {"content_weight": 2.0, "content_layers": ["relu2_1"]},
    ],
    ids=["another size", "features held"],
)
def test_a_look_that_another_can_not_go_on_from_is_not_kept(fields: dict[str, Any]) -> None:
    """It was of another picture, or a way back would write over what are targets now."""
    assert not dream(layers={"relu2_1": 20.0}, **fields).looked


def test_style_scale_takes_the_targets_from_the_source_at_another_size() -> None:
    """A dose of 1 is then no longer the identity: it asks for the texture of another scale."""
    network = thin_network()
    started = dream(network=network, layers={"relu2_1": 1.0}, style_scale=0.6)
    smaller = torch.from_numpy(scale(SOURCE.numpy(), (22, 30), "lanczos"))

    gradient, losses = started.gradient(SOURCE)

    seen = network.forward(SOURCE, ["relu2_1"])[0]["relu2_1"][0].flatten(1)
    target = network.forward(smaller, ["relu2_1"])[0]["relu2_1"][0].flatten(1)
    gram, wanted = seen @ seen.T / seen.numel(), target @ target.T / target.numel()
    assert gradient.any()
    assert losses["relu2_1"] == pytest.approx(float((gram - wanted).square().mean()), rel=1e-5)


def test_a_content_layer_may_be_deeper_than_the_smaller_source_reaches() -> None:
    """Only Gram targets are taken at that size: 50 × 0.1 pixels have no pool4 left to hold."""
    fields = {"content_weight": 1.0, "content_layers": ["pool4"], "pooling": "avg"}
    started = dream(layers={"relu1_1": 1.0}, style_scale=0.1, **fields)

    _, losses = started.gradient(SOURCE)

    assert losses["content:pool4"] == 0
    assert losses["relu1_1"] > 0


def test_a_content_weight_holds_the_picture_back() -> None:
    """The same dream with a content term ends nearer to the source's features."""
    network = thin_network()

    def strayed(**fields: Any) -> float:
        end = after(dream(network=network, layers={"relu4_1": 0.0}, **fields), 15)
        features = [network.forward(x, ["relu4_2"])[0]["relu4_2"] for x in (end, SOURCE)]
        return float((features[0] - features[1]).square().mean())

    assert strayed(content_weight=1e4) < 0.5 * strayed()


@pytest.mark.parametrize("optimizer", ["adam", "lbfgs"])
def test_a_repeat_has_the_same_bits(optimizer: str) -> None:
    """Same source, spec and plan."""
    one, other = (dream(layers={"relu4_1": 1000.0}, optimizer=optimizer) for _ in range(2))

    assert torch.equal(after(one, 8), after(other, 8))


@pytest.mark.parametrize("optimizer", ["adam", "lbfgs"])
@pytest.mark.parametrize("saved_at", [0, 1, 13])
def test_a_resumed_dream_has_the_same_bits(optimizer: str, saved_at: int) -> None:
    """Through a file, read back safely, into a dream made anew: pixels, losses and iteration."""
    fields = {"layers": {"relu4_1": 1000.0, "relu1_1": -2.0}, "optimizer": optimizer}
    undisturbed, killed, resumed = (dream(**fields) for _ in range(3))
    after(killed, saved_at)
    file = io.BytesIO()
    torch.save(killed.state_dict(), file)
    file.seek(0)

    resumed.load_state_dict(torch.load(file, weights_only=True))

    assert (resumed.iteration, resumed.looked) == (saved_at, False)
    after(undisturbed, saved_at)
    for _ in range(5):
        assert resumed.step() == undisturbed.step()
    assert torch.equal(resumed.picture(), undisturbed.picture())


@pytest.mark.parametrize("optimizer", ["adam", "lbfgs"])
def test_a_state_does_not_change_while_the_dream_goes_on(optimizer: str) -> None:
    """It is written to disk while the next step runs."""
    started = dream(layers={"relu2_1": 100.0}, optimizer=optimizer)
    after(started, 3)
    state = started.state_dict()
    picture = state["picture"].clone()

    after(started, 2)
    started.load_state_dict(state)

    assert torch.equal(started.picture(), picture)
    twin = dream(layers={"relu2_1": 100.0}, optimizer=optimizer)
    assert torch.equal(after(twin, 6), after(started, 3))


def test_a_state_that_is_not_copied_is_the_same_until_the_next_iteration() -> None:
    """Who writes it down before that needs no second picture, nor a second set of moments."""
    started = dream(layers={"relu2_1": 100.0})
    after(started, 3)
    copied, own = started.state_dict(), started.state_dict(copied=False)
    tensors = [(own["picture"], copied["picture"])]
    tensors += [(own["optimizer"][name], copied["optimizer"][name]) for name in ("mean", "square")]
    assert all(torch.equal(*pair) for pair in tensors)

    started.step()

    assert not any(torch.equal(*pair) for pair in tensors)


@pytest.mark.parametrize(
    ("other", "what"),
    [
        ({"layers": {"relu2_1": 99.0}}, r"spec\.layers\.relu2_1 100\.0, this dream has 99\.0"),
        ({"layers": {"relu2_2": 100.0}}, r"spec\.layers"),
        ({"learning_rate": 9.0}, r"spec\.learning_rate 10\.0, this dream has 9\.0"),
        ({"source": random_picture(2, 37, 50)}, "source"),
        ({"source": random_picture(1, 37, 49)}, "source"),
        ({"dtype": torch.float64}, r"plan\.dtype float32, this dream has float64"),
    ],
)
def test_a_state_of_another_dream_is_refused(other: dict[str, Any], what: str) -> None:
    """By what differs, and the dream that was to load it is as it was."""
    state = dream(layers={"relu2_1": 100.0}).state_dict()
    started = dream(**{"layers": {"relu2_1": 100.0}, **other})
    before = started.picture()

    with pytest.raises(StateRefused, match=what):
        started.load_state_dict({**state, "iteration": 5})

    assert started.iteration == 0
    assert torch.equal(started.picture(), before)


@pytest.fixture
def threads() -> Iterator[int]:
    """The number of threads now; put back afterwards."""
    before = torch.get_num_threads()
    yield before
    torch.set_num_threads(before)


def test_a_state_of_other_threads_is_refused_and_its_plan_can_be_taken_over(threads: int) -> None:
    """A resume makes the dream under the recorded plan; only then are the bits the same."""
    network, asked = thin_network(), spec(layers={"relu2_1": 100.0})
    started = Dream(SOURCE, asked, network=network)
    plan = replace(started.plan, threads=threads + 1)
    elsewhere = Dream(SOURCE, asked, network=network, plan=plan)
    state = elsewhere.state_dict()

    with pytest.raises(StateRefused, match=r"plan\.threads"):
        started.load_state_dict(state)

    Dream(SOURCE, asked, network=network, plan=plan).load_state_dict(state)


def test_more_iterations_go_on_from_a_state() -> None:
    """How long a dream lasts and which frames are kept doesn't decide where the pixels go."""
    short, longer = dream(iterations=3), dream(iterations=6, save_every=2, rounding="truncate")
    after(short, 3)

    longer.load_state_dict(short.state_dict())

    assert short.finished
    assert not longer.finished
    assert torch.equal(after(longer, 3), after(dream(iterations=6), 6))


@pytest.mark.parametrize("optimizer", ["adam", "lbfgs"])
def test_a_gradient_that_is_not_finite_never_reaches_the_picture(optimizer: str) -> None:
    """It is said which layer ran out of numbers; the picture and the iteration stay."""
    started = dream(SOURCE * 1e15, layers={"relu1_1": 2.0, "relu3_1": 1000.0}, optimizer=optimizer)
    before = started.picture()

    with pytest.raises(NotFinite, match=r"relu3_1.*not a finite number any more; lower the dose"):
        after(started, 1)

    assert torch.equal(started.picture(), before)
    assert started.iteration == 0


def test_a_gradient_whose_sum_is_no_number_any_more_is_followed_all_the_same() -> None:
    """Only what isn't a number itself is kept from the picture."""
    started = dream(layers={"relu3_1": 100.0})
    started.network.executor = Steep(started.network.executor)

    gradient, _ = started.gradient(SOURCE)

    assert torch.isfinite(gradient).all()
    assert not torch.isfinite(gradient.sum())


class Overflowing:
    """An executor whose gradient leaves the numbers, as often as it is told to."""

    def __init__(self, inner: Executor, times: int) -> None:
        self.inner, self.times = inner, times
        self.lean, self.gives = inner.lean, inner.gives

    def forward(
        self, picture: Tensor, layers: Sequence[Layer], asked: Collection[str], *equals: object
    ) -> tuple[dict[str, Tensor], ExecutorTape]:
        """Look, and make the way back lead nowhere."""
        features, tape = self.inner.forward(picture, layers, asked, *equals)
        self.times -= 1
        return features, tape if self.times < 0 else Nowhere(tape)


@dataclass
class Steep:
    """An executor whose gradient is large: one number everywhere."""

    inner: Executor
    lean = False
    gives = None

    def forward(
        self, picture: Tensor, layers: Sequence[Layer], asked: Collection[str], *equals: object
    ) -> tuple[dict[str, Tensor], "Steep"]:
        """Look; the way back is this object's own."""
        self._like = picture
        return self.inner.forward(picture, layers, asked, *equals)[0], self

    def backward(self, gradients: Mapping[str, Tensor]) -> Tensor:
        """Return the same at every value."""
        return torch.full_like(self._like, 1e35)


@dataclass
class Nowhere:
    """A tape that ends in infinity."""

    inner: ExecutorTape

    def backward(self, gradients: Mapping[str, Tensor]) -> Tensor:
        """Return what no picture may follow."""
        return self.inner.backward(gradients) * torch.inf


def test_a_step_that_runs_out_of_numbers_is_done_again_in_full_precision() -> None:
    """The picture follows a finite gradient, the step says so, and the next one is fast again."""
    fields = {"layers": {"relu3_1": 100.0}}
    plan = Plan.make(torch.device("cpu"), torch.float32, Way("direct", "fast"))
    network = thin_network().run_by(plan.way)
    network.executor = Overflowing(network.executor, times=1)
    started = Dream(SOURCE, spec(**fields), network=network, plan=plan)

    first, second = started.step(), started.step()

    assert first.note == "the gradient: not finite in 16 bit, done again in full precision"
    assert second.note == ""
    undisturbed = Dream(SOURCE, spec(**fields), network=thin_network(), plan=plan)
    assert torch.isfinite(started.picture()).all()
    assert float((after(undisturbed, 2) - started.picture()).abs().mean()) < 0.03


def test_the_precision_that_runs_is_in_spec_plan_and_state() -> None:
    """`auto` is settled when the dream starts; posted again, its spec asks for the same."""
    probe = Probe(measure=lambda _, ways: Paces(dict.fromkeys(ways, 1.0)))
    started = Dream(SOURCE, spec(), network=thin_network(), probe=probe)

    assert spec().precision == "auto"
    assert started.spec.precision == started.plan.precision == "exact"
    assert started.state_dict()["plan"]["precision"] == "exact"
    again = Dream(SOURCE, started.spec, network=thin_network(), probe=probe)
    assert torch.equal(after(again, 2), after(started, 2))


def test_a_state_from_before_there_was_a_precision_is_read() -> None:
    """Its spec has no such field, and its plan is the reference's."""
    started = dream(layers={"relu2_1": 100.0})
    after(started, 2)
    state = started.state_dict()
    assert "precision" not in state["spec"]

    resumed = dream(layers={"relu2_1": 100.0}, precision="exact")
    resumed.load_state_dict(state)

    assert torch.equal(after(resumed, 1), after(started, 1))


@pytest.mark.parametrize("optimizer", ["adam", "lbfgs"])
@pytest.mark.parametrize("precision", ["exact", "balanced", "fast"])
def test_a_dream_goes_on_to_the_bit_in_any_precision(precision: str, optimizer: str) -> None:
    """Saved, loaded into a dream made anew under the recorded plan, and undisturbed."""
    plan = Plan.make(torch.device("cpu"), torch.float32, Way("direct", precision))
    asked = spec(layers={"relu4_1": 1000.0, "relu1_1": -2.0}, optimizer=optimizer)
    undisturbed, killed, resumed = (
        Dream(SOURCE, asked, network=thin_network(), plan=plan) for _ in range(3)
    )
    after(killed, 3)

    resumed.load_state_dict(killed.state_dict())

    assert torch.equal(after(resumed, 3), after(undisturbed, 6))


def test_who_asks_for_float64_is_not_given_16_bit() -> None:
    """Unless by name: auto is exact there, however fast fewer bits are."""
    seconds = {"exact": 9.0, "balanced": 3.0, "fast": 1.0}
    probe = Probe(measure=lambda _, ways: Paces({way: seconds[way.precision] for way in ways}))
    network = thin_network(dtype=torch.float64)

    assert Dream(SOURCE, spec(), network=network, probe=probe).plan.precision == "exact"
    by_name = spec(precision="fast")
    assert Dream(SOURCE, by_name, network=network, probe=probe).plan.precision == "fast"


def test_the_picture_is_a_copy_and_not_clamped() -> None:
    """What a caller does to it doesn't reach the dream; saving clamps, dreaming doesn't."""
    started = dream(layers={"relu2_1": 1000.0}, learning_rate=100.0)
    picture = after(started, 2)
    kept = picture.clone()

    picture.zero_()

    assert torch.equal(started.picture(), kept)
    assert kept.max() > 1
    assert kept.min() < 0


def test_an_array_and_a_tensor_dream_the_same() -> None:
    """What dream_core.picture gives is an array; neither is written to."""
    array = SOURCE.numpy().copy()
    array.flags.writeable = False

    from_array = Dream(array, spec(), network=thin_network())

    assert torch.equal(after(from_array, 2), after(dream(), 2))
    np.testing.assert_array_equal(array, SOURCE.numpy())


def test_a_picture_with_nothing_left_at_the_layer_is_refused() -> None:
    """Before anything runs. Average pools round down, so a side of 15 has no pool4."""
    with pytest.raises(NothingToSee, match="pool4 has no position"):
        dream(random_picture(1, 15, 40), layers={"pool4": 1000.0}, pooling="avg")


@pytest.mark.parametrize("shape", [(1, 3, 20, 20), (4, 20, 20), (20, 20)])
def test_what_is_not_a_picture_is_refused(shape: tuple[int, ...]) -> None:
    """(3, H, W) and nothing else: a batch or an alpha channel is a caller's mistake."""
    with pytest.raises(ValueError, match=r"a picture is \(3, height, width\), not"):
        dream(torch.zeros(shape))


def test_a_gradient_is_asked_at_the_size_of_the_source_only() -> None:
    """Targets are of one size; another would be divided by the wrong number."""
    with pytest.raises(ValueError, match=r"\(3, 37, 49\), the dream \(3, 37, 50\)"):
        dream().gradient(SOURCE[:, :, 1:])


def test_a_network_that_is_not_the_specs_is_refused() -> None:
    """A warm network under the wrong spec would dream something else without a word."""
    with pytest.raises(ValueError, match="pooling max, the dream asks for avg"):
        Dream(SOURCE, spec(pooling="avg"), network=thin_network(pooling="max"))


def test_missing_weights_say_how_to_bring_them(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Making a dream never reaches outside: fetching is the pull's matter."""
    monkeypatch.setenv("DREAM_MODEL_DIR", str(tmp_path))

    with pytest.raises(WeightsMissing, match="run `dream models pull vgg19`"):
        Dream(SOURCE, spec())


def test_a_dream_finds_its_weights_in_the_models_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """By the catalogue alone, a model of the user's own too."""
    model = thin_model(name="mine")
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "model.json").write_text(model.model_dump_json())
    save_file(random_weights(model, 19), folder / "weights.safetensors")
    monkeypatch.setenv("DREAM_MODEL_DIR", str(tmp_path))

    found = Dream(SOURCE, spec(model="mine", layers={"relu2_1": 10.0}))

    assert torch.equal(after(found, 1), after(dream(layers={"relu2_1": 10.0}), 1))
