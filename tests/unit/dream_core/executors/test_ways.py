"""Every way of running a network, held to the reference in float64."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from dream_core import native
from dream_core.architectures.vgg import VGG16, VGG19
from dream_core.catalogue import Catalogue
from dream_core.dream import Dream
from dream_core.executors import REFERENCE, Plan, Way
from dream_core.executors.building import ways_here
from dream_core.model import PICTURE, Layer, Pooling
from dream_core.networks import Network, load_network
from dream_core.picture import read, working_source
from dream_core.spec import DreamSpec
from tests.branches import BRANCHES, model_of
from tests.thin import apart, gradient, network_of, patchwork, random_picture, staircase, thin_model

ROOT = Path(__file__).parents[4]

CPU = torch.device("cpu")
OTHERS = [way for way in ways_here(CPU) if way != REFERENCE]
EXACT = [way for way in OTHERS if way.precision == "exact"]
THIN = thin_model()
LAYERS = THIN.layer_names
DOSES = (-1000.0, -1.0, 0.0, 0.5, 1.0, 50.0, 1000.0)
# Relative L2 of a gradient against float64. At 512 × 384 real networks are held to 0.04 (balanced)
# and 0.4 (fast): narrow layers and small pictures average less out.
SCATTER = 1e-5  # where no value is near a kink: a few roundings, and Winograd's own
LIMITS = {"balanced": 0.1, "fast": 0.7}
# On real weights, one value at a kink that another order of sums puts beyond it. A photograph has
# few: on a picture of flat squares, whose windows tie, Winograd differs by 0.06.
FLIPPED = 3e-3

# The network of branches, and what the fast ways are likely to get wrong about it: windows that
# overlap, a ReLU behind a stride, a pool behind a concatenation.
STEM, NORM, LEAKY, WIDE, NARROW, SOFT, *_ = BRANCHES
MIXED = (
    *(STEM, NORM, LEAKY, WIDE.model_copy(update={"kernel": (3, 3)}), NARROW),
    Layer(name="alive", kind="relu", inputs=("narrow",), channels=4),
    SOFT,
    Layer(name="sum", kind="add", inputs=("soft", "alive"), channels=4),
    Layer(name="both", kind="concatenate", inputs=("wide", "sum", "alive"), channels=12),
    Layer(
        name="halved", kind="max_pool", inputs=("both",), channels=12, kernel=(2, 2), stride=(2, 2)
    ),
    Layer(
        name="far",
        kind="convolution",
        inputs=("halved",),
        channels=5,
        kernel=(1, 3),
        padding=(0, 2),
        dilation=(1, 2),
    ),
    Layer(name="last", kind="relu", inputs=("far",), channels=5),
)


def convolution(name: str, reads: str, side: int = 3) -> Layer:
    """Return a convolution of as few channels as the kernel takes that keeps the size."""
    window = {"kernel": (side, side), "padding": (side // 2, side // 2)}
    return Layer(name=name, kind="convolution", inputs=(reads,), channels=9, **window)


def pool(name: str, reads: str, **fields: object) -> Layer:
    """Return a max pool that halves the size."""
    shape = {"inputs": (reads,), "channels": 9, "kernel": (2, 2), "stride": (2, 2)}
    return Layer.model_validate({"name": name, "kind": "max_pool", **shape, **fields})


# What the kernel has made, read by every other form, forth and back; and by two at once.
BETWEEN = (
    convolution("first", PICTURE),
    Layer(name="alive", kind="relu", inputs=("first",), channels=9),
    convolution("wide", "alive", 5),
    convolution("second", "wide"),
    pool("halved", "second"),
    convolution("third", "halved"),
    Layer(name="norm", kind="local_response_norm", inputs=("third",), channels=9, size=3),
    convolution("fourth", "norm"),
    pool("soft", "fourth", kind="average_pool", kernel=(3, 3), stride=(1, 1), padding=(1, 1)),
    convolution("fifth", "soft"),
    Layer(name="sum", kind="add", inputs=("fifth", "fourth"), channels=9),
    convolution("left", "sum"),
    convolution("right", "sum"),
    Layer(name="both", kind="concatenate", inputs=("left", "right"), channels=18),
    convolution("last", "both"),
)


def pulled(network: Network, picture: Tensor, layers: Sequence[str]) -> tuple[dict, Tensor]:
    """Return features, and the gradient that some pull at them has."""
    features, tape = network.forward(picture.to(network.dtype), layers)
    pulls = {name: torch.cos(7 * tensor) for name, tensor in features.items()}
    before = {name: pull.clone() for name, pull in pulls.items()}
    gradient = tape.backward(pulls)
    assert all(torch.equal(pulls[name], before[name]) for name in pulls), "it wrote on the pulls"
    return features, gradient


@pytest.mark.parametrize("way", EXACT, ids=str)
@pytest.mark.parametrize("pooling", ["max", "avg"])
@pytest.mark.parametrize("rounds_up", [True, False])
@pytest.mark.parametrize("size", [(37, 50), (64, 48)])
def test_in_float64_it_is_the_reference(
    size: tuple[int, int], rounds_up: bool, pooling: Pooling, way: Way
) -> None:
    """Features and gradient, at every layer alone and all together, to 1e-12."""
    layers = thin_model().layers
    changed = {"rounds_up": rounds_up}
    rounded = [layer.model_copy(update=changed) if layer.is_pool else layer for layer in layers]
    model = thin_model().model_copy(update={"layers": tuple(rounded)})
    reference = network_of(model, torch.float64, pooling)
    network, picture = reference.run_by(way), random_picture(3, *size)

    for asked in [*([name] for name in LAYERS), list(LAYERS)]:
        expected, far = pulled(reference, picture, asked)
        found, ours = pulled(network, picture, asked)

        assert list(found) == list(expected)
        assert_close(found, expected, rtol=1e-12, atol=1e-12)
        assert apart(ours, far) < 1e-12


@pytest.mark.parametrize("way", EXACT, ids=str)
@pytest.mark.parametrize("asked", ["conv1_2", "conv2_2", "conv4_4"])
def test_a_pool_behind_a_relu_that_stands_alone_is_run(asked: str, way: Way) -> None:
    """A convolution that is asked ends its chain, and leaves its ReLU to the pool."""
    reference, picture = network_of(thin_model(), torch.float64), random_picture(3, 37, 50)

    expected, far = pulled(reference, picture, [asked, "conv5_1"])
    found, ours = pulled(reference.run_by(way), picture, [asked, "conv5_1"])

    assert_close(found, expected, rtol=1e-12, atol=1e-12)
    assert apart(ours, far) < 1e-12


@pytest.mark.parametrize("way", EXACT, ids=str)
def test_layers_of_every_kind_run_beside_each_other(way: Way) -> None:
    """What has no fast form runs as the reference does, between the others."""
    model = model_of("mixed", MIXED)
    reference, picture = network_of(model, torch.float64), random_picture(4, 27, 32)

    for asked in [*([name] for name in model.layer_names), list(model.layer_names), []]:
        expected, far = pulled(reference, picture, asked)
        found, ours = pulled(reference.run_by(way), picture, asked)

        assert_close(found, expected, rtol=1e-12, atol=1e-12)
        assert_close(ours, far, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("way", EXACT, ids=str)
@pytest.mark.parametrize("rounds_up", [True, False])
def test_an_odd_row_counts_under_a_max_pool_that_rounds_up_and_else_not(
    rounds_up: bool, way: Way
) -> None:
    """In float32, which is what the kernel takes: each layer alone and all together."""
    changed = {"rounds_up": rounds_up}
    layers = [layer.model_copy(update=changed) if layer.is_pool else layer for layer in THIN.layers]
    model = THIN.model_copy(update={"layers": tuple(layers)})
    sharp, plain = network_of(model, torch.float64), network_of(model)
    picture = random_picture(3, 37, 51)

    for asked in [*([name] for name in LAYERS), list(LAYERS)]:
        fields = {"layers": dict.fromkeys(asked, 1000.0), "image_size": 51}
        expected = gradient(sharp, REFERENCE, picture, **fields)
        scatter = apart(gradient(plain, REFERENCE, picture, **fields), expected)
        found = gradient(plain, way, picture, **fields)

        assert apart(found, expected) < max(2.5 * scatter, SCATTER), asked


@pytest.mark.parametrize("way", OTHERS, ids=str)
def test_what_the_kernel_makes_is_there_for_whoever_reads_it(way: Way) -> None:
    """Its calls wait for one another, and nothing else knows of that."""
    model = model_of("between", BETWEEN)
    sharp, plain = network_of(model, torch.float64), network_of(model)
    network, picture = plain.run_by(way), random_picture(4, 44, 52)

    for asked in [*([name] for name in model.layer_names), list(model.layer_names)]:
        expected, far = pulled(sharp, picture, asked)
        found, ours = pulled(network, picture, asked)

        scatter = apart(pulled(plain, picture, asked)[1].double(), far)
        limit = LIMITS.get(way.precision, max(2.5 * scatter, SCATTER))
        assert all(apart(found[name].double(), expected[name]) < limit for name in asked)
        assert apart(ours.double(), far) < limit, asked


@pytest.mark.parametrize("dose", [-1000.0, 0.0, 1000.0])
@pytest.mark.parametrize("pooling", ["max", "avg"])
@pytest.mark.parametrize("blocks", [VGG16, VGG19], ids=["vgg16", "vgg19"])
def test_a_gradient_is_as_near_as_its_precision_says(
    blocks: Sequence[int], pooling: Pooling, dose: float
) -> None:
    """At every layer alone and all together; exact within 2.5 times float32's own scatter."""
    model = thin_model(blocks)
    picture = random_picture(1, 45, 37)
    plain, sharp = (network_of(model, kind, pooling) for kind in (torch.float32, torch.float64))

    deep_enough = [name for name in model.layer_names if (name, pooling) != ("pool5", "avg")]
    for asked in [*([name] for name in deep_enough), deep_enough]:
        fields = {"layers": dict.fromkeys(asked, dose), "image_size": 45}
        expected = gradient(sharp, REFERENCE, picture, **fields)
        scatter = apart(gradient(plain, REFERENCE, picture, **fields), expected)
        for way in OTHERS:
            limit = LIMITS.get(way.precision, max(2.5 * scatter, SCATTER))
            assert apart(gradient(plain, way, picture, **fields), expected) < limit, (way, asked)


