"""A file that can't be taken in is refused with a sentence that names file, layer and way out."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dream_core.errors import ModelRefused
from dream_core.weights.caffe import files, read_caffe

Write = Callable[..., tuple[Path, Path]]
Convolution = Callable[..., str]

ONES = {"conv": [np.ones((4, 3, 1, 1)), np.ones(4)]}


def refusal(weights: Path, prototxt: Path) -> str:
    """Return the sentence with which two files are refused."""
    with pytest.raises(ModelRefused) as refused:
        read_caffe(weights, prototxt)
    return str(refused.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """Nothing there, or a folder, is no traceback."""
    assert "nowhere.prototxt: there is no such file" in refusal(
        tmp_path / "a.caffemodel", tmp_path / "nowhere.prototxt"
    )
    assert "is not a file" in refusal(tmp_path, tmp_path)


def test_files_the_wrong_way_round_are_told(golden: Path) -> None:
    """The commonest slip: the caffemodel given as prototxt, and the other way round."""
    weights, text = golden / "thin_vgg19.caffemodel", golden / "thin_vgg19.prototxt"

    assert "give the .prototxt here" in refusal(text, weights)
    assert "is not a caffemodel" in refusal(text, text)


@pytest.mark.parametrize("kept", [0, 1, 11, 1000, 100_789])
def test_a_caffemodel_cut_off_anywhere_is_refused(golden: Path, tmp_path: Path, kept: int) -> None:
    """Half a download has no half a network in it."""
    cut = tmp_path / "cut.caffemodel"
    cut.write_bytes((golden / "thin_vgg19.caffemodel").read_bytes()[:kept])

    assert "cut.caffemodel" in refusal(cut, golden / "thin_vgg19.prototxt")


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=300))
def test_random_bytes_are_refused_in_either_place(
    golden: Path, tmp_path: Path, noise: bytes
) -> None:
    """Whatever the bytes, there is a sentence and never another exception."""
    file = tmp_path / "noise"
    file.write_bytes(noise)

    assert "noise" in refusal(file, golden / "thin_vgg19.prototxt")
    assert "noise" in refusal(golden / "thin_vgg19.caffemodel", file)


def test_deep_nesting_is_refused(golden: Path, tmp_path: Path) -> None:
    """A text of nothing but opening braces doesn't exhaust the stack."""
    file = tmp_path / "deep.prototxt"
    file.write_text("a { " * 50_000)

    assert "is not a prototxt" in refusal(golden / "thin_vgg19.caffemodel", file)


def test_a_huge_prototxt_is_refused_unread(golden: Path, tmp_path: Path) -> None:
    """Its size is looked at before its bytes."""
    file = tmp_path / "huge.prototxt"
    with file.open("wb") as stream:
        stream.truncate(files.LARGEST_PROTOTXT + 1)

    assert "the limit of a prototxt is" in refusal(golden / "thin_vgg19.caffemodel", file)


def test_a_caffemodel_beyond_protobufs_limit_is_refused_unread(
    golden: Path, tmp_path: Path
) -> None:
    """Two gigabytes are not read to find that they can't be parsed."""
    file = tmp_path / "huge.caffemodel"
    with file.open("wb") as stream:
        stream.truncate(files.LARGEST_WEIGHTS + 1)

    assert "the limit of a caffemodel is" in refusal(file, golden / "thin_vgg19.prototxt")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "has no layers"),
        (
            'layer { name: "x" type: "ReLU" bottom: "later" top: "x" }',
            "layer 'x' reads 'later', which no layer before it writes",
        ),
        (
            'layer { name: "x" type: "PReLU" bottom: "picture" top: "x" }',
            "layer 'x' is of type PReLU, which can't be run here",
        ),
        ('layer { name: "x" type: "InnerProduct" bottom: "picture" top: "x" }', "no layer can be"),
        ('layer { name: "" type: "ReLU" bottom: "picture" top: "x" }', "has a layer named ''"),
        ('layer { name: "picture" type: "ReLU" bottom: "picture" top: "x" }', "'picture'"),
        ('layer { name: "x" type: "ReLU" top: "x" }', "must read a blob"),
        ("layers { layer { type: 'conv' } }", "format of 2013"),
        ("layers { type: NEVER_HEARD_OF }", "NEVER_HEARD_OF"),
    ],
)
def test_a_graph_that_cannot_run_is_refused(write: Write, text: str, said: str) -> None:
    """Cycles, unknown types at the start and nameless layers each get their own sentence."""
    weights, prototxt = write(text, ONES)

    message = refusal(weights, prototxt)

    assert said in message
    assert message.startswith(str(prototxt))


