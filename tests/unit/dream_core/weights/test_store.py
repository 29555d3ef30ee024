"""A model's folder holds whole weights or none, and says when they aren't what they were."""

import hashlib
import subprocess
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from dream_core.errors import ModelRefused, WeightsCorrupt, WeightsMissing
from dream_core.model import Model
from dream_core.weights import ensure, is_here, read, verify
from dream_core.weights.store import CHECKSUM_FILE, install, locked, shapes

Tensors = Mapping[str, np.ndarray]


def put(model: Model, tensors: Tensors, folder: Path) -> Path:
    """Install tensors; return the weights file."""
    with locked(model, folder) as room:
        install(model, tensors, room)
    return folder / model.name / "weights.safetensors"


def test_what_is_installed_is_read_back_bit_for_bit(
    model: Model, tensors: Tensors, tmp_path: Path
) -> None:
    """Names, shapes and every bit."""
    put(model, tensors, tmp_path)

    found = read(model, tmp_path)

    assert found.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert_array_equal(found[name], tensor)


def test_the_checksum_beside_them_is_one_that_sha256sum_checks(
    model: Model, tensors: Tensors, tmp_path: Path
) -> None:
    """Anybody can check the weights without this program."""
    file = put(model, tensors, tmp_path)

    line = (file.parent / CHECKSUM_FILE).read_text()

    assert line == f"{hashlib.sha256(file.read_bytes()).hexdigest()}  weights.safetensors\n"
    subprocess.run(["sha256sum", "--check", CHECKSUM_FILE], cwd=file.parent, check=True)


def test_equal_tensors_make_equal_files(model: Model, tensors: Tensors, tmp_path: Path) -> None:
    """What the checksums in the catalogue rest on: order of names and the time leave no trace."""
    first = put(model, tensors, tmp_path / "a").read_bytes()
    second = put(model, dict(reversed(tensors.items())), tmp_path / "b").read_bytes()

    assert first == second


def test_safetensors_writes_the_bytes_it_always_wrote(model: Model, tmp_path: Path) -> None:
    """When this fails after an update, the checksums in the catalogue no longer hold either."""
    zeros = {name: np.zeros(shape, np.float32) for name, shape in shapes(model).items()}

    file = put(model, zeros, tmp_path)

    found = hashlib.sha256(file.read_bytes()).hexdigest()
    assert found == "3cff888707f344cda55577010330da6ec3146345d960baf754b19ba19285935a"


def test_nothing_is_left_of_the_work(model: Model, tensors: Tensors, tmp_path: Path) -> None:
    """The folder holds the weights, their checksum and the lock."""
    file = put(model, tensors, tmp_path)

    assert {entry.name for entry in file.parent.iterdir()} == {
        ".lock",
        "weights.safetensors",
        "weights.sha256",
    }


def test_another_user_may_read_them(model: Model, tensors: Tensors, tmp_path: Path) -> None:
    """The worker may run under another name than whoever pulled."""
    file = put(model, tensors, tmp_path)

    assert file.stat().st_mode == (file.parent / CHECKSUM_FILE).stat().st_mode


def test_what_a_killed_pull_left_behind_is_removed(
    model: Model, tensors: Tensors, tmp_path: Path
) -> None:
    """A pull that dies leaves its folder; the next one starts over cleanly."""
    left = tmp_path / model.name / "pull-abc"
    left.mkdir(parents=True)
    (left / "half.tar.gz").write_bytes(b"half")

    put(model, tensors, tmp_path)

    assert not left.exists()


def test_weights_without_their_checksum_are_half_installed(
    model: Model, tensors: Tensors, tmp_path: Path
) -> None:
    """The checksum comes last, so its absence means that the work was cut short."""
    file = put(model, tensors, tmp_path)
    assert is_here(model, tmp_path)

    (file.parent / CHECKSUM_FILE).unlink()

    assert not is_here(model, tmp_path)


def test_an_update_that_is_cut_short_is_no_update(
    model: Model, tensors: Tensors, tmp_path: Path
) -> None:
    """New weights under the old checksum would look whole; the old checksum goes first."""
    file = put(model, tensors, tmp_path)
    file.unlink()
    (file / "in the way").mkdir(parents=True)

    with pytest.raises(OSError, match="directory"):
        put(model, tensors, tmp_path)

    assert not (file.parent / CHECKSUM_FILE).exists()


