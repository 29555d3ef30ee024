"""Caffe's two files become a model whose layers and tensors are those that Caffe would run."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal

from dream_core.architectures.vgg import VGG19, vgg
from dream_core.model import CAFFE, PICTURE
from dream_core.weights import caffe as package
from dream_core.weights.caffe import read_caffe
from dream_core.weights.caffe.caffe_pb2 import Net

Write = Callable[..., tuple[Path, Path]]
Convolution = Callable[..., str]


def test_both_formats_give_the_same_network(golden: Path) -> None:
    """The same weights as Caffe wrote them until 2014 and since are equal, layer for layer."""
    text = golden / "thin_vgg19.prototxt"

    old, old_tensors = read_caffe(golden / "thin_vgg19.caffemodel", text)
    new, new_tensors = read_caffe(golden / "thin_vgg19_layer.caffemodel", text)

    assert old.layers == new.layers
    assert old_tensors.keys() == new_tensors.keys()
    for name, tensor in old_tensors.items():
        assert_array_equal(tensor, new_tensors[name])


def test_a_vgg_19_of_caffe_is_our_vgg_19(golden: Path) -> None:
    """Layer names, order and shapes are those of the catalogue, but for the thin widths."""
    model, tensors = read_caffe(
        golden / "thin_vgg19.caffemodel", golden / "thin_vgg19.prototxt", "thin"
    )

    assert model.layers == vgg(VGG19, pools_round_up=True, widths=(8, 8, 12, 16, 16))
    assert (model.name, model.default_layer, model.content_layer) == ("thin", "relu5_1", "relu4_2")
    assert model.preprocessing == CAFFE
    assert tensors["conv1_1.weight"].shape == (8, 3, 3, 3)
    assert tensors["conv5_4.bias"].dtype == np.float32


def test_a_convolution_keeps_everything_said_of_its_windows(
    write: Write, convolution: Convolution
) -> None:
    """Groups, dilation, and pairs in each of Caffe's three spellings."""
    text = (
        convolution("a", makes=6, more="kernel_h: 1 kernel_w: 7 pad_w: 3 group: 3 stride: 2")
        + convolution("b", "a", more="kernel_size: 3 kernel_size: 5 dilation: 2 pad: 2 pad: 4")
        + convolution("c", "b", more="kernel_size: 2 stride_h: 1 stride_w: 3 bias_term: false")
    )
    blobs = {
        "a": [np.zeros((6, 1, 1, 7)), np.zeros(6)],
        "b": [np.zeros((4, 6, 3, 5)), np.zeros(4)],
        "c": [np.ones((4, 4, 2, 2))],
    }

    model, tensors = read_caffe(*write(text, blobs))

    a, b, c = model.layers
    assert (a.kernel, a.padding, a.stride, a.groups) == ((1, 7), (0, 3), (2, 2), 3)
    assert (b.kernel, b.padding, b.dilation, b.stride) == ((3, 5), (2, 4), (2, 2), (1, 1))
    assert (c.kernel, c.stride, c.groups) == ((2, 2), (1, 3), 1)
    assert_array_equal(tensors["c.bias"], np.zeros(4))


def test_a_graph_with_branches_keeps_who_reads_whom(write: Write, convolution: Convolution) -> None:
    """What GoogLeNet is made of: LRN, a split, branches joined again, sums, pools with padding."""
    text = (
        convolution("stem", makes=4)
        + 'layer { name: "act" type: "ReLU" bottom: "stem" top: "stem" '
        "relu_param { negative_slope: 0.5 } }\n"
        'layer { name: "norm" type: "LRN" bottom: "stem" top: "norm" '
        "lrn_param { local_size: 3 alpha: 0.5 beta: 0.25 k: 2 } }\n"
        'layer { name: "drop" type: "Dropout" bottom: "norm" top: "norm" }\n'
        'layer { name: "fork" type: "Split" bottom: "norm" top: "left" top: "right" }\n'
        'layer { name: "near" type: "Pooling" bottom: "left" top: "near" '
        "pooling_param { pool: AVE kernel_size: 3 stride: 1 pad: 1 } }\n"
        'layer { name: "join" type: "Concat" bottom: "near" bottom: "right" top: "join" }\n'
        'layer { name: "sum" type: "Eltwise" bottom: "near" bottom: "right" top: "sum" }\n'
    )

    model, _ = read_caffe(*write(text, {"stem": [np.ones((4, 3, 1, 1)), np.ones(4)]}))

    by_name = model.by_name
    assert list(by_name) == ["stem", "act", "norm", "near", "join", "sum"]
    assert by_name["stem"].inputs == (PICTURE,)
    assert by_name["act"].inputs == ("stem",)
    assert by_name["act"].negative_slope == 0.5
    norm = by_name["norm"]
    assert (norm.inputs, norm.size, norm.alpha, norm.beta, norm.k) == (("act",), 3, 0.5, 0.25, 2.0)
    near = by_name["near"]
    assert (near.inputs, near.kind, near.rounds_up) == (("norm",), "average_pool", True)
    assert near.counts_padding
    assert by_name["join"].inputs == by_name["sum"].inputs == ("near", "norm")
    assert (by_name["join"].channels, by_name["sum"].channels) == (8, 4)


