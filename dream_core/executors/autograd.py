"""The reference executor: torch's own operators, contiguous NCHW, plain autograd."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from dream_core.executors.executor import Given
from dream_core.executors.ties import NONE, Ties
from dream_core.model import PICTURE, Layer


class Autograd:
    """Run any list of primitive layers; differentiate with torch.autograd."""

    lean = False
    gives: torch.dtype | None = None

    def __init__(self, weights: Mapping[str, Tensor]) -> None:
        """Keep the convolutions' tensors, `LAYER.weight` and `LAYER.bias`."""
        self._weights = weights

    def forward(
        self,
        picture: Tensor,
        layers: Sequence[Layer],
        asked: Collection[str],
        ties: Ties = NONE,  # noqa: ARG002 (they do so here by themselves)
    ) -> tuple[dict[str, Tensor], "AutogradTape"]:
        """Run `layers` in order; see `Executor.forward`."""
        last_reader = {name: layer.name for layer in layers for name in layer.inputs}
        leaf = picture.detach().requires_grad_()
        alive = {PICTURE: leaf}
        outputs: dict[str, Tensor] = {}
        with torch.enable_grad():
            for layer in layers:
                alive[layer.name] = run_layer(
                    layer, self._weights, [alive[name] for name in layer.inputs]
                )
                if layer.name in asked:
                    outputs[layer.name] = alive[layer.name]
                # Autograd keeps what the way back needs; anything else goes as early as it can.
                for name in set(layer.inputs):
                    if last_reader[name] == layer.name:
                        del alive[name]
        features = {name: output.detach() for name, output in outputs.items()}
        return features, AutogradTape(leaf, outputs)


class AutogradTape:
    """The graph of one look, from its features back to what the network ate."""

    def __init__(self, leaf: Tensor, outputs: Mapping[str, Tensor]) -> None:
        """Keep the graph until `backward` has used it up."""
        self._leaf = leaf
        self._outputs = outputs

    def backward(self, gradients: Mapping[str, Given]) -> Tensor:
        """Return d loss / d input; see `ExecutorTape.backward`."""
        if not gradients:
            return torch.zeros_like(self._leaf)
        outputs = [self._outputs[name] for name in gradients]
        given = [own if isinstance(own, Tensor) else own(None) for own in gradients.values()]
        return pull_back(outputs, given, self._leaf)


def pull_back(outputs: Sequence[Tensor], given: Sequence[Tensor], leaf: Tensor) -> Tensor:
    """Return the gradient at a leaf, given those at outputs that were computed from it."""
    # Handed to torch.autograd.grad itself, they would make it import all of sympy to compare
    # their shapes: 0.7 s of the first iteration of a process, and 40 MB.
    with torch.enable_grad():
        pulled = _Pulled.apply(given, *outputs)
    (gradient,) = torch.autograd.grad(pulled, leaf)
    return gradient


class _Pulled(torch.autograd.Function):
    """A number whose gradients are those that were given, to the bit."""

    @staticmethod
    def forward(context: Any, given: Sequence[Tensor], *outputs: Tensor) -> Tensor:
        context.given = given
        return outputs[0].new_zeros(())

    @staticmethod
    def backward(context: Any, *_: Tensor) -> tuple[Tensor | None, ...]:
        return None, *context.given


def cropped(inputs: Sequence[Tensor]) -> list[Tensor]:
    """Cut branches that rounded their sizes differently to their common top left part."""
    height = min(tensor.shape[2] for tensor in inputs)
    width = min(tensor.shape[3] for tensor in inputs)
    return [tensor[:, :, :height, :width] for tensor in inputs]


def run_layer(layer: Layer, weights: Mapping[str, Tensor], inputs: Sequence[Tensor]) -> Tensor:
    """Return what one layer makes of its inputs."""
    # Nothing here writes in place: the input may be features that were asked for.
    (first, *_) = inputs
    match layer.kind:
        case "convolution":
            weight, bias = weights[f"{layer.name}.weight"], weights[f"{layer.name}.bias"]
            step = (layer.stride, layer.padding, layer.dilation, layer.groups)
            result = functional.conv2d(first, weight, bias, *step)
        case "relu":
            slope = layer.negative_slope
            result = functional.leaky_relu(first, slope) if slope else functional.relu(first)
        case "max_pool" | "average_pool":
            result = _pool(layer, first)
        case "concatenate":
            result = torch.cat(cropped(inputs), dim=1)
        case "add":
            result = torch.stack(cropped(inputs)).sum(0)
        case "local_response_norm":
            result = functional.local_response_norm(
                first, layer.size, layer.alpha, layer.beta, layer.k
            )
    return result


def _pool(layer: Layer, features: Tensor) -> Tensor:
    window = (layer.kernel, layer.stride, layer.padding)
    if layer.kind == "max_pool":
        return functional.max_pool2d(features, *window, layer.dilation, ceil_mode=layer.rounds_up)
    return functional.avg_pool2d(
        features, *window, ceil_mode=layer.rounds_up, count_include_pad=layer.counts_padding
    )
