"""A model of our own: a thin VGG with random weights, milliseconds a step on a CPU."""

from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from dream_core.architectures.vgg import VGG19, vgg
from dream_core.catalogue import MODEL_FILE, WEIGHTS_FILE
from dream_core.model import PICTURE, Model, Origin

WIDTHS = (10, 10, 12, 12, 14)

AddModel = Callable[..., Path]


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty models' folder, for this process and those it starts."""
    folder = tmp_path / "models"
    monkeypatch.setenv("DREAM_MODEL_DIR", str(folder))
    return folder


@pytest.fixture
def add_model(models: Path) -> AddModel:
    """What adds a thin model by name; with `weights=False` only its description."""

    def add(name: str, *, weights: bool = True) -> Path:
        model = thin(name)
        home = models / name
        home.mkdir(parents=True, exist_ok=True)
        if weights:
            file = home / WEIGHTS_FILE
            save_file(random_weights(model), file)
            digest = sha256(file.read_bytes()).hexdigest()
            (home / "weights.sha256").write_text(f"{digest}  {WEIGHTS_FILE}\n")
        (home / MODEL_FILE).write_text(model.model_dump_json())
        return home

    add("thin")
    return add


def thin(name: str) -> Model:
    """Return a VGG-19 with narrow layers."""
    return Model(
        name=name,
        title="a thin VGG for tests",
        layers=vgg(VGG19, pools_round_up=True, widths=WIDTHS),
        default_layer="relu2_1",
        content_layer="relu2_2",
        origin=Origin(kind="file", name="random"),
    )


def random_weights(model: Model) -> dict[str, torch.Tensor]:
    """Weights that keep the size of activations from layer to layer."""
    generator = torch.Generator().manual_seed(19)
    weights = {}
    for layer in model.layers:
        if layer.kind == "convolution":
            (source,) = layer.inputs
            inputs = 3 if source == PICTURE else model.by_name[source].channels
            spread = (2 / (inputs * 9)) ** 0.5
            shape = (layer.channels, inputs, *layer.kernel)
            weights[f"{layer.name}.weight"] = torch.randn(shape, generator=generator) * spread
            weights[f"{layer.name}.bias"] = torch.zeros(layer.channels)
    return weights
