"""A model and its weights become a network; what doesn't fit the model is refused by name."""

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from dream_core.errors import ModelRefused
from dream_core.executors.device import resolve_device
from dream_core.model import PICTURE, Layer, Model, Pooling
from dream_core.networks.network import Network


def load_network(
    model: Model,
    weights: Path | Mapping[str, Tensor],
    *,
    pooling: Pooling,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> Network:
    """Return the model ready to look at pictures.

    Args:
        model: the layers, as data.
        weights: a safetensors file, or tensors by name: `LAYER.weight`
            (channels, inputs / groups, kernel height, kernel width) and `LAYER.bias` (channels)
            for every convolution. Others are left alone.
        pooling: `avg` puts an average pool, rounding down, in place of every max pool.
        device: where it runs, as `resolve_device` takes it.
        dtype: what it computes in; float32 is the reference.

    Raises:
        DeviceMissing: the device isn't here.
        ModelRefused: a file that isn't safetensors; a tensor that is missing or of another shape.
    """
    expected = {
        name: shape
        for layer in model.layers
        if layer.kind == "convolution"
        for name, shape in _shapes(layer, model).items()
    }
    source = str(weights) if isinstance(weights, Path) else f"the weights of {model.name}"
    found = _read(weights, expected) if isinstance(weights, Path) else weights
    for name, shape in expected.items():
        _check(source, name, shape, found.get(name))
    device = resolve_device(device)
    ready = {
        name: found[name].detach().to(device=device, dtype=dtype).contiguous() for name in expected
    }
    return Network(model, ready, pooling=pooling, device=device, dtype=dtype)


def _shapes(layer: Layer, model: Model) -> dict[str, tuple[int, ...]]:
    (source,) = layer.inputs
    inputs = 3 if source == PICTURE else model.by_name[source].channels
    return {
        f"{layer.name}.weight": (layer.channels, inputs // layer.groups, *layer.kernel),
        f"{layer.name}.bias": (layer.channels,),
    }


def _read(path: Path, names: Mapping[str, object]) -> dict[str, Tensor]:
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys() if name in names}  # noqa: SIM118
    except SafetensorError as error:
        raise ModelRefused(str(path), f"it isn't safetensors that can be read ({error})") from error


def _check(source: str, name: str, expected: tuple[int, ...], tensor: Tensor | None) -> None:
    if tensor is None:
        raise ModelRefused(source, f"there is no tensor '{name}'; the model needs it")
    if tuple(tensor.shape) != expected:
        raise ModelRefused(
            source, f"'{name}' has shape {tuple(tensor.shape)}, the model needs {expected}"
        )
