"""The models that can be asked for, and where their weights lie. Needs no torch."""

import os
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Self

import platformdirs

from dream_core.architectures import BUILT_IN
from dream_core.errors import UnknownModel
from dream_core.model import Model

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
        """Return the built-in models and those that `dream models add` put into `folder`."""
        folder = folder or default_model_dir()
        added = {
            file.parent.name: _read_model(file, file.stat().st_mtime_ns)
            for file in sorted(folder.glob(f"*/{MODEL_FILE}"))
        }
        return cls({**BUILT_IN, **added}, folder)

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


@lru_cache(maxsize=64)
def _read_model(file: Path, _modified_ns: int) -> Model:
    return Model.model_validate_json(file.read_text())


def default_model_dir() -> Path:
    """Return the folder of all weights: DREAM_MODEL_DIR, else `models` in the user's cache folder.

    The only place where the engine reads the environment.
    """
    named = os.environ.get("DREAM_MODEL_DIR")
    return Path(named) if named else Path(platformdirs.user_cache_dir("torch-inception")) / "models"
