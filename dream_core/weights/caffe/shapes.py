"""Kernels, strides and paddings: Caffe's three ways to write a pair → our (height, width)."""

from pathlib import Path

from dream_core.errors import ModelRefused
from dream_core.model import Layer
from dream_core.weights.caffe import caffe_pb2 as pb

LARGEST = 1024  # of a kernel, stride, padding or dilation: beyond sense, and beyond memory


def convolution(caffe: pb.Layer, inputs: tuple[str, ...], channels: int, file: Path) -> Layer:
    """Return our layer for one of Caffe's convolutions that reads `channels` channels."""
    said = caffe.convolution_param
    pairs = _Pairs(caffe.name, said, file)
    makes, groups = said.num_output, said.group
    if not makes or not groups or channels % groups or makes % groups:
        raise pairs.refuse(
            f"makes {makes} channels of {channels} in {groups} groups, which must divide both"
        )
    return Layer(
        name=caffe.name,
        kind="convolution",
        inputs=inputs,
        channels=makes,
        kernel=pairs.read("kernel_size", "kernel", None),
        stride=pairs.read("stride", "stride", 1),
        padding=pairs.read("pad", "pad", 0),
        dilation=pairs.read("dilation", "", 1),
        groups=groups,
    )


def pool(caffe: pb.Layer, inputs: tuple[str, ...], channels: int, file: Path) -> Layer:
    """Return our layer for one of Caffe's pools; torch pads by at most half a window, so do we."""
    said = caffe.pooling_param
    pairs = _Pairs(caffe.name, said, file)
    kernel, padding = pairs.read("kernel_size", "kernel", None), pairs.read("pad", "pad", 0)
    if any(2 * pad > length for pad, length in zip(padding, kernel, strict=True)):
        raise pairs.refuse(f"pads {padding} around a window of {kernel}; the limit is half of it")
    return Layer(
        name=caffe.name,
        kind="max_pool" if said.pool == pb.Pooling.MAX else "average_pool",
        inputs=inputs,
        channels=channels,
        kernel=kernel,
        stride=pairs.read("stride", "stride", 1),
        padding=padding,
        rounds_up=said.round_mode == pb.Pooling.CEIL,
    )


class _Pairs:
    """The (height, width) of everything that one layer says of its windows."""

    def __init__(self, layer: str, said: pb.Convolution | pb.Pooling, file: Path) -> None:
        self._layer = layer
        self._said = said
        self._file = file

    def read(self, field: str, stem: str, default: int | None) -> tuple[int, int]:
        """Return what stands in `stem_h` and `stem_w`, or in `field`: one for both, or one each."""
        each = self._numbers(field)
        if stem and (self._said.HasField(f"{stem}_h") or self._said.HasField(f"{stem}_w")):
            each = [getattr(self._said, f"{stem}_h"), getattr(self._said, f"{stem}_w")]
        if not each and default is not None:
            each = [default]
        if len(each) not in (1, 2):
            raise self.refuse(f"must have one {field}, or one for height and one for width")
        smallest = 0 if field == "pad" else 1
        if not all(smallest <= number <= LARGEST for number in each):
            raise self.refuse(f"has {field} {each}; each must be {smallest} to {LARGEST}")
        return each[0], each[-1]

    def refuse(self, reason: str) -> ModelRefused:
        """Return the error that names this layer."""
        return ModelRefused(str(self._file), f"layer '{self._layer}' {reason}")

    def _numbers(self, field: str) -> list[int]:
        if isinstance(self._said, pb.Convolution):
            return list(getattr(self._said, field))
        return [getattr(self._said, field)] if self._said.HasField(field) else []
