from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest

from dream_core.weights.caffe.caffe_pb2 import Net

Write = Callable[..., tuple[Path, Path]]


@pytest.fixture
def golden() -> Path:
    """The thin VGG-19 in both of Caffe's formats."""
    return Path(__file__).parents[4] / "golden" / "models"


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a caffemodel with these blobs and a prototxt; `picture` is declared unless given."""

    def write(
        prototxt: str,
        blobs: Mapping[str, Sequence[np.ndarray]] | None = None,
        head: str = 'input: "picture" input_shape { dim: 1 dim: 3 dim: 16 dim: 16 }',
    ) -> tuple[Path, Path]:
        net = Net()
        for name, arrays in (blobs or {}).items():
            layer = net.layer.add(name=name)
            for array in arrays:
                blob = layer.blobs.add(data=np.asarray(array, np.float32).ravel())
                blob.shape.dim.extend(np.shape(array))
        weights, text = tmp_path / "own.caffemodel", tmp_path / "own.prototxt"
        weights.write_bytes(net.SerializeToString())
        text.write_text(f"{head}\n{prototxt}")
        return weights, text

    return write


@pytest.fixture
def convolution() -> Callable[..., str]:
    """Text of one convolution, 1 × 1 unless `more` says otherwise."""

    def convolution(
        name: str = "conv", bottom: str = "picture", makes: int = 4, more: str = "kernel_size: 1"
    ) -> str:
        return (
            f'layer {{ name: "{name}" type: "Convolution" bottom: "{bottom}" top: "{name}" '
            f"convolution_param {{ num_output: {makes} {more} }} }}\n"
        )

    return convolution


@pytest.fixture
def random() -> np.random.Generator:
    """Seeded numbers."""
    return np.random.default_rng(7)
