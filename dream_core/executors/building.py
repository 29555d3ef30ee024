"""From a way of running a network and its weights to the executor."""

from collections.abc import Mapping

import torch
from torch import Tensor

from dream_core.executors.autograd import Autograd
from dream_core.executors.convolutions import TorchConvolutions
from dream_core.executors.direct import Direct
from dream_core.executors.executor import Executor
from dream_core.executors.way import REFERENCE, Way

# It has float32's range, so nothing has to be scaled; float16 ends at 65,504.
SIXTEEN_BIT = torch.bfloat16


def build(way: Way, weights: Mapping[str, Tensor], dtype: torch.dtype) -> Executor:
    """Return what runs layers with these weights, of `dtype`, in that way."""
    if way == REFERENCE:
        return Autograd(weights)
    own = TorchConvolutions(weights, dtype)
    half = TorchConvolutions(weights, SIXTEEN_BIT)
    match way.precision:
        case "exact":
            return Direct([own], [own])
        case "balanced":
            return Direct([own], [half])
        case "fast":
            return Direct([half], [half])
