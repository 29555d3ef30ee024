"""A user's own network becomes a model by name."""

import re
from pathlib import Path

from dream_core.architectures import BUILT_IN
from dream_core.catalogue import MODEL_FILE
from dream_core.errors import ModelRefused
from dream_core.model import Model
from dream_core.weights.caffe import read_caffe
from dream_core.weights.errors import FolderUnwritable
from dream_core.weights.store import install, locked

_NAME = re.compile(r"[a-z0-9_][a-z0-9_.-]{0,63}")


def add(name: str, weights: Path, prototxt: Path, folder: Path, *, replace: bool = False) -> Model:
    """Take a `.caffemodel` and its `.prototxt` in as a model of that name; return it.

    Whoever loads the catalogue of `folder` from now on knows it.

    Raises:
        ModelRefused: a name that can't be had, or files that can't be read.
        FolderUnwritable: the disk is full, or closed to us.
    """
    _check_name(name, folder, replace=replace)
    model, tensors = read_caffe(weights, prototxt, name)
    known = BUILT_IN.get(name)
    if known and known.layers == model.layers:
        model = known  # the very network we know: with its licence, title and preprocessing
    try:
        with locked(model, folder) as room:
            _check_name(name, folder, replace=replace)  # somebody may have been quicker
            sha256 = install(model, tensors, room, with_document=True)
    except OSError as error:
        raise FolderUnwritable(folder, error) from error
    return model.model_copy(update={"weights_sha256": sha256})


def _check_name(name: str, folder: Path, *, replace: bool) -> None:
    if not _NAME.fullmatch(name):
        raise ModelRefused(
            name,
            "is no name for a model; use 1 to 64 of a-z, 0-9, '_', '.' and '-', "
            "the first a letter, digit or '_'",
        )
    if name in BUILT_IN and BUILT_IN[name].origin.kind != "file":
        raise ModelRefused(name, "is the name of a model that comes with the program; use another")
    if (folder / name / MODEL_FILE).exists() and not replace:
        raise ModelRefused(name, "is there already; use --force to replace it, or another name")
