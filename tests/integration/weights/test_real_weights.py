"""The weights as they were pulled: the catalogue's checksum, and what the network is known for."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from dream_core.catalogue import Catalogue
from dream_core.weights import read, verify

pytestmark = pytest.mark.weights

SCENE = Path(__file__).parents[2] / "golden" / "inputs" / "scene_65x41.png"


def test_the_default_network_is_the_one_of_the_catalogue() -> None:
    """Byte for byte, and of the size that the style papers' network has."""
    catalogue = Catalogue.load()
    model = catalogue["vgg19"]

    assert verify(model, catalogue.folder) == model.weights_sha256

    tensors = read(model, catalogue.folder)
    assert sum(tensor.size for tensor in tensors.values()) == 20_024_384
    assert tensors["conv1_1.weight"].shape == (64, 3, 3, 3)
    assert tensors["conv5_4.weight"].shape == (512, 512, 3, 3)


def test_the_default_network_is_normalised() -> None:
    """Its layers were scaled so that activations average about 1 over pictures, at every depth.

    Oxford's own weights reach hundreds at conv3 and fall below 1 at conv5. Which network this is
    can't be told from shapes. Source: Gatys et al. 2015 (arXiv:1505.07376), section 2.
    """
    catalogue = Catalogue.load()
    model = catalogue["vgg19"]
    tensors = {
        name: torch.from_numpy(tensor) for name, tensor in read(model, catalogue.folder).items()
    }
    rgb = np.array(Image.open(SCENE).convert("RGB").resize((224, 224)), np.float32) / 255
    features = torch.from_numpy(rgb[:, :, ::-1].copy()).permute(2, 0, 1)[None]
    features = features * 256 - torch.tensor(model.preprocessing.mean)[:, None, None]

    means = {}
    for layer in model.layers:
        if layer.kind == "convolution":
            weight, bias = tensors[f"{layer.name}.weight"], tensors[f"{layer.name}.bias"]
            features = torch.nn.functional.conv2d(features, weight, bias, padding=1)
        elif layer.kind == "relu":
            features = features.relu()
            means[layer.name] = features.mean().item()
        else:
            features = torch.nn.functional.max_pool2d(features, 2, ceil_mode=True)

    assert min(means.values()) > 0.1, means
    assert max(means.values()) < 5, means