def test_truncated_weights_are_seen_without_hashing(
    model: Model, tensors: Tensors, tmp_path: Path
) -> None:
    """The file's own header says how long it must be."""
    file = put(model, tensors, tmp_path)

    file.write_bytes(file.read_bytes()[:-1])

    assert not is_here(model, tmp_path)
    with pytest.raises(WeightsCorrupt, match="delete it and fetch it again"):
        read(model, tmp_path)


@pytest.mark.parametrize("content", [b"", b"\xff" * 100, b"\x02" + b"\0" * 7 + b"{}", b"\0" * 64])
def test_any_other_bytes_are_no_weights(model: Model, tmp_path: Path, content: bytes) -> None:
    """Whatever lies there, the question has an answer."""
    home = tmp_path / model.name
    home.mkdir()
    (home / "weights.safetensors").write_bytes(content)
    (home / CHECKSUM_FILE).write_text("nonsense")

    assert not is_here(model, tmp_path)
    with pytest.raises(WeightsCorrupt):
        read(model, tmp_path)


def test_one_flipped_bit_fails_verification(model: Model, tensors: Tensors, tmp_path: Path) -> None:
    """Size and names are right; only reading every byte shows it."""
    file = put(model, tensors, tmp_path)
    sound = verify(model, tmp_path)
    damaged = bytearray(file.read_bytes())
    damaged[-1] ^= 1
    file.write_bytes(damaged)

    assert is_here(model, tmp_path)
    with pytest.raises(WeightsCorrupt, match=sound[:12]):
        verify(model, tmp_path)


def test_the_catalogue_has_the_last_word_on_a_checksum(
    model: Model, tensors: Tensors, tmp_path: Path
) -> None:
    """A checksum file that agrees with wrong weights doesn't make them right."""
    put(model, tensors, tmp_path)
    pinned = model.model_copy(update={"weights_sha256": "f" * 64})

    with pytest.raises(WeightsCorrupt, match="ffffffffffff"):
        verify(pinned, tmp_path)


def test_weights_with_another_checksum_than_the_catalogues_are_not_installed(
    model: Model, tensors: Tensors, tmp_path: Path
) -> None:
    """A conversion that went wrong never reaches the model's folder."""
    pinned = model.model_copy(update={"weights_sha256": "f" * 64})

    with pytest.raises(WeightsCorrupt):
        put(pinned, tensors, tmp_path)

    assert [entry.name for entry in (tmp_path / model.name).iterdir()] == [".lock"]


def test_tensors_that_do_not_fit_the_layers_are_not_installed(
    model: Model, tensors: Tensors, tmp_path: Path
) -> None:
    """Every tensor of the model, in its shape, and no other."""
    with pytest.raises(ModelRefused, match=r"conv2_1\.bias"):
        put(model, dict(tensors) | {"conv2_1.bias": np.zeros(3, np.float32)}, tmp_path)


def test_absent_weights_say_how_to_bring_them(model: Model, tmp_path: Path) -> None:
    """Of a file that only the user has, there is nothing to pull."""
    with pytest.raises(WeightsMissing, match="dream models pull tiny"):
        read(model, tmp_path)
    with pytest.raises(WeightsMissing, match="dream models add tiny --weights"):
        ensure(model, tmp_path)


def test_weights_that_are_there_are_not_touched(
    model: Model, tensors: Tensors, tmp_path: Path
) -> None:
    """Every start of a worker asks; it must cost nothing and need no right to write."""
    file = put(model, tensors, tmp_path)
    before = file.stat()
    (file.parent / ".lock").unlink()

    assert ensure(model, tmp_path) == file

    after = file.stat()  # it may have been read: when, is of no account
    assert (after.st_ino, after.st_ctime_ns) == (before.st_ino, before.st_ctime_ns)
    assert not (file.parent / ".lock").exists()


def test_the_shapes_of_grouped_convolutions_have_the_inputs_of_one_group(model: Model) -> None:
    """(O, I / groups, kh, kw), of whatever the layer reads."""
    convolution = model.by_name["conv2_1"]
    grouped = convolution.model_copy(update={"groups": 2, "kernel": (1, 7)})
    layers = tuple(grouped if layer is convolution else layer for layer in model.layers)

    found = shapes(model.model_copy(update={"layers": layers}))

    assert found["conv1_1.weight"] == (2, 3, 3, 3)
    assert found["conv2_1.weight"] == (4, 1, 1, 7)
    assert found["conv2_1.bias"] == (4,)
