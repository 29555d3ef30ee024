"""What lies in the archives becomes our tensors, and no pickle runs anything."""

import pickle
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal

from dream_core.errors import ModelRefused
from dream_core.model import Model
from dream_core.weights.convert import from_flax, from_sequence

Tensors = Mapping[str, np.ndarray]


def test_a_sequence_is_read_in_order_without_its_first_convolution(
    model: Model, tensors: Tensors, tmp_path: Path
) -> None:
    """The 1 × 1 convolution that scales the picture is left out; 17 comes after 2, not before."""
    file = tmp_path / "vgg.pth"
    state = {"0.weight": np.eye(3, dtype=np.float32)[:, :, None, None], "0.bias": np.zeros(3)}
    for place, name in (("17", "conv2_1"), ("2", "conv1_1")):
        state |= {f"{place}.{part}": tensors[f"{name}.{part}"] for part in ("weight", "bias")}
    torch.save({name: torch.from_numpy(array) for name, array in state.items()}, file)

    found = from_sequence(model, file)

    assert found.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert_array_equal(found[name], tensor)


def test_kernels_of_flax_are_turned_round(model: Model, tensors: Tensors, tmp_path: Path) -> None:
    """(kh, kw, I, O) becomes (O, I, kh, kw)."""
    file = tmp_path / "vgg.ckpt"
    layers = {
        f"Conv_{place}": {
            "kernel": tensors[f"{name}.weight"].transpose(2, 3, 1, 0),
            "bias": tensors[f"{name}.bias"],
        }
        for place, name in enumerate(("conv1_1", "conv2_1"))
    }
    file.write_bytes(pickle.dumps({"VGG16_0": layers, "NetLinLayer_0": {}}))

    found = from_flax(model, file)

    for name, tensor in tensors.items():
        assert_array_equal(found[name], tensor)


class _Bomb:
    """Unpickled without restraint, it would write a file."""

    def __init__(self, target: Path) -> None:
        self._target = target

    def __reduce__(self) -> tuple[object, ...]:
        return (open, (str(self._target), "w"))


def test_a_pickle_that_asks_for_more_than_arrays_is_refused(model: Model, tmp_path: Path) -> None:
    """A pickle is a program; this one gets no further than naming what it wants."""
    file, target = tmp_path / "bomb.ckpt", tmp_path / "written"
    file.write_bytes(pickle.dumps({"VGG16_0": _Bomb(target)}))

    with pytest.raises(ModelRefused, match=r"it asks for (_io|io)\.open"):
        from_flax(model, file)

    assert not target.exists()


@pytest.mark.parametrize("content", [b"", b"noise", pickle.dumps([1]), pickle.dumps({"VGG": 3})])
def test_a_pickle_of_something_else_is_refused(
    model: Model, tmp_path: Path, content: bytes
) -> None:
    """An empty, broken or foreign pickle has its sentence."""
    file = tmp_path / "other.ckpt"
    file.write_bytes(content)

    with pytest.raises(ModelRefused, match="not a pickle of a VGG's arrays"):
        from_flax(model, file)


def test_a_network_of_another_depth_is_refused(model: Model, tmp_path: Path) -> None:
    """One convolution more or less is not this model."""
    file = tmp_path / "vgg.ckpt"
    one = {"kernel": np.zeros((3, 3, 3, 2), np.float32), "bias": np.zeros(2, np.float32)}
    file.write_bytes(pickle.dumps({"VGG16_0": {"Conv_0": one}}))

    with pytest.raises(ModelRefused, match="has 1 convolutions, tiny 2"):
        from_flax(model, file)