def test_max_pools_round_up_unless_the_file_says_otherwise(
    write: Write, convolution: Convolution
) -> None:
    """Caffe's rule, and the field with which later files ask for the other one."""
    pool = (
        'layer {{ name: "{0}" type: "Pooling" bottom: "conv" top: "{0}" '
        "pooling_param {{ kernel_size: 2 stride: 2 {1} }} }}\n"
    )
    text = convolution() + pool.format("up", "") + pool.format("down", "round_mode: FLOOR")

    model, _ = read_caffe(*write(text, {"conv": [np.ones((4, 3, 1, 1)), np.ones(4)]}))

    assert model.by_name["up"].rounds_up
    assert not model.by_name["down"].rounds_up


def test_the_network_ends_at_its_classifier(
    write: Write, convolution: Convolution, caplog: pytest.LogCaptureFixture
) -> None:
    """Layers that see no picture any more, and all that reads them, can't be asked for."""
    text = (
        convolution() + 'layer { name: "pool" type: "Pooling" bottom: "conv" top: "pool" '
        "pooling_param { pool: AVE global_pooling: true } }\n"
        'layer { name: "fc" type: "InnerProduct" bottom: "pool" top: "fc" }\n'
        'layer { name: "fc_relu" type: "ReLU" bottom: "fc" top: "fc" }\n'
        'layer { name: "prob" type: "Softmax" bottom: "fc" top: "prob" }\n'
        'layer { name: "act" type: "ReLU" bottom: "conv" top: "conv" }\n'
    )

    model, _ = read_caffe(*write(text, {"conv": [np.ones((4, 3, 1, 1)), np.ones(4)]}))

    assert model.layer_names == ("conv", "act")
    assert model.default_layer == "act"
    assert not caplog.records  # every network does: no news


def test_of_a_training_file_the_test_phase_counts(write: Write, convolution: Convolution) -> None:
    """Data layers named alike, labels, losses and what is left out when testing are no trouble."""
    data = (
        'layer {{ name: "data" type: "Data" top: "picture" top: "label" '
        "include {{ phase: {0} }} transform_param {{ mirror: true }} }}\n"
    )
    text = (
        data.format("TRAIN")
        + data.format("TEST")
        + convolution()
        + 'layer { name: "trained" type: "ReLU" bottom: "conv" top: "conv" '
        "include { phase: TRAIN } }\n"
        'layer { name: "tested" type: "ReLU" bottom: "conv" top: "conv" '
        "include { phase: TEST } exclude { phase: TRAIN } }\n"
        'layer { name: "noise" type: "ReLU" bottom: "conv" top: "conv" exclude { phase: TEST } }\n'
        'layer { name: "staged" type: "ReLU" bottom: "conv" top: "conv" '
        'include { phase: TEST stage: "deploy" } }\n'
        'layer { name: "fc" type: "InnerProduct" bottom: "conv" top: "fc" }\n'
        'layer { name: "loss" type: "SoftmaxWithLoss" bottom: "fc" bottom: "label" top: "loss" }\n'
    )

    model, _ = read_caffe(*write(text, {"conv": [np.ones((4, 3, 1, 1)), np.ones(4)]}, head=""))

    assert model.layer_names == ("conv", "tested")
    assert model.layers[0].inputs == (PICTURE,)


def test_only_the_first_input_is_the_picture(write: Write, convolution: Convolution) -> None:
    """What reads another, a size or a label, sees no picture and can't be asked for."""
    text = convolution() + convolution("other", "second")
    blobs = {"conv": [np.ones((4, 3, 1, 1)), np.ones(4)]}
    as_field = 'input: "picture" input: "second"'
    as_layer = 'layer { name: "data" type: "Input" top: "picture" top: "second" }'

    for head in (as_field, as_layer):
        model, _ = read_caffe(*write(text, blobs, head=head))

        assert model.layer_names == ("conv",)