@pytest.mark.parametrize("rounds_up", [True, False])
@pytest.mark.parametrize("picture", [patchwork, staircase])
def test_where_windows_tie_a_gradient_is_as_near(
    picture: Callable[[int, int, int], Tensor], rounds_up: bool
) -> None:
    """At the source of a picture of flat parts, whatever a rounding makes the largest."""
    model = thin_model()
    changed = {"rounds_up": rounds_up}
    rounded = [each.model_copy(update=changed) if each.is_pool else each for each in model.layers]
    model = model.model_copy(update={"layers": tuple(rounded)})
    source = picture(1, 133, 98)
    plain, sharp = network_of(model), network_of(model, torch.float64)

    def at_source(network: Network, way: Way, asked: Sequence[str]) -> Tensor:
        spec = DreamSpec(model="vgg19", layers=dict.fromkeys(asked, 1000.0), image_size=133)
        plan = Plan.make(CPU, network.dtype, way)
        return Dream(source, spec, network=network, plan=plan).gradient(source)[0].double()

    # What is asked before a pool leaves that alone.
    for asked in (["relu2_1"], ["pool2"], ["relu1_2", "relu3_1"], ["relu4_1"]):
        expected = at_source(sharp, REFERENCE, asked)
        scatter = apart(at_source(plain, REFERENCE, asked), expected)
        for way in OTHERS:
            limit = LIMITS.get(way.precision, max(2.5 * scatter, SCATTER))
            assert apart(at_source(plain, way, asked), expected) < limit, (way, asked)


