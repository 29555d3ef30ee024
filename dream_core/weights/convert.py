"""What lies in the archives → tensors by our names. A pickle is never loaded unrestricted."""

import pickle
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from dream_core.errors import ModelRefused
from dream_core.model import Model

Tensors = dict[str, np.ndarray]


def convert(model: Model, file: Path) -> Tensors:
    """Return the tensors of a built-in model from the file in its package's archive."""
    return _CONVERSIONS[model.name](model, file)


def from_sequence(model: Model, file: Path) -> Tensors:
    """Read a torch state dict whose keys are places in a sequence: `2.weight`, `2.bias`, `5.…`.

    The first, a 1 × 1 convolution that prepares the picture for × 255, is left out: our own
    preprocessing is × 256.
    """
    import torch

    state = torch.load(file, map_location="cpu", weights_only=True)
    places = sorted({int(key.split(".")[0]) for key in state})
    kept = [place for place in places if state[f"{place}.weight"].shape[2:] != (1, 1)]
    pairs = [(state[f"{place}.weight"].numpy(), state[f"{place}.bias"].numpy()) for place in kept]
    return _in_order(model, file, pairs)


def from_flax(model: Model, file: Path) -> Tensors:
    """Read a pickle of numpy arrays: `Conv_0` … `Conv_12`, kernels (kh, kw, I, O).

    Raises:
        ModelRefused: the pickle holds anything but arrays, or other ones.
    """
    try:
        with file.open("rb") as stream:
            tree = _ArraysOnly(stream).load()
        layers = next(branch for name, branch in tree.items() if name.startswith("VGG"))
        convolutions = [layers[f"Conv_{place}"] for place in range(len(layers))]
        pairs = [(one["kernel"].transpose(3, 2, 0, 1), one["bias"]) for one in convolutions]
    except (pickle.UnpicklingError, EOFError, StopIteration, *_MISSHAPEN) as error:
        raise ModelRefused(str(file), f"is not a pickle of a VGG's arrays: {error}") from error
    return _in_order(model, file, pairs)


def _from_inception(_: Model, file: Path) -> Tensors:
    from dream_core.weights.inception import convert_inception

    return convert_inception(file)


_MISSHAPEN = (AttributeError, KeyError, TypeError, ValueError)

_CONVERSIONS: Mapping[str, Callable[[Model, Path], Tensors]] = {
    "vgg19": from_sequence,
    "vgg16": from_flax,
    "inception_v3": _from_inception,
}


# What a pickled array is made of; numpy 2 renamed the home of the first.
_OF_ARRAYS: Mapping[tuple[str, str], Any] = {
    ("numpy.core.multiarray", "_reconstruct"): np.empty(0).__reduce__()[0],
    ("numpy._core.multiarray", "_reconstruct"): np.empty(0).__reduce__()[0],
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
}


class _ArraysOnly(pickle.Unpickler):
    """Admits what numpy's arrays are made of, and nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _OF_ARRAYS:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}")
        return _OF_ARRAYS[module, name]


def _in_order(model: Model, file: Path, pairs: list[tuple[np.ndarray, np.ndarray]]) -> Tensors:
    """Give the model's convolutions their weights and biases in order."""
    names = [layer.name for layer in model.layers if layer.kind == "convolution"]
    if len(names) != len(pairs):
        raise ModelRefused(str(file), f"has {len(pairs)} convolutions, {model.name} {len(names)}")
    tensors: Tensors = {}
    for name, (weight, bias) in zip(names, pairs, strict=True):
        tensors[f"{name}.weight"], tensors[f"{name}.bias"] = weight, bias
    return tensors