def test_two_layers_of_one_name_are_refused(write: Write, convolution: Convolution) -> None:
    """A name must mean one layer."""
    text = convolution() + 'layer { name: "conv" type: "ReLU" bottom: "conv" top: "conv" }'

    assert "two layers named 'conv'" in refusal(*write(text, ONES))


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("", "kernel_size"),
        ("kernel_size: 0", "each must be 1 to 1024"),
        ("kernel_size: 1 stride: 0", "each must be 1 to 1024"),
        ("kernel_size: 1 pad: 4000000000", "each must be 0 to 1024"),
        ("kernel_size: 1 kernel_size: 1 kernel_size: 1", "one for height and one for width"),
        ("kernel_size: 1 group: 2", "in 2 groups, which must divide both"),
        ("kernel_size: 1 group: 3", "makes 4 channels of 3 in 3 groups"),
        ("kernel_size: 1 group: 0", "in 0 groups"),
    ],
)
def test_windows_that_make_no_sense_are_refused(
    write: Write, convolution: Convolution, more: str, said: str
) -> None:
    """Numbers that would divide by zero or fill the memory never reach the engine."""
    message = refusal(*write(convolution(more=more), ONES))

    assert said in message
    assert "layer 'conv'" in message


@pytest.mark.parametrize(
    ("blobs", "said"),
    [
        ({"cond": [np.ones(1)]}, "has no weights here (cond have)"),
        ({"conv": [np.ones((4, 3, 1, 1))]}, "has 1 tensors, the prototxt asks for 2"),
        ({"conv": [np.ones((4, 2, 1, 1)), np.ones(4)]}, "(4, 2, 1, 1)"),
        ({"conv": [np.ones((4, 3, 1, 1)), np.full(4, np.nan)]}, "not finite"),
    ],
)
def test_weights_of_another_network_are_refused(
    write: Write, convolution: Convolution, blobs: dict[str, list[np.ndarray]], said: str
) -> None:
    """Missing blobs, too few and wrong shapes name the layer and the caffemodel."""
    weights, prototxt = write(convolution(), blobs)

    message = refusal(weights, prototxt)

    assert said in message
    assert message.startswith(f"{weights}: layer 'conv'")


def test_a_shape_that_its_data_do_not_fill_is_refused(
    write: Write, convolution: Convolution
) -> None:
    """A header that promises more numbers than there are is damage, not a request for memory."""
    weights, prototxt = write(convolution(), ONES)
    raw = weights.read_bytes()
    weights.write_bytes(raw.replace(bytes([4, 3, 1, 1]), bytes([4, 3, 1, 9])))

    assert "don't fill its shape" in refusal(weights, prototxt)


def test_a_damaged_name_is_refused(write: Write, convolution: Convolution) -> None:
    """Protobuf hands over a name that isn't UTF-8 as bytes."""
    weights, prototxt = write(convolution(), ONES)
    weights.write_bytes(weights.read_bytes().replace(b"conv", b"c\xffnv"))

    assert "layer 'conv' has no weights here" in refusal(weights, prototxt)


def test_a_network_that_eats_no_colour_picture_is_refused(
    write: Write, convolution: Convolution
) -> None:
    """One channel, or ten, is not what a picture has."""
    head = 'input: "picture" input_dim: 1 input_dim: 1 input_dim: 28 input_dim: 28'

    assert "a picture has 3 channels" in refusal(*write(convolution(), ONES, head=head))


def test_layers_that_differ_in_size_are_not_joined(write: Write, convolution: Convolution) -> None:
    """Caught when the file is taken in, not at the first dream."""
    text = (
        convolution()
        + convolution("small", more="kernel_size: 1 stride: 2")
        + 'layer { name: "sum" type: "Eltwise" bottom: "conv" bottom: "small" top: "sum" }'
    )
    blobs = ONES | {"small": ONES["conv"]}

    assert "layer 'sum' joins layers of different sizes" in refusal(*write(text, blobs))


def test_what_cannot_be_run_further_on_ends_the_network_and_is_logged(
    write: Write, convolution: Convolution, caplog: pytest.LogCaptureFixture
) -> None:
    """A network is usable up to the layer that isn't, and whoever adds it is told."""
    text = convolution() + 'layer { name: "odd" type: "ELU" bottom: "conv" top: "odd" }\n'

    model, _ = read_caffe(*write(text, ONES))

    assert model.layer_names == ("conv",)
    assert "stops at layer 'odd'" in caplog.text