@pytest.mark.parametrize("off", [1.0, 0.9], ids=["at the source", "off it"])
def test_a_dose_near_one_is_measured_by_what_dose_0_pulls(off: float) -> None:
    """Relative to the gradient at dose 0 where the asked one vanishes.

    What is left near dose 1 is a difference of nearly equals, whose error is that of either. At the
    source, dose 1 leaves exactly zero.
    """
    source = random_picture(1, 45, 37)
    plain, sharp = network_of(thin_model()), network_of(thin_model(), torch.float64)

    def asked(network: Network, way: Way, dose: float) -> Tensor:
        spec = DreamSpec(model="vgg19", layers={"relu2_2": dose, "relu4_1": dose}, image_size=45)
        plan = Plan.make(CPU, network.dtype, way)
        return Dream(source, spec, network=network, plan=plan).gradient(source * off)[0].double()

    scale = asked(sharp, REFERENCE, 0.0).norm()
    for dose in DOSES:
        expected = asked(sharp, REFERENCE, dose)
        scatter = (asked(plain, REFERENCE, dose) - expected).norm()
        by = max(scale, expected.norm())
        for way in OTHERS:
            found = asked(plain, way, dose)
            error = float((found - expected).norm() / by)
            limit = max(2.5 * float(scatter / by), SCATTER)
            assert error < LIMITS.get(way.precision, limit), (way, dose)
            assert bool(found.any()) is ((dose, off) != (1.0, 1.0))


