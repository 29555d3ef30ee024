"""A `.caffemodel` and its `.prototxt` → a `Model` and its tensors. Needs no torch.

Layers keep Caffe's names, in-place ones too (`relu1_1`). Batch normalisation and scaling are folded
into the convolution they follow; where something else reads that convolution, or none is there,
they become a 1 × 1 convolution of their own with a group per channel.

Source: Caffe's layer definitions: max and average pools round up, average pools count padding but
not what hangs over it.
"""

from math import isfinite
from pathlib import Path

import numpy as np

from dream_core.errors import ModelRefused
from dream_core.model import PICTURE, Layer, Model, Origin
from dream_core.weights.caffe import caffe_pb2 as pb
from dream_core.weights.caffe.files import read_blobs, read_graph
from dream_core.weights.caffe.graph import Node, readers, resolve
from dream_core.weights.caffe.shapes import convolution, pool
from dream_core.weights.caffe.tensors import Tensors

TRIAL_SIZE = 224  # what nearly all of them were trained at


def read_caffe(
    weights: Path, prototxt: Path, name: str | None = None
) -> tuple[Model, dict[str, np.ndarray]]:
    """Return the network of two Caffe files and its tensors, named and shaped as in our own files.

    Args:
        weights: `.caffemodel`, either format.
        prototxt: deploy or train_val, either format; of the latter the TEST phase counts.
        name: of the model; the weights' file name without its suffix where not given.

    Raises:
        ModelRefused: names the file, the layer and the way out.
    """
    net = read_graph(prototxt)
    _check_channels(net, prototxt)
    nodes = resolve(net, prototxt)
    built = _Builder(Tensors(read_blobs(weights), weights), prototxt, readers(nodes))
    for node in nodes:
        built.add(node)
    layers = tuple(built.layers.values())
    model = Model(
        name=name or weights.stem,
        title=f"{_printable(net.name) or prototxt.stem}, from {weights.name}",
        layers=layers,
        default_layer=_default(layers),
        content_layer=_content(layers),
        origin=Origin(kind="file", name=weights.name),
    )
    _check_sizes(model, prototxt)
    return model, built.tensors.made


class _Builder:
    """The layers so far, by name."""

    def __init__(self, tensors: Tensors, file: Path, readers: dict[str, int]) -> None:
        self.tensors = tensors
        self.layers: dict[str, Layer] = {}
        self._file = file
        self._readers = readers
        self._stands_for: dict[str, str] = {}  # a folded layer → the convolution that does its work

    def add(self, node: Node) -> None:
        """Make one layer of Caffe's one of ours, or fold it."""
        inputs = tuple(self._stands_for.get(name, name) for name in node.inputs)
        channels = [self._channels(name) for name in inputs]
        match node.layer.type:
            case "Convolution":
                self._put(convolution(node.layer, inputs, channels[0], self._file))
                self.tensors.take_convolution(node.layer, self.layers[node.layer.name], channels[0])
            case "BatchNorm" | "Scale":
                self._add_affine(node.layer, inputs[0], node.inputs[0])
            case "Pooling":
                self._put(pool(node.layer, inputs, channels[0], self._file))
            case _:
                self._put(self._simple(node.layer, inputs, channels))

    def _put(self, layer: Layer) -> None:
        self.layers[layer.name] = layer

    def _channels(self, name: str) -> int:
        return 3 if name == PICTURE else self.layers[name].channels

    def _add_affine(self, caffe: pb.Layer, source: str, read: str) -> None:
        channels = self._channels(source)
        factor, offset = self.tensors.affine(caffe, channels)
        producer = self.layers.get(source)
        if producer and producer.kind == "convolution" and self._readers[read] == 1:
            self.tensors.fold(source, factor, offset)
            self._stands_for[caffe.name] = source
            return
        own = Layer(
            name=caffe.name,
            kind="convolution",
            inputs=(source,),
            channels=channels,
            groups=channels,
        )
        self._put(own)
        self.tensors.make_depthwise(caffe.name, factor, offset)

    def _simple(self, caffe: pb.Layer, inputs: tuple[str, ...], channels: list[int]) -> Layer:
        name, lrn = caffe.name, caffe.lrn_param
        if not all(map(isfinite, (caffe.relu_param.negative_slope, lrn.alpha, lrn.beta, lrn.k))):
            raise ModelRefused(str(self._file), f"layer '{name}' has a value that is not finite")
        if caffe.type == "ReLU":
            slope = caffe.relu_param.negative_slope
            return Layer(
                name=name, kind="relu", inputs=inputs, channels=channels[0], negative_slope=slope
            )
        if caffe.type == "Concat":
            return Layer(name=name, kind="concatenate", inputs=inputs, channels=sum(channels))
        if caffe.type == "Eltwise":
            if len(set(channels)) > 1:
                raise ModelRefused(
                    str(self._file), f"layer '{name}' adds layers of {channels} channels"
                )
            return Layer(name=name, kind="add", inputs=inputs, channels=channels[0])
        if lrn.local_size > 2 * channels[0]:
            raise ModelRefused(
                str(self._file),
                f"layer '{name}' has local_size {lrn.local_size} over {channels[0]} channels",
            )
        return Layer(
            name=name,
            kind="local_response_norm",
            inputs=inputs,
            channels=channels[0],
            size=lrn.local_size,
            alpha=lrn.alpha,
            beta=lrn.beta,
            k=lrn.k,
        )


def _check_channels(net: pb.Net, file: Path) -> None:
    shapes = [tuple(shape.dim) for shape in net.input_shape] or [tuple(net.input_dim[:4])]
    shapes += [tuple(s.dim) for layer in net.layer for s in layer.input_param.shape[:1]]
    given = next((shape for shape in shapes if shape), None)
    if given and (len(given) != 4 or given[1] != 3):
        raise ModelRefused(
            str(file), f"its input has the shape {given}; a picture has 3 channels: (1, 3, H, W)"
        )


def _check_sizes(model: Model, file: Path) -> None:
    """Refuse layers that join what differs in size, as Caffe does when it sets a network up."""
    sizes = model.sizes(model.layer_names, TRIAL_SIZE, TRIAL_SIZE)
    for layer in model.layers:
        joined = {sizes[name] for name in layer.inputs}
        if len(joined) > 1:
            raise ModelRefused(
                str(file),
                f"layer '{layer.name}' joins layers of different sizes: "
                f"{', '.join(f'{h} × {w}' for h, w in sorted(joined))} at {TRIAL_SIZE} pixels",
            )


def _printable(text: str) -> str:
    return "".join(filter(str.isprintable, text))[:100]


def _default(layers: tuple[Layer, ...]) -> str:
    names = _rectified(layers)
    return "relu5_1" if "relu5_1" in names else names[-1]


def _content(layers: tuple[Layer, ...]) -> str:
    names = _rectified(layers)
    return "relu4_2" if "relu4_2" in names else names[len(names) // 2]


def _rectified(layers: tuple[Layer, ...]) -> list[str]:
    return [layer.name for layer in layers if layer.kind == "relu"] or [
        layer.name for layer in layers
    ]
