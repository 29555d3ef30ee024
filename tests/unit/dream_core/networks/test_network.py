from collections.abc import Collection, Sequence

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from dream_core.errors import UnknownLayer
from dream_core.executors import ExecutorTape
from dream_core.executors.autograd import Autograd
from dream_core.model import IMAGENET, PICTURE, Layer, Model, Origin, Preprocessing
from dream_core.networks import Network, load_network
from tests.branches import BRANCHES
from tests.thin import random_picture, random_weights, thin_model, thin_network


def network_of(
    layers: Sequence[Layer],
    weights: dict[str, Tensor] | None = None,
    *,
    preprocessing: Preprocessing = IMAGENET,
    dtype: torch.dtype = torch.float64,
) -> Network:
    """Load a network of these layers alone."""
    model = Model(
        name="small",
        title="for tests",
        layers=tuple(layers),
        preprocessing=preprocessing,
        default_layer=layers[-1].name,
        content_layer=layers[-1].name,
        origin=Origin(kind="file", name="random"),
    )
    return load_network(model, weights or random_weights(model, 5), pooling="max", dtype=dtype)


def one(layer: Layer, features: Tensor) -> Tensor:
    """Return what one layer makes of three channels."""
    plain = Preprocessing(order="RGB", scale=1, mean=(0, 0, 0))
    found, _ = network_of([layer], preprocessing=plain).forward(features, [layer.name])
    return found[layer.name][0]


class Recorder:
    """An executor that tells what it was asked to run."""

    def __init__(self, inner: Autograd) -> None:
        self.inner, self.lean = inner, inner.lean
        self.ran: list[str] = []

    def forward(
        self, picture: Tensor, layers: Sequence[Layer], asked: Collection[str], *equals: object
    ) -> tuple[dict[str, Tensor], ExecutorTape]:
        """Write down the layers, then run them."""
        self.ran = [layer.name for layer in layers]
        return self.inner.forward(picture, layers, asked, *equals)


def test_a_network_runs_no_deeper_than_the_deepest_layer_asked() -> None:
    """A dream at relu2_1 must not pay for relu5_1, nor need a picture large enough for it."""
    network = thin_network()
    recorder = Recorder(network.executor)
    network.executor = recorder

    features, _ = network.forward(random_picture(1, 20, 20), ["relu2_1", "conv1_1"])

    assert recorder.ran[-1] == "relu2_1"
    assert len(recorder.ran) == 7
    assert list(features) == ["conv1_1", "relu2_1"]


def test_a_branch_that_nobody_asked_for_does_not_run() -> None:
    """In a network with branches, no wider than needed either."""
    network = network_of(BRANCHES)
    recorder = Recorder(network.executor)
    network.executor = recorder

    network.forward(random_picture(1, 20, 20).double(), ["soft"])

    assert recorder.ran == ["stem", "norm", "leaky", "wide", "soft"]


def test_features_are_untouched_by_the_layers_behind_them() -> None:
    """The 2015 program's in-place ReLU overwrote a convolution's features; here they stay."""
    network = thin_network()
    picture = random_picture(2, 17, 23)

    alone, _ = network.forward(picture, ["conv1_2"])
    together, _ = network.forward(picture, ["conv1_2", "relu1_2", "relu3_1"])

    assert together["conv1_2"].min() < 0
    assert torch.equal(alone["conv1_2"], together["conv1_2"])


def test_features_are_detached_from_any_graph() -> None:
    """Objectives may differentiate on a leaf of their own, never through the network."""
    features, _ = thin_network().forward(random_picture(2, 17, 23), ["relu1_1", "relu2_1"])

    assert all(tensor.is_leaf and not tensor.requires_grad for tensor in features.values())


def test_gradients_at_several_layers_add_up() -> None:
    """What arrives from deeper layers is added to a layer's own."""
    network = thin_network(dtype=torch.float64)
    picture = random_picture(3, 21, 18).double()
    features, tape = network.forward(picture, ["relu1_2", "conv3_1"])
    pulls = {name: torch.cos(tensor) for name, tensor in features.items()}

    together = tape.backward(pulls)

    apart = []
    for name, pull in pulls.items():
        _, tape = network.forward(picture, ["relu1_2", "conv3_1"])
        apart.append(tape.backward({name: pull}))
    assert_close(together, apart[0] + apart[1])


def test_a_layer_that_does_not_exist_is_named_with_the_nearest_right_ones() -> None:
    """The 2015 program skipped it in silence."""
    with pytest.raises(UnknownLayer, match=r"no layer 'relu6_1'; did you mean .*relu5_1"):
        thin_network().forward(random_picture(1, 20, 20), ["relu1_1", "relu6_1"])


