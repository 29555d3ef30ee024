"""Layers that write over what they read: the bits are those of rooms of their own, and no other."""

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from dream_core.executors import Way, rooms, strips
from dream_core.executors.building import ways_here
from dream_core.executors.rooms import Rooms, lent
from dream_core.model import PICTURE, Layer, Model
from dream_core.networks import Network, load_network
from tests.branches import model_of
from tests.thin import random_picture, random_weights, thin_model

WAYS = [way for way in ways_here(torch.device("cpu")) if way.executor != "autograd"]
PICTURE_3 = random_picture(3, 69, 50)


def convolution(name: str, reads: str) -> tuple[Layer, Layer]:
    """Return a 3 × 3 convolution of twelve channels, and its ReLU."""
    window = {"kernel": (3, 3), "padding": (1, 1)}
    return (
        Layer(name=f"conv_{name}", kind="convolution", inputs=(reads,), channels=12, **window),
        Layer(name=name, kind="relu", inputs=(f"conv_{name}",), channels=12),
    )


# A stem that two read; what they make comes together; then three in a row.
BRANCHED = model_of(
    "branched",
    (
        *convolution("stem", PICTURE),
        *convolution("left", "stem"),
        *convolution("far", "left"),
        *convolution("right", "stem"),
        Layer(name="sum", kind="add", inputs=("far", "right"), channels=12),
        *convolution("one", "sum"),
        *convolution("two", "one"),
        *convolution("three", "two"),
    ),
)
DEEP = thin_model(widths=(12, 12, 16, 16, 24))


class Overs:
    """How often there was room over what is read."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Count what is let over another."""
        self.count, self._over = 0, rooms.over
        monkeypatch.setattr(rooms, "over", self._counted)

    def _counted(self, tensor: Tensor) -> Tensor | None:
        found = self._over(tensor)
        self.count += found is not None
        return found


def seen(network: Network, layers: Sequence[str]) -> tuple[list[Tensor], Tensor]:
    """Return copies of the features, and what is pulled back of gradients that belong to us."""
    with lent(Rooms()):
        features, tape = network.forward(PICTURE_3, layers)
        copies = [tensor.clone() for tensor in features.values()]
        pulls = {name: torch.cos(7 * tensor) for name, tensor in features.items()}
        before = {name: pull.clone() for name, pull in pulls.items()}
        gradient = tape.backward(pulls)
    assert all(torch.equal(pulls[name], before[name]) for name in pulls), "it wrote on the pulls"
    assert all(map(torch.equal, features.values(), copies)), "it wrote on features"
    return copies, gradient


@pytest.mark.parametrize("way", WAYS, ids=str)
@pytest.mark.parametrize(
    ("model", "asked", "overs"),
    [
        (DEEP, ["relu5_4"], 9 + 8),
        (DEEP, ["relu3_1", "relu4_2", "relu5_1"], 4 + 6),
        (DEEP, [name for name in DEEP.layer_names if name.startswith("relu")], 0 + 8),
        (DEEP, ["conv3_2", "conv4_4"], 6 + 6),
        (BRANCHED, ["three"], 3 + 3),
        (BRANCHED, ["left", "one", "three"], 1 + 3),
    ],
)
def test_over_what_is_read_the_bits_are_those_of_rooms_of_their_own(
    model: Model, asked: list[str], overs: int, way: Way, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Features, asked in the middle or at the end, and the gradient; by branches and without."""
    network = load_network(model, random_weights(model, 1), pooling="max").run_by(way)
    over = Overs(monkeypatch)
    monkeypatch.setattr(rooms, "SMALLEST", 1)
    monkeypatch.setattr(strips, "STRIP", 1)
    expected, far = seen(network, asked)
    assert over.count == 0

    monkeypatch.setattr(rooms, "LARGE", 1)
    found, ours = seen(network, asked)

    assert all(map(torch.equal, found, expected))
    assert torch.equal(ours, far)
    assert over.count == overs
