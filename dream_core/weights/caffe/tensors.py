"""Caffe's blobs → tensors by our names, with batch normalisation and scaling folded in."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from dream_core.errors import ModelRefused, nearest
from dream_core.model import Layer
from dream_core.weights.caffe import caffe_pb2 as pb
from dream_core.weights.caffe.files import as_array


class Tensors:
    """The tensors made so far: `LAYER.weight` (O, I / groups, kh, kw), `LAYER.bias` (O,)."""

    def __init__(self, blobs: Mapping[str, Sequence[pb.Blob]], file: Path) -> None:
        """Take the blobs of `file`, by layer."""
        self.made: dict[str, np.ndarray] = {}
        self._blobs = blobs
        self._file = file

    def take_convolution(self, caffe: pb.Layer, layer: Layer, inputs: int) -> None:
        """Take weight and bias of a convolution that reads `inputs` channels."""
        biased = caffe.convolution_param.bias_term
        shape = (layer.channels, inputs // layer.groups, *layer.kernel)
        given = self._arrays(layer.name, [shape, (layer.channels,)][: 1 + biased])
        self.made[f"{layer.name}.weight"] = given[0]
        self.made[f"{layer.name}.bias"] = (
            given[1] if biased else np.zeros(layer.channels, np.float32)
        )

    def affine(self, caffe: pb.Layer, channels: int) -> tuple[np.ndarray, np.ndarray]:
        """Return factor and offset per channel, float64, of a BatchNorm or Scale layer."""
        each = (channels,)
        if caffe.type == "Scale":
            biased = caffe.scale_param.bias_term
            given = self._arrays(caffe.name, [each, each][: 1 + biased])
            offset = given[1] if biased else np.zeros(channels)
            return given[0].astype(np.float64), offset.astype(np.float64)
        mean, variance, count = self._arrays(caffe.name, [each, each, (1,)])
        # Caffe stores sums over `count` batches, not their means; no batch at all counts as zero.
        share = 1 / float(count[0]) if count[0] else 0.0
        spread = variance.astype(np.float64) * share + caffe.batch_norm_param.eps
        if not np.all(spread > 0):
            raise self._refuse(caffe.name, "has a variance below zero")
        factor = 1 / np.sqrt(spread)
        return factor, -mean.astype(np.float64) * share * factor

    def fold(self, convolution: str, factor: np.ndarray, offset: np.ndarray) -> None:
        """Scale what a convolution makes: y = factor · (W x + b) + offset."""
        weight, bias = self.made[f"{convolution}.weight"], self.made[f"{convolution}.bias"]
        self.made[f"{convolution}.weight"] = _float32(weight * factor[:, None, None, None])
        self.made[f"{convolution}.bias"] = _float32(bias * factor + offset)

    def make_depthwise(self, name: str, factor: np.ndarray, offset: np.ndarray) -> None:
        """Make the tensors of a 1 × 1 convolution with a group per channel."""
        self.made[f"{name}.weight"] = _float32(factor[:, None, None, None])
        self.made[f"{name}.bias"] = _float32(offset)

    def _arrays(self, name: str, shapes: Sequence[tuple[int, ...]]) -> list[np.ndarray]:
        if name not in self._blobs:
            names = ", ".join(nearest(name, list(self._blobs), limit=3))
            raise self._refuse(
                name, f"has no weights here ({names} have); give the prototxt of these weights"
            )
        given = [as_array(blob) for blob in self._blobs[name]]
        if len(given) != len(shapes):
            raise self._refuse(
                name, f"has {len(given)} tensors, the prototxt asks for {len(shapes)}"
            )
        return [
            self._shaped(name, array, shape) for array, shape in zip(given, shapes, strict=True)
        ]

    def _shaped(self, name: str, array: np.ndarray | None, shape: tuple[int, ...]) -> np.ndarray:
        """Return the tensor in `shape`, from which Caffe's older files differ by leading ones."""
        if array is None:
            raise self._refuse(
                name, "has a tensor whose data don't fill its shape; the file is damaged"
            )
        if _without_leading_ones(array.shape) != _without_leading_ones(shape):
            raise self._refuse(name, f"has weights of {array.shape}, the prototxt asks for {shape}")
        if not np.all(np.isfinite(array)):
            raise self._refuse(name, "has weights that are not finite numbers")
        return array.reshape(shape)

    def _refuse(self, name: str, reason: str) -> ModelRefused:
        return ModelRefused(str(self._file), f"layer '{name}' {reason}")


def _without_leading_ones(shape: tuple[int, ...]) -> tuple[int, ...]:
    while shape and shape[0] == 1:
        shape = shape[1:]
    return shape


def _float32(array: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(array, np.float32)