def test_batch_norm_and_scale_are_folded_into_their_convolution(
    write: Write, convolution: Convolution, random: np.random.Generator
) -> None:
    """The folded convolution computes what convolution, BatchNorm and Scale did in turn."""
    weight, bias = random.normal(size=(4, 3, 1, 1)), random.normal(size=4)
    mean, variance = random.normal(size=4), random.uniform(0.1, 2, size=4)
    factor, offset = random.normal(size=4), random.normal(size=4)
    text = (
        convolution() + 'layer { name: "bn" type: "BatchNorm" bottom: "conv" top: "conv" '
        "batch_norm_param { eps: 0.001 } }\n"
        'layer { name: "scale" type: "Scale" bottom: "conv" top: "scaled" '
        "scale_param { bias_term: true } }\n"
        'layer { name: "act" type: "ReLU" bottom: "scaled" top: "scaled" }\n'
    )
    blobs = {
        "conv": [weight, bias],
        "bn": [mean * 5, variance * 5, [5.0]],  # Caffe keeps sums and how many there were
        "scale": [factor, offset],
    }

    model, tensors = read_caffe(*write(text, blobs))

    pixel = random.normal(size=3)
    plain = weight[:, :, 0, 0] @ pixel + bias
    expected = (plain - mean) / np.sqrt(variance + 0.001) * factor + offset
    assert model.layer_names == ("conv", "act")
    assert model.by_name["act"].inputs == ("conv",)
    found = tensors["conv.weight"][:, :, 0, 0] @ pixel + tensors["conv.bias"]
    assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_batch_norm_without_a_convolution_of_its_own_becomes_one(
    write: Write, convolution: Convolution
) -> None:
    """Where something else reads the convolution too, folding would change what that one sees."""
    text = (
        convolution(makes=2) + 'layer { name: "bn" type: "BatchNorm" bottom: "conv" top: "bn" }\n'
        'layer { name: "sum" type: "Eltwise" bottom: "conv" bottom: "bn" top: "sum" }\n'
    )
    blobs = {"conv": [np.ones((2, 3, 1, 1)), np.ones(2)], "bn": [[1, 2], [4, 16], [1]]}

    model, tensors = read_caffe(*write(text, blobs))

    own = model.by_name["bn"]
    assert (own.kind, own.groups, own.channels, own.kernel) == ("convolution", 2, 2, (1, 1))
    assert model.by_name["sum"].inputs == ("conv", "bn")
    assert_allclose(tensors["bn.weight"].ravel(), [0.5, 0.25], rtol=1e-5)
    assert_allclose(tensors["bn.bias"], [-0.5, -0.5], rtol=1e-5)
    assert_array_equal(tensors["conv.weight"], np.ones((2, 3, 1, 1)))


def test_without_the_usual_names_the_deepest_relu_dreams(
    write: Write, convolution: Convolution
) -> None:
    """A network of any names has layers to dream at by default."""
    relu = 'layer {{ name: "r{0}" type: "ReLU" bottom: "c{0}" top: "c{0}" }}\n'
    text = convolution("c1", makes=3) + relu.format(1)
    text += convolution("c2", "c1", 3) + relu.format(2) + convolution("c3", "c2", 3)
    blobs = {name: [np.ones((3, 3, 1, 1)), np.ones(3)] for name in ("c1", "c2", "c3")}

    model, _ = read_caffe(*write(text, blobs))

    assert (model.default_layer, model.content_layer) == ("r2", "r2")


def test_torch_averages_over_padding_as_caffe_does() -> None:
    """`rounds_up` with `counts_padding` rests on this: windows are cut at the padded edge.

    Source: Caffe's pooling layer, its AVE case, written out here in its own words.
    """
    picture = torch.arange(1.0, 36.0).reshape(1, 1, 5, 7)
    kernel, stride, pad = 3, 2, 1

    found = torch.nn.functional.avg_pool2d(
        picture, kernel, stride, pad, ceil_mode=True, count_include_pad=True
    )

    height, width = found.shape[-2:]
    for row in range(height):
        for column in range(width):
            top, left = row * stride - pad, column * stride - pad
            bottom, right = min(top + kernel, 5 + pad), min(left + kernel, 7 + pad)
            inside = picture[0, 0, max(top, 0) : min(bottom, 5), max(left, 0) : min(right, 7)]
            average = inside.sum() / ((bottom - top) * (right - left))
            assert_allclose(found[0, 0, row, column], average, rtol=1e-6)


def test_blobs_of_doubles_and_of_the_old_bias_shape_are_read(
    write: Write, convolution: Convolution
) -> None:
    """Older files keep a bias as (1, 1, 1, n); some keep their numbers as doubles."""
    weights, text = write(convolution(makes=2))
    net = Net()
    layer = net.layers.add(name="conv")
    layer.blobs.add(num=2, channels=3, height=1, width=1, double_data=[1, 2, 3, 4, 5, 6])
    layer.blobs.add(num=1, channels=1, height=1, width=2, data=[7, 8])
    weights.write_bytes(net.SerializeToString())

    _, tensors = read_caffe(weights, text)

    assert_array_equal(tensors["conv.weight"].ravel(), [1, 2, 3, 4, 5, 6])
    assert_array_equal(tensors["conv.bias"], [7, 8])


def test_the_generated_reader_is_that_of_the_proto(tmp_path: Path) -> None:
    """`caffe_pb2.py` is what `compile.py` writes from `caffe.proto` today."""
    home = Path(package.__file__).parent

    subprocess.run([sys.executable, str(home / "compile.py"), str(tmp_path)], check=True)

    for name in ("caffe_pb2.py", "caffe_pb2.pyi"):
        assert (home / name).read_text() == (tmp_path / name).read_text()
