from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional
from torch.testing import assert_close

from dream_core.executors.packed import Packed, packs, turns
from dream_core.executors.rooms import Rooms, lent
from dream_core.model import PICTURE, Layer

# In float32, which oneDNN lays out on every CPU: sums are added up in another order.
RTOL, ATOL = 1e-5, 1e-4
KINDS = [
    {"kernel": (3, 3), "padding": (1, 1)},
    {"kernel": (1, 7), "padding": (0, 3)},
    {"kernel": (5, 3), "padding": (0, 2), "dilation": (1, 2)},
    {"kernel": (1, 1)},
]


def drawn(*shape: int) -> Tensor:
    """Return random numbers, channels last."""
    numbers = torch.randn(shape, generator=torch.Generator().manual_seed(len(shape)))
    return numbers.contiguous(memory_format=torch.channels_last)


def layer_of(**fields: Any) -> Layer:
    """Return a convolution from 16 channels to 24."""
    return Layer(name="one", kind="convolution", inputs=(PICTURE,), channels=24, **fields)


@pytest.mark.parametrize("stride", [(1, 1), (2, 2)])
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: str(kind["kernel"]))
def test_a_layout_convolves_as_the_weights_do_at_any_size(
    kind: dict[str, Any], stride: tuple[int, int]
) -> None:
    """Bits don't depend on the size that it was first made for: workers keep networks."""
    layer = layer_of(**kind, stride=stride)
    weight, features = drawn(24, 16, *layer.kernel), drawn(1, 16, 9, 14)
    bias = torch.ones(24)
    where = (layer.stride, layer.padding, layer.dilation)
    expected = functional.conv2d(features, weight, bias, *where)

    here = Packed.forth(layer, weight, features.shape).convolve(features, bias)
    elsewhere = Packed.forth(layer, weight, (1, 16, 64, 80)).convolve(features, bias)

    assert_close(here, expected, rtol=RTOL, atol=ATOL)
    assert torch.equal(here, elsewhere)
    assert here.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("stride", [(1, 1), (2, 2)])
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: str(kind["kernel"]))
def test_a_large_convolution_has_the_same_bits_in_a_room_whatever_was_there(
    kind: dict[str, Any], stride: tuple[int, int]
) -> None:
    """It adds to what it finds, so the room is emptied first; a NaN of before doesn't stay."""
    layer = layer_of(**kind, stride=stride)
    weight, features = drawn(24, 16, *layer.kernel), drawn(1, 16, 270, 250)
    packed, bias = Packed.forth(layer, weight, features.shape), torch.ones(24)
    expected = packed.convolve(features, bias)
    house = Rooms()
    left = house.features(torch.float32, *expected.shape[1:]).fill_(torch.nan)
    lies = left.data_ptr()
    del left

    with lent(house):
        found = packed.convolve(features, bias, packed.room(features))

    assert found.data_ptr() == lies
    assert torch.equal(found, expected)
    assert found.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: str(kind["kernel"]))
def test_turned_round_weights_lead_back(kind: dict[str, Any]) -> None:
    """To what autograd finds, wherever the stride is 1 and no padding is wider than a window."""
    layer = layer_of(**kind)
    weight, features = drawn(24, 16, *layer.kernel), drawn(1, 16, 9, 14).requires_grad_()
    out = functional.conv2d(features, weight, None, layer.stride, layer.padding, layer.dilation)
    gradient = drawn(*out.shape)
    (expected,) = torch.autograd.grad(out, features, gradient)

    found = Packed.back(layer, weight, gradient.shape).convolve(gradient, None)

    assert turns(layer)
    assert_close(found, expected, rtol=RTOL, atol=ATOL)


def test_other_layers_are_left_to_torch() -> None:
    """Strides and wide paddings can't be turned round; groups and float32 gain nothing."""
    one = layer_of(kernel=(1, 1))

    assert not turns(layer_of(kernel=(3, 3), stride=(2, 2)))
    assert not turns(layer_of(kernel=(1, 1), padding=(1, 1)))
    assert not packs(one, drawn(1, 16, 4, 4))
    assert not packs(layer_of(kernel=(1, 1), groups=2), drawn(1, 16, 4, 4).bfloat16())
