"""What is refused of a state dict; that the rest is right is held in tests/contract."""

import pytest
import torch
from torch import Tensor

from dream_core.architectures import BUILT_IN
from dream_core.errors import ModelRefused
from dream_core.weights.torchvision import convert

VGG19 = BUILT_IN["vgg19_torchvision"]


def state() -> dict[str, Tensor]:
    """Return zeros shaped as torchvision's VGG-19 has its weights."""
    found, inputs = {}, 3
    for place, layer in enumerate(VGG19.layers):
        if layer.kind == "convolution":
            found[f"features.{place}.weight"] = torch.zeros(layer.channels, inputs, *layer.kernel)
            found[f"features.{place}.bias"] = torch.zeros(layer.channels)
            inputs = layer.channels
    return found


def test_a_state_that_lacks_a_tensor_is_refused() -> None:
    """The refusal names the tensor as torchvision does."""
    lacking = state()
    del lacking["features.2.bias"]

    with pytest.raises(ModelRefused, match=r"there is no tensor features\.2\.bias"):
        convert(VGG19, lacking)


def test_a_state_of_another_network_is_refused() -> None:
    """The refusal names the layer that can't be."""
    other = state() | {"features.5.weight": torch.zeros(64, 64, 3, 3)}

    with pytest.raises(ModelRefused, match="conv2_1 can't have"):
        convert(VGG19, other)


def test_what_belongs_to_the_classifier_is_left_aside() -> None:
    """Dreams end where the classifier begins."""
    tensors = convert(VGG19, state() | {"classifier.0.weight": torch.zeros(2, 2)})

    assert len(tensors) == 2 * 16