@pytest.mark.parametrize(("height", "width"), [(23, 32), (24, 31), (19, 19)])
def test_features_have_the_sizes_that_the_model_foretells(height: int, width: int) -> None:
    """The API refuses pictures by these sizes, without torch."""
    network = network_of(BRANCHES)
    model = network.model
    picture = random_picture(1, height, width).double()

    features, _ = network.forward(picture, model.layer_names)

    foretold = model.sizes(model.layer_names, height, width)
    assert {name: tuple(tensor.shape[1:]) for name, tensor in features.items()} == {
        name: (model.by_name[name].channels, *foretold[name]) for name in model.layer_names
    }


def test_the_way_back_is_the_derivative_of_the_way_forth() -> None:
    """Through every primitive, its options, two meeting branches, the preprocessing; float64."""
    network = network_of(BRANCHES)
    picture = random_picture(4, 13, 16).double()
    features, tape = network.forward(picture, ["far", "leaky"])
    generator = torch.Generator().manual_seed(6)
    pulls = {
        name: torch.randn(tensor.shape, generator=generator, dtype=torch.float64)
        for name, tensor in features.items()
    }
    direction = torch.randn(picture.shape, generator=generator, dtype=torch.float64)

    gradient = tape.backward(pulls)

    def value(step: float) -> float:
        seen, _ = network.forward(picture + step * direction, ["far", "leaky"])
        return sum(float((seen[name] * pulls[name]).sum()) for name in pulls)

    slope = (value(1e-6) - value(-1e-6)) / 2e-6
    assert float((gradient * direction).sum()) == pytest.approx(slope, rel=1e-7)


def test_the_picture_reaches_a_vgg_as_bgr_in_steps_of_256_without_the_mean() -> None:
    """× 256, not 255: the 2015 program's scale. And a gradient comes back by the same way."""
    mirror = Layer(name="mirror", kind="convolution", inputs=(PICTURE,), channels=3)
    weights = {"mirror.weight": torch.eye(3).view(3, 3, 1, 1), "mirror.bias": torch.zeros(3)}
    network = network_of([mirror], weights, preprocessing=Preprocessing(), dtype=torch.float32)
    picture = torch.tensor([0.25, 0.5, 1.0]).view(3, 1, 1)

    features, tape = network.forward(picture, ["mirror"])
    gradient = tape.backward({"mirror": torch.tensor([1.0, 2.0, 3.0]).view(1, 3, 1, 1)})

    expected = torch.tensor([256 - 103.939, 128 - 116.779, 64 - 123.68])
    assert_close(features["mirror"].flatten(), expected)
    assert gradient.flatten().tolist() == [3 * 256, 2 * 256, 1 * 256]


def test_response_normalisation_is_caffes() -> None:
    """Over the n channels around: x / (k + α / n · Σ x²)^β; no channel lies beyond the last."""
    features = random_picture(7, 2, 3).double() * 9
    layer = Layer(
        name="norm",
        kind="local_response_norm",
        inputs=(PICTURE,),
        channels=3,
        size=3,
        alpha=0.5,
        beta=0.6,
        k=2.0,
    )

    found = one(layer, features).numpy()

    squares = np.pad(features.numpy() ** 2, ((1, 1), (0, 0), (0, 0)))
    window = squares[:-2] + squares[1:-1] + squares[2:]
    np.testing.assert_allclose(found, features.numpy() / (2 + 0.5 / 3 * window) ** 0.6)


@pytest.mark.parametrize(("counts", "corner"), [(True, 4 / 9), (False, 1.0)])
def test_an_average_pool_counts_its_padding_or_does_not(counts: bool, corner: float) -> None:
    """Caffe and torch7 differ here from Google's Inception."""
    layer = Layer(
        name="pool",
        kind="average_pool",
        inputs=(PICTURE,),
        channels=3,
        kernel=(3, 3),
        padding=(1, 1),
        counts_padding=counts,
    )

    pooled = one(layer, torch.ones(3, 5, 5, dtype=torch.float64))

    assert float(pooled[0, 0, 0]) == pytest.approx(corner)
    assert float(pooled[0, 2, 2]) == pytest.approx(1.0)


@pytest.mark.parametrize(("pooling", "size"), [("max", (27, 19)), ("avg", (26, 18))])
def test_average_pooling_rounds_down_where_max_pooling_rounds_up(
    pooling: str, size: tuple[int, int]
) -> None:
    """As in 2015, measured on its 53 × 37 picture."""
    network = load_network(thin_model(), random_weights(thin_model(), 1), pooling=pooling)

    features, _ = network.forward(random_picture(1, 53, 37), ["pool1"])

    assert tuple(features["pool1"].shape[2:]) == size


def test_two_looks_at_one_picture_have_the_same_bits() -> None:
    """Dreams are chaotic: a repeat and a resume rest on this."""
    network = thin_network()
    picture = random_picture(8, 40, 33)

    def look() -> Tensor:
        features, tape = network.forward(picture, ["relu2_2", "relu5_1"])
        return tape.backward(features)

    assert torch.equal(look(), look())
