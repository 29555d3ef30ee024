"""Winograd in torch's operators, held to plain convolutions in float64."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from dream_core.executors import Way, tiled
from dream_core.executors.convolutions import TorchConvolutions
from dream_core.executors.rooms import Rooms, lent
from dream_core.executors.strips import Rows
from dream_core.forms.chain import Chain
from dream_core.model import PICTURE, Layer
from tests.thin import random_picture, thin_model
from tests.unit.dream_core.executors.test_ways import LAYERS, apart, network_of, pulled

SIZES = [(16, 24), (17, 23), (19, 22), (3, 5), (1, 1)]
INPUTS, OUTPUTS = 5, 7


def drawn(*shape: int) -> Tensor:
    """Return random numbers in float64, channels last."""
    numbers = torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(4))
    return numbers.contiguous(memory_format=torch.channels_last) if len(shape) == 4 else numbers


def whole(rows: Rows, read: Tensor) -> Tensor:
    """Return all rows that come of what is read."""
    return rows(read, (0, read.shape[2]), None)


def layer_to(channels: int) -> Layer:
    """Return a 3 × 3 convolution that gives so many channels."""
    sides = {"kernel": (3, 3), "padding": (1, 1)}
    return Layer(name="one", kind="convolution", inputs=(PICTURE,), channels=channels, **sides)


@pytest.fixture
def _for_any_layer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiled, "FEWEST_CHANNELS", 1)
    monkeypatch.setattr(tiled, "FEWEST_TILES", 1)


@pytest.mark.parametrize("at_once", [1, 36 * 6 * OUTPUTS * 2, tiled.POINTS_AT_ONCE])
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_both_ways_are_those_of_a_plain_convolution(
    size: tuple[int, int], at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At every border, a line of tiles at a time, a few, or all."""
    monkeypatch.setattr(tiled, "POINTS_AT_ONCE", at_once)
    features, bias = drawn(1, INPUTS, *size).requires_grad_(), drawn(OUTPUTS)
    weight = drawn(OUTPUTS, INPUTS, 3, 3).contiguous()
    expected = functional.conv2d(features, weight, bias, padding=1)
    gradient = drawn(*expected.shape).cos()
    (back,) = torch.autograd.grad(expected, features, gradient)

    found = whole(tiled.forth(weight, bias), features.detach())

    assert apart(found, expected.detach()) < 1e-14
    assert apart(whole(tiled.back(weight), gradient), back) < 1e-14
    assert found.is_contiguous(memory_format=torch.channels_last)


def test_in_float32_it_is_off_by_a_few_roundings() -> None:
    """At the widest layer that a network here has."""
    features, weight, bias = drawn(1, 512, 24, 32), drawn(512, 512, 3, 3).contiguous(), drawn(512)
    expected = functional.conv2d(features, weight, bias, padding=1)

    found = whole(tiled.forth(weight.float(), bias.float()), features.float())

    assert found.dtype == torch.float32
    assert apart(found.double(), expected) < 3e-6


def test_what_lies_in_a_room_does_not_matter() -> None:
    """The same bits, where another layer's values are, and where a NaN is."""
    features, weight, bias = drawn(1, 64, 48, 48), drawn(64, 64, 3, 3).contiguous(), drawn(64)
    fresh, house = whole(tiled.forth(weight, bias), features), Rooms()
    for size in (4_000_000, 3_000_000, 2_000_000):
        house.features(torch.float32, size, 1, 1).fill_(torch.nan)

    with lent(house):
        found = whole(tiled.forth(weight, bias), features)

    assert torch.equal(found, fresh)


@pytest.mark.usefixtures("_for_any_layer")
@pytest.mark.parametrize("size", [(37, 50), (64, 48)])
def test_a_network_by_tiles_is_the_reference(
    size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every layer of VGG-19 in float64 to 1e-12, and every 3 × 3 convolution of it both ways."""
    ran: list[str] = []
    for name in ("forth", "back"):
        plainly = getattr(tiled, name)
        monkeypatch.setattr(
            tiled, name, lambda *given, name=name, run=plainly: (ran.append(name), run(*given))[1]
        )
    reference, picture = network_of(thin_model(), torch.float64), random_picture(3, *size)
    expected, far = pulled(reference, picture, LAYERS)

    found, ours = pulled(reference.run_by(Way("direct", "exact")), picture, LAYERS)

    convolutions = sum(layer.kind == "convolution" for layer in thin_model().layers)
    assert ran == ["forth"] * convolutions + ["back"] * convolutions
    assert all(apart(found[name], expected[name]) < 1e-12 for name in LAYERS)
    assert apart(ours, far) < 1e-12


def test_it_runs_where_it_pays() -> None:
    """Deep layers of pictures that aren't tiny, whatever a pool has made of them; not in 16 bit."""
    read = torch.empty(1, 128, 20, 20)

    assert tiled.pays(read, 256, (40, 40))
    assert tiled.pays(read.double(), 256, (40, 40))
    assert not tiled.pays(read, 64, (40, 40))
    assert not tiled.pays(read[:, :64], 256, (40, 40))
    assert not tiled.pays(read, 256, (36, 36))
    assert not tiled.pays(read.bfloat16(), 256, (40, 40))


def test_a_wide_layer_of_a_network_takes_it() -> None:
    """As it is, at 512 × 384 and conv3_2's width; the way back too."""
    layer = layer_to(128)
    features, weight = drawn(1, 128, 40, 48).float(), drawn(128, 128, 3, 3).float().contiguous()
    forms = TorchConvolutions({"one.weight": weight, "one.bias": torch.zeros(128)}, torch.float32)
    chain = Chain((layer,))

    out, _ = forms.forward(chain, features)
    back = forms.backward(chain, out.clone(), None, features.shape)

    assert torch.equal(out, whole(tiled.forth(weight, torch.zeros(128)), features))
    assert torch.equal(back, whole(tiled.back(weight), out))