@pytest.mark.skipif(not native.available(), reason=native.reason())
@pytest.mark.parametrize(("channels", "taken"), [(8, 0), (9, 2)])
def test_convolutions_of_few_channels_are_torchs_own(
    channels: int, taken: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """But for that of the picture, for which the kernel has a form of its own."""
    calls = dict.fromkeys(("convolve", "pull_back", "convolve_picture"), 0)

    def count(name: str) -> None:
        kernels = getattr(native, name)

        def counted(*args: Tensor, **fields: object) -> object:
            calls[name] += 1
            return kernels(*args, **fields)

        monkeypatch.setattr(native, name, counted)

    for name in calls:
        count(name)
    network = network_of(thin_model((2, 1), (channels, 16))).run_by(Way("winograd", "exact"))

    pulled(network, random_picture(2, 17, 23), ["relu2_1"])

    assert calls == {"convolve": taken, "pull_back": taken, "convolve_picture": 1}


@pytest.mark.parametrize("way", OTHERS, ids=str)
def test_a_dose_of_one_moves_nothing_in_any_way(way: Way) -> None:
    """Exactly: targets are captured by the way that steps."""
    picture, network = random_picture(2, 33, 40), network_of(thin_model())
    spec = DreamSpec(model="vgg19", layers=dict.fromkeys(LAYERS, 1.0), image_size=40)

    dream = Dream(picture, spec, network=network, plan=Plan.make(CPU, torch.float32, way))
    found, losses = dream.gradient(picture)

    assert not found.any()
    assert set(losses.values()) == {0.0}


@pytest.mark.parametrize("way", OTHERS, ids=str)
def test_two_looks_have_the_same_bits_in_any_way(way: Way) -> None:
    """A repeat and a resume rest on this."""
    network, picture = network_of(thin_model()).run_by(way), random_picture(8, 40, 33)

    once, again = (pulled(network, picture, ["relu2_2", "relu5_1"])[1] for _ in range(2))

    assert torch.equal(once, again)


@pytest.mark.parametrize("way", OTHERS, ids=str)
def test_features_asked_are_untouched_by_the_layers_behind_them(way: Way) -> None:
    """A ReLU may work in place only where nobody looks at what it reads; nor are they copied."""
    network, picture = network_of(thin_model()).run_by(way), random_picture(2, 17, 23)

    alone, _ = network.forward(picture, ["conv1_2"])
    together, _ = network.forward(picture, ["conv1_2", "relu1_2", "pool1", "relu3_1"])

    assert together["conv1_2"].min() < 0
    assert torch.equal(alone["conv1_2"], together["conv1_2"])
    short = way.precision == "fast"
    assert together["conv1_2"].dtype == (torch.bfloat16 if short else torch.float32)


def test_real_weights_stay_within_the_limits() -> None:
    """VGG-19 as it dreams on a photograph, at a size that takes no time."""
    catalogue = Catalogue.load()
    model = catalogue["vgg19"]
    source, _ = working_source(read(ROOT / "examples" / "coffee.png"), (81, 121), "lanczos")
    picture = torch.as_tensor(source)
    plain, sharp = (
        load_network(model, catalogue.weights("vgg19"), pooling="max", dtype=kind)
        for kind in (torch.float32, torch.float64)
    )
    layers = {"relu1_1": 1000.0, "relu3_1": -1000.0, "relu5_1": 1000.0}
    fields = {"layers": layers, "normalize_gradients": True, "image_size": 121}

    expected = gradient(sharp, REFERENCE, picture, **fields)

    scatter = apart(gradient(plain, REFERENCE, picture, **fields), expected)
    limits = {"exact": max(2.5 * scatter, FLIPPED), "balanced": 0.04, "fast": 0.4}
    for way in OTHERS:
        assert apart(gradient(plain, way, picture, **fields), expected) < limits[way.precision], way
