"""The models that can be asked for, and where their weights lie. Needs no torch."""

import logging
import os
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Self

import platformdirs

from dream_core.architectures import BUILT_IN
from dream_core.errors import UnknownLayer, UnknownModel
from dream_core.model import Model

logger = logging.getLogger(__name__)

MODEL_FILE = "model.json"
WEIGHTS_FILE = "weights.safetensors"


class Catalogue:
    """The models that can be asked for: built in, and added by the user.

    `catalogue["vgg19"]` raises `UnknownModel` with the nearest names.
    """

    def __init__(self, models: Mapping[str, Model], folder: Path) -> None:
        """Keep `models` by name; `folder` is where their weights lie."""
        self._models = dict(models)
        self.folder = folder

    @classmethod
    def load(cls, folder: Path | None = None) -> Self:
        """Return the built-in models and those that `dream models add` put into `folder`.

        One that can't be read is left out, and the log says why: it must not take the others down.
        """
        folder = folder or default_model_dir()
        added = (_added(file) for file in sorted(folder.glob(f"*/{MODEL_FILE}")))
        return cls({**BUILT_IN, **{model.name: model for model in added if model}}, folder)

    def __getitem__(self, name: str) -> Model:
        """Return the model of that name."""
        if name not in self._models:
            raise UnknownModel(name, list(self._models))
        return self._models[name]

    def __contains__(self, name: object) -> bool:
        """Whether there is a model of that name."""
        return name in self._models

    def __iter__(self) -> Iterator[Model]:
        """Go through all models, the built-in ones first."""
        return iter(self._models.values())

    def weights(self, name: str) -> Path:
        """Return where the weights of a model lie, or would."""
        return self.folder / self[name].name / WEIGHTS_FILE


def _added(file: Path) -> Model | None:
    try:
        return _read_model(file, file.stat().st_mtime_ns)
    except OSError:  # removed meanwhile
        return None


@lru_cache(maxsize=256)  # so that a warning comes once, until the file changes
def _read_model(file: Path, _modified_ns: int) -> Model | None:
    name = file.parent.name
    try:
        model = Model.model_validate_json(file.read_bytes())
        model.in_order({model.default_layer, model.content_layer})
    except (OSError, ValueError, UnknownLayer) as error:
        logger.warning("model %s is left out: %s can't be read: %s", name, file, error)
        return None
    if model.name != name or (name in BUILT_IN and BUILT_IN[name].origin.kind != "file"):
        logger.warning("model %s is left out: %s is named %s", name, file, model.name)
        return None
    return model


def default_model_dir() -> Path:
    """Return the folder of all weights: DREAM_MODEL_DIR, else `models` in the user's cache folder.

    The only place where the engine reads the environment.
    """
    named = os.environ.get("DREAM_MODEL_DIR")
    return Path(named) if named else Path(platformdirs.user_cache_dir("torch-inception")) / "models"
