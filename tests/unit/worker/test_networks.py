"""The networks of a worker: kept warm from job to job, a few at a time, and as they are on disk."""

import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from dream_core.catalogue import WEIGHTS_FILE
from dream_core.model import Model
from dream_core.weights.store import CHECKSUM_FILE
from tests.thin import random_weights, thin_model
from worker.networks import KEPT, Networks

MODELS = [thin_model((1,), (4,), name=f"thin-{number}") for number in range(KEPT + 1)]


def write(model: Model, folder: Path, seed: int) -> Path:
    """Put random weights where a pull would, and return their file."""
    home = folder / model.name
    home.mkdir(exist_ok=True)
    save_file(random_weights(model, seed), home / WEIGHTS_FILE)
    (home / CHECKSUM_FILE).touch()
    return home / WEIGHTS_FILE


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Weights of one model more than are kept."""
    for seed, model in enumerate(MODELS):
        write(model, tmp_path, seed)
    return tmp_path


@pytest.fixture
def networks() -> Networks:
    """A worker's, before its first job."""
    return Networks(torch.device("cpu"))


def test_the_next_job_finds_its_network_warm(folder: Path, networks: Networks) -> None:
    """The very same, also where jobs of two models take turns; each pooling is its own."""
    one, other, *_ = MODELS

    first = networks.get(one, folder, "max")
    networks.get(other, folder, "max")

    assert networks.get(one, folder, "max") is first
    assert networks.get(one, folder, "avg") is not first


def test_the_one_that_was_asked_for_longest_ago_makes_room(
    folder: Path, networks: Networks
) -> None:
    """Not the one that was loaded first."""
    old, *between, new = MODELS
    first = networks.get(old, folder, "max")
    left = [networks.get(model, folder, "max") for model in between]
    networks.get(old, folder, "max")

    networks.get(new, folder, "max")

    assert networks.get(old, folder, "max") is first
    assert networks.get(between[0], folder, "max") is not left[0]


def test_weights_that_are_other_ones_by_now_are_read_anew(folder: Path, networks: Networks) -> None:
    """Whoever adds a model under a name of before needs to restart no worker."""
    model = MODELS[0]
    before = networks.get(model, folder, "max")

    file = write(model, folder, seed=99)
    os.utime(file, ns=(0, 1))  # a clock may stand still between two writes

    after = networks.get(model, folder, "max")
    picture = torch.rand(3, 8, 8, generator=torch.Generator().manual_seed(0))
    features = [each.forward(picture, ["conv1_1"])[0]["conv1_1"] for each in (before, after)]
    assert not torch.equal(*features)
    assert networks.get(model, folder, "max") is after
