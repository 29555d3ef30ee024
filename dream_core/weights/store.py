"""A model's folder: `weights.safetensors`, its checksum beside it, a lock, one pull at a time.

Whatever is written is written whole: into a folder inside the model's own, flushed to the disk,
then renamed. The checksum is renamed last, so weights without one are weights half installed.
"""

import fcntl
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from dream_core.catalogue import MODEL_FILE, WEIGHTS_FILE
from dream_core.errors import ModelRefused, WeightsCorrupt, WeightsMissing
from dream_core.model import PICTURE, Model
from dream_core.weights.progress import PullProgress, Report, silent

CHECKSUM_FILE = "weights.sha256"
_LOCK_FILE = ".lock"
_ROOM = "pull-"  # prefix of the folders that a pull works in
_LARGEST_HEADER = 10 * 2**20

Shapes = Mapping[str, tuple[int, ...]]


def shapes(model: Model) -> dict[str, tuple[int, ...]]:
    """Return the shape of every tensor that a model's weights hold."""
    channels = {PICTURE: 3} | {layer.name: layer.channels for layer in model.layers}
    found: dict[str, tuple[int, ...]] = {}
    for layer in model.layers:
        if layer.kind == "convolution":
            inputs = channels[layer.inputs[0]] // layer.groups
            found[f"{layer.name}.weight"] = (layer.channels, inputs, *layer.kernel)
            found[f"{layer.name}.bias"] = (layer.channels,)
    return found


def is_here(model: Model, folder: Path) -> bool:
    """Whether a model's weights are whole by their header and size; cheap, hashes nothing."""
    home = folder / model.name
    return (home / CHECKSUM_FILE).is_file() and _header(home / WEIGHTS_FILE) == shapes(model)


def read(model: Model, folder: Path) -> dict[str, np.ndarray]:
    """Return a model's tensors, float32, by name.

    Raises:
        WeightsMissing: they aren't there.
        WeightsCorrupt: they aren't this model's, or damaged.
    """
    file = _weights(model, folder)
    try:
        tensors = load_file(file)
    except (SafetensorError, OSError) as error:
        raise WeightsCorrupt(str(file), checksum(file), _expected(model, folder)) from error
    if {name: tensor.shape for name, tensor in tensors.items()} != shapes(model):
        raise WeightsCorrupt(str(file), checksum(file), _expected(model, folder))
    return tensors


def verify(model: Model, folder: Path) -> str:
    """Return the sha256 of a model's weights, having read every byte.

    Raises:
        WeightsMissing: they aren't there.
        WeightsCorrupt: it isn't what the catalogue, or else the file beside them, says.
    """
    file = _weights(model, folder)
    found, expected = checksum(file), _expected(model, folder)
    if found != expected or _header(file) != shapes(model):
        raise WeightsCorrupt(str(file), found, expected)
    return found


@contextmanager
def locked(model: Model, folder: Path, report: Report = silent) -> Iterator[Path]:
    """Hold a model's lock and give an empty folder on its disk to work in.

    Waits for whoever holds it, having said so once. What earlier holders left behind is removed.
    """
    home = folder / model.name
    home.mkdir(parents=True, exist_ok=True)
    with (home / _LOCK_FILE).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            report(PullProgress(model.name, "waiting"))
            fcntl.flock(lock, fcntl.LOCK_EX)
        for left in home.glob(f"{_ROOM}*"):
            shutil.rmtree(left, ignore_errors=True)
        room = Path(tempfile.mkdtemp(prefix=_ROOM, dir=home))
        try:
            yield room
        finally:
            shutil.rmtree(room, ignore_errors=True)


def install(
    model: Model, tensors: Mapping[str, np.ndarray], room: Path, *, with_document: bool = False
) -> str:
    """Write tensors as a model's weights, whole or not at all; return their sha256.

    Args:
        model: whose `weights_sha256`, where known, they must have.
        tensors: by name, float32, as `shapes` says.
        room: the folder that `locked` gave.
        with_document: also write `model.json`: the model is one that the user added.

    Raises:
        ModelRefused: tensors that aren't this model's.
        WeightsCorrupt: not the checksum that the catalogue knows.
        OSError: the disk is full, or gone.
    """
    home = room.parent
    found = {name: tensor.shape for name, tensor in tensors.items()}
    if found != shapes(model):
        differing = sorted(dict(found.items() ^ shapes(model).items()))
        raise ModelRefused(model.name, f"its tensors don't fit its layers: {', '.join(differing)}")
    whole = {name: np.ascontiguousarray(tensor, np.float32) for name, tensor in tensors.items()}
    try:
        save_file(whole, room / WEIGHTS_FILE)
    except SafetensorError as error:  # its way to say that the disk is full
        raise OSError(str(error)) from error
    sha256 = checksum(room / WEIGHTS_FILE)
    if model.weights_sha256 not in (None, sha256):
        raise WeightsCorrupt(f"{model.name} as converted", sha256, str(model.weights_sha256))
    (room / CHECKSUM_FILE).write_text(f"{sha256}  {WEIGHTS_FILE}\n")
    # safetensors writes for its owner's eyes only; the folder may be shared with another user.
    (room / WEIGHTS_FILE).chmod((room / CHECKSUM_FILE).stat().st_mode)
    (home / CHECKSUM_FILE).unlink(missing_ok=True)
    if with_document:
        document = model.model_copy(update={"weights_sha256": sha256})
        (room / MODEL_FILE).write_text(document.model_dump_json(indent=1) + "\n")
        _move(room / MODEL_FILE, home)
    _move(room / WEIGHTS_FILE, home)
    _move(room / CHECKSUM_FILE, home)
    return sha256


def checksum(file: Path) -> str:
    """Return the sha256 of a file in hexadecimal."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _move(file: Path, home: Path) -> None:
    with file.open("rb") as stream:
        os.fsync(stream.fileno())
    file.replace(home / file.name)
    descriptor = os.open(home, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _weights(model: Model, folder: Path) -> Path:
    file = folder / model.name / WEIGHTS_FILE
    if not file.is_file():
        raise WeightsMissing(model.name, folder, f"run `dream models pull {model.name}`")
    return file


def _expected(model: Model, folder: Path) -> str:
    """Return the checksum that the catalogue knows, or else the one written down at the pull."""
    beside = folder / model.name / CHECKSUM_FILE
    written = beside.read_text(errors="replace").split() if beside.is_file() else []
    return model.weights_sha256 or (written[0] if written else "none on record")


def _header(file: Path) -> Shapes | None:
    """Return the shapes that a safetensors file says it has; None where its size says otherwise.

    Source: the safetensors format: length of the header (8 bytes, little-endian), JSON, data.
    """
    try:
        size = file.stat().st_size
        with file.open("rb") as stream:
            length = int.from_bytes(stream.read(8), "little")
            header = json.loads(stream.read(min(length, _LARGEST_HEADER)))
        header.pop("__metadata__", None)
        end = max(tensor["data_offsets"][1] for tensor in header.values())
        fits = size == 8 + length + end
        return {k: tuple(v["shape"]) for k, v in header.items()} if fits else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError):
        return None
