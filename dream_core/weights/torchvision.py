"""torchvision's own weights: from a state dict to the tensors of our layers. Imports no torch."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dream_core.errors import ModelRefused
from dream_core.model import Model
from dream_core.weights.batch_norm import fold

if TYPE_CHECKING:  # the tensors are only ever asked for their numbers
    from torch import Tensor

Numbers = NDArray[np.float32]

# A state dict doesn't hold it: torchvision's own where the weights came from TensorFlow's graphs.
_EPSILON = {"googlenet": 1e-3, "inception_v3": 1e-3}
_USUAL_EPSILON = 1e-5


def convert(model: Model, state: "Mapping[str, Tensor]") -> dict[str, Numbers]:
    """Return LAYER.weight and LAYER.bias of every convolution of `model`, batch norm folded in.

    Args:
        model: one of those whose `origin` is torchvision.
        state: what `state_dict()` of torchvision's network gives, on any device. Its classifier
            is left aside.

    Raises:
        ModelRefused: a tensor is missing or doesn't fit its layer.
    """
    theirs = _Theirs(model.origin.name, state)
    tensors: dict[str, Numbers] = {}
    for index, layer in enumerate(model.layers):
        if layer.kind != "convolution":
            continue
        if model.origin.name.startswith("vgg"):  # a plain list there as here: the place is the name
            weight, bias = theirs.convolution(f"features.{index}")
        else:
            weight, bias = theirs.normalized(*_modules(layer.name))
        if (weight.shape[0], *weight.shape[2:]) != (layer.channels, *layer.kernel):
            raise ModelRefused(model.origin.name, f"{layer.name} can't have {weight.shape} weights")
        tensors[f"{layer.name}.weight"], tensors[f"{layer.name}.bias"] = weight, bias
    return tensors


class _Theirs:
    """A state dict of torchvision's, read convolution by convolution."""

    def __init__(self, name: str, state: "Mapping[str, Tensor]") -> None:
        self._name = name
        self._state = state

    def convolution(self, module: str) -> tuple[Numbers, Numbers]:
        """Return weight and bias as they are."""
        return self._read(f"{module}.weight"), self._read(f"{module}.bias")

    def normalized(self, module: str, norm: str) -> tuple[Numbers, Numbers]:
        """Return weight and bias of a convolution with the batch norm that follows it."""
        return fold(
            self._read(f"{module}.weight"),
            scale=self._read(f"{norm}.weight"),
            shift=self._read(f"{norm}.bias"),
            mean=self._read(f"{norm}.running_mean"),
            variance=self._read(f"{norm}.running_var"),
            epsilon=_EPSILON.get(self._name, _USUAL_EPSILON),
        )

    def _read(self, key: str) -> Numbers:
        if key not in self._state:
            raise ModelRefused(self._name, f"there is no tensor {key} in it")
        numbers: NDArray[Any] = self._state[key].detach().cpu().float().numpy()
        return numbers


def _modules(layer: str) -> tuple[str, str]:
    """Return torchvision's convolution and batch norm for a layer of ours."""
    if layer.endswith(".downsample"):
        return f"{layer}.0", f"{layer}.1"
    path, _, number = layer.rpartition("conv")  # conv has bn beside it, conv2 has bn2
    return layer, f"{path}bn{number}"
