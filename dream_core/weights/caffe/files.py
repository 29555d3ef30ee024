"""The two files of a Caffe network → one form: a list of `Layer` messages, blobs by layer name.

Caffe had two formats. Until 2014 layers were in a field `layers`, their types an enum and their
blobs' shapes four numbers; since then they are in a field `layer`, with types as strings.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from google.protobuf import text_format
from google.protobuf.message import DecodeError

from dream_core.errors import ModelRefused
from dream_core.weights.caffe.caffe_pb2 import (
    TEST,
    TRAIN,
    Blob,
    Layer,
    Net,
    Rule,
    V1Layer,
)

LARGEST_PROTOTXT = 16 * 2**20  # ResNet-152's has 0.1 MB
LARGEST_WEIGHTS = 2**31 - 1  # no protobuf message is larger
MOST_LAYERS = 10_000

# Enum names of the first format that aren't the later type with its words in capitals.
_LATER_TYPES = {
    "HDF5_DATA": "HDF5Data",
    "LRN": "LRN",
    "MVN": "MVN",
    "RELU": "ReLU",
    "SOFTMAX_LOSS": "SoftmaxWithLoss",
}


def read_graph(file: Path) -> Net:
    """Return the network of a prototxt as Caffe would run it to test, layers in the later form.

    Raises:
        ModelRefused: not a readable prototxt, or it has no layers.
    """
    text = _read(file, LARGEST_PROTOTXT, "a prototxt")
    net = Net()
    try:
        text_format.Parse(text.decode(), net, allow_unknown_field=True)
    except UnicodeDecodeError as error:
        raise ModelRefused(
            str(file), "is not text; give the .prototxt here and the .caffemodel as weights"
        ) from error
    except (text_format.ParseError, RecursionError) as error:
        reason = f"is not a prototxt that can be read: {str(error)[:200]}"
        raise ModelRefused(str(file), reason) from error
    layers = [layer for layer in _layers(net, file) if _tested(layer)]
    if not layers:
        raise ModelRefused(str(file), "has no layers; give the deploy or train_val prototxt")
    if len(layers) > MOST_LAYERS:
        raise ModelRefused(str(file), f"has {len(layers)} layers, the limit is {MOST_LAYERS}")
    del net.layers[:], net.layer[:]
    net.layer.extend(layers)
    return net


def read_blobs(file: Path) -> dict[str, Sequence[Blob]]:
    """Return the blobs of every layer that has some, by the layer's name.

    Raises:
        ModelRefused: not a readable caffemodel, or it has no weights.
    """
    net = Net()
    try:
        net.ParseFromString(_read(file, LARGEST_WEIGHTS, "a caffemodel"))
    except (DecodeError, RecursionError) as error:
        raise ModelRefused(
            str(file), "is not a caffemodel, or it is cut off; download it again"
        ) from error
    layers: tuple[Layer | V1Layer, ...] = (*net.layers, *net.layer)
    # A damaged name comes as bytes; made a string, it is like no layer's.
    blobs: dict[str, Sequence[Blob]] = {str(one.name): one.blobs for one in layers if one.blobs}
    if not blobs:
        raise ModelRefused(str(file), "holds no weights; is it a .caffemodel?")
    return blobs


def as_array(blob: Blob) -> np.ndarray | None:
    """Return a blob as float32 in its own shape; None where its shape and its data disagree."""
    shape = tuple(blob.shape.dim) if blob.HasField("shape") else _four(blob)
    data = np.array(blob.double_data or blob.data, np.float32)
    if min(shape, default=1) < 0 or np.prod(shape, dtype=object) != data.size:
        return None
    return data.reshape(shape)


def _four(blob: Blob) -> tuple[int, ...]:
    return (blob.num, blob.channels, blob.height, blob.width)


def _read(file: Path, limit: int, what: str) -> bytes:
    try:
        if not file.is_file():
            there = "is not a file" if file.exists() else "there is no such file"
            raise ModelRefused(str(file), there)
        size = file.stat().st_size
        if size > limit:
            raise ModelRefused(str(file), f"has {size} bytes, the limit of {what} is {limit}")
        return file.read_bytes()
    except OSError as error:
        raise ModelRefused(str(file), f"can't be read: {error.strerror}") from error


def _layers(net: Net, file: Path) -> list[Layer]:
    if any(not layer.HasField("type") and layer.name == "" for layer in net.layers):
        # Caffe's oldest format, of 2013, has a `layer` inside `layers`.
        raise ModelRefused(
            str(file), "is in Caffe's format of 2013; run Caffe's upgrade_net_proto_text on it"
        )
    return [_in_later_form(layer) for layer in net.layers] + list(net.layer)


def _in_later_form(old: V1Layer) -> Layer:
    layer = Layer(name=old.name, type=_later_type(V1Layer.Type.Name(old.type)))
    for field, value in old.ListFields():
        if field.name not in ("name", "type"):
            theirs = getattr(layer, field.name)
            theirs.extend(value) if field.is_repeated else theirs.CopyFrom(value)
    return layer


def _later_type(enum: str) -> str:
    return _LATER_TYPES.get(enum) or "".join(word.capitalize() for word in enum.split("_"))


def _tested(layer: Layer) -> bool:
    """Whether Caffe runs the layer when it tests: phase TEST, level 0, no stage."""
    if layer.include:
        return any(_holds(rule) for rule in layer.include)
    if layer.HasField("phase") and layer.phase == TRAIN:
        return False
    return not any(_holds(rule) for rule in layer.exclude)


def _holds(rule: Rule) -> bool:
    return (
        (not rule.HasField("phase") or rule.phase == TEST)
        and rule.min_level <= 0
        and (not rule.HasField("max_level") or rule.max_level >= 0)
        and not rule.stage
    )
