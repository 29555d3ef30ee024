"""A prototxt's layers → who reads whom.

Caffe's layers read and write named blobs, often in place; ours read layers. Layers that only pass
their input on are skipped, and what depends on a layer where the network ends for us (a classifier,
say) is left out.
"""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from dream_core.errors import ModelRefused
from dream_core.model import PICTURE
from dream_core.weights.caffe.caffe_pb2 import (
    Eltwise,
    Layer,
    LocalResponseNorm,
    Net,
    Pooling,
)

logger = logging.getLogger(__name__)

LONGEST_NAME = 128
_INPUTS = (
    *("Input", "Data", "AnnotatedData", "DummyData", "HDF5Data", "ImageData"),
    *("MemoryData", "WindowData"),
)
_PASSED_ON = ("Dropout", "Split")
_ENDS = (  # what follows sees no picture any more, or trains
    *("InnerProduct", "Flatten", "Softmax", "SoftmaxWithLoss", "Accuracy", "ArgMax", "Silence"),
    *("EuclideanLoss", "HingeLoss", "InfogainLoss", "MultinomialLogisticLoss", "ContrastiveLoss"),
    *("SigmoidCrossEntropyLoss", "HDF5Output", "Reshape"),
)
_RUNS = (*("Convolution", "ReLU", "Pooling", "LRN", "Concat", "Eltwise", "BatchNorm", "Scale"),)


@dataclass
class Node:
    """A layer that we run and the names of the layers it reads (or PICTURE)."""

    layer: Layer
    inputs: tuple[str, ...]


@dataclass
class _Blobs:
    """What each blob holds by now: the layer that wrote it last, or why it can't be read."""

    writer: dict[str, str] = field(default_factory=dict)
    ended: dict[str, str] = field(default_factory=dict)  # blob → the layer where the network ended

    def write(self, tops: Iterable[str], name: str) -> None:
        for top in tops:
            self.writer[top] = name
            self.ended.pop(top, None)

    def end(self, tops: Iterable[str], name: str) -> None:
        for top in tops:
            self.ended[top] = name
            self.writer.pop(top, None)


def resolve(net: Net, file: Path) -> list[Node]:
    """Return the layers that can run, in order.

    Raises:
        ModelRefused: a name twice, a blob that nothing writes, no layer left.
    """
    blobs = _Blobs()
    blobs.write(net.input[:1], PICTURE)
    blobs.end(net.input[1:], "input")
    nodes: list[Node] = []
    names: set[str] = set()
    first_end = ""
    for layer in net.layer:
        if layer.type in _INPUTS and not layer.bottom:
            _take_input(layer, blobs)
            continue
        inputs = _inputs(layer, blobs, file)
        reason = _why_it_ends(layer)
        if inputs is None or reason:
            blobs.end(layer.top, layer.name)
            if inputs is not None and not _is_classifier(layer):
                first_end = first_end or f"layer '{layer.name}' {reason}"
                logger.warning("%s: stops at layer '%s', which %s", file, layer.name, reason)
        elif layer.type in _PASSED_ON:
            blobs.write(layer.top, inputs[0])
        else:
            _check_name(layer, names, file)
            nodes.append(Node(layer, inputs))
            blobs.write(layer.top, layer.name)
    if not nodes:
        raise ModelRefused(
            str(file), first_end or "no layer can be dreamed on: no convolution before its end"
        )
    return nodes


def readers(nodes: Sequence[Node]) -> dict[str, int]:
    """Return how many layers read each layer."""
    counts: dict[str, int] = {}
    for node in nodes:
        for name in node.inputs:
            counts[name] = counts.get(name, 0) + 1
    return counts


def _take_input(layer: Layer, blobs: _Blobs) -> None:
    """Make the first blob of the first data layer the picture; labels and the like are none."""
    seen = PICTURE in blobs.writer.values()
    blobs.write(layer.top[: 0 if seen else 1], PICTURE)
    blobs.end(layer.top[0 if seen else 1 :], layer.name)


def _inputs(layer: Layer, blobs: _Blobs, file: Path) -> tuple[str, ...] | None:
    """Return the layers read; None where one of them is beyond the network's end."""
    for bottom in layer.bottom:
        if bottom not in blobs.writer and bottom not in blobs.ended:
            raise ModelRefused(
                str(file),
                f"layer '{layer.name}' reads '{bottom}', which no layer before it writes; "
                "layers must stand in the order they run, without a cycle",
            )
    if any(bottom in blobs.ended for bottom in layer.bottom):
        return None
    return tuple(blobs.writer[bottom] for bottom in layer.bottom)


def _is_classifier(layer: Layer) -> bool:
    """Whether every network ends at such a layer, which is no news to anybody."""
    return layer.type in _ENDS or (layer.type == "Pooling" and layer.pooling_param.global_pooling)


def _why_it_ends(layer: Layer) -> str:
    """Return what we can't run about a layer, "" where we can."""
    if layer.type not in (*_RUNS, *_PASSED_ON):
        return f"is of type {layer.type or 'NONE'}, which can't be run here"
    many = layer.type in ("Concat", "Eltwise")
    if not layer.bottom or (len(layer.top) != 1 and layer.type != "Split"):
        return "must read a blob and write one"
    if len(layer.bottom) > 1 and not many:
        return f"reads {len(layer.bottom)} blobs; {layer.type} of one can be run here"
    return _why_its_values_end(layer)


def _why_its_values_end(layer: Layer) -> str:
    eltwise, concat, lrn = layer.eltwise_param, layer.concat_param, layer.lrn_param
    axis = concat.axis if concat.HasField("axis") else concat.concat_dim
    faults = {
        "Pooling": {
            "pools over the whole picture": layer.pooling_param.global_pooling,
            "pools at random": layer.pooling_param.pool == Pooling.STOCHASTIC,
        },
        "LRN": {"normalises within a channel": lrn.norm_region == LocalResponseNorm.WITHIN_CHANNEL},
        "Concat": {f"joins along axis {axis}, not channels": axis not in (1, -3)},
        "Eltwise": {
            "multiplies or compares; sums can be run here": eltwise.operation != Eltwise.SUM,
            "weighs what it sums": any(factor != 1 for factor in eltwise.coeff),
        },
        "Convolution": {
            "convolves along another axis": layer.convolution_param.axis not in (1, -3)
        },
        "Scale": {
            "scales along more than channels": layer.scale_param.axis not in (1, -3)
            or layer.scale_param.num_axes != 1
        },
    }
    return next((text for text, wrong in faults.get(layer.type, {}).items() if wrong), "")


def _check_name(layer: Layer, names: set[str], file: Path) -> None:
    name = layer.name
    if not name.isprintable() or not 0 < len(name) <= LONGEST_NAME or name == PICTURE:
        raise ModelRefused(
            str(file),
            f"has a layer named {name[:LONGEST_NAME]!r}; a name has 1 to {LONGEST_NAME} printable "
            f"characters and is not '{PICTURE}'",
        )
    if name in names:
        raise ModelRefused(str(file), f"has two layers named '{name}'; rename one in both files")
    names.add(name)
