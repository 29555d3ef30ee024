"""How much memory bands, and what lies behind them, write on in the rooms that are lent to them."""

import weakref
from collections.abc import Callable

import pytest
from torch import Tensor

from dream_core.executors import Way, rooms
from dream_core.executors.rooms import Rooms, lent
from dream_core.forms import Form
from dream_core.networks import load_network
from dream_core.sights import look
from tests.thin import random_picture, random_weights, thin_model

MODEL = thin_model(widths=(16, 32, 64, 128, 128))
PICTURE = random_picture(3, 384, 512)
FIVE = [f"relu{block}_1" for block in range(1, 6)]
NEVER = 1 << 60


class Written:
    """What rooms have written on: how far it reaches, and the most that was held at once."""

    held = most = reached = 0

    def watch(self, let: Callable[..., object], space: object, start: int, size: int) -> object:
        """Let a room, and write it down until it is given back."""
        found = let(space, start, size)
        self.reached = max(self.reached, start + size)
        self.held += size
        self.most = max(self.most, self.held)
        weakref.finalize(found, self._end, size)
        return found

    def _end(self, size: int) -> None:
        self.held -= size


def seen(layers: list[str], monkeypatch: pytest.MonkeyPatch, *, large: int) -> Written:
    """Look twice at a picture in bands, and back, with stripes to spare from so many bytes on."""
    written, let = Written(), rooms._Space.lease
    network = load_network(MODEL, random_weights(MODEL, 1), pooling="max").run_by(
        Way("winograd", "exact")
    )
    with monkeypatch.context() as patched, lent(Rooms()):
        patched.setattr(rooms, "SMALLEST", 1)
        patched.setattr(rooms, "LARGE", large)
        patched.setattr(rooms._Space, "lease", lambda *room: written.watch(let, *room))
        for _ in range(2):
            sight = look(network, PICTURE, layers, Form("bands", 64, "pool2"), lambda: None)
            sight.gather([(layer, Tensor.sum) for layer in layers])
            sight.pull_back([(layer, _itself) for layer in layers])
    return written


@pytest.mark.parametrize("large", [1, NEVER])
@pytest.mark.parametrize("layers", [["relu3_1"], ["relu5_1"], FIVE], ids=len)
def test_a_picture_in_bands_writes_on_little_more_than_is_held_at_once(
    layers: list[str], large: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An eighth at most lies idle between rooms; where the first place was let, half."""
    written = seen(layers, monkeypatch, large=large)

    assert written.most > 0
    assert written.reached <= 1.125 * written.most


@pytest.mark.parametrize("layers", [["relu5_1"], FIVE], ids=len)
def test_layers_that_write_over_what_they_read_hold_less_at_once(
    layers: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What conv3_2 and its likes read and write is one room and a stripe, where it was two."""
    apart = seen(layers, monkeypatch, large=NEVER)
    over = seen(layers, monkeypatch, large=1)

    assert over.most <= 0.85 * apart.most
    assert over.reached <= 0.85 * apart.reached


def _itself(features: Tensor, onto: Tensor | None = None, *, over: bool = False) -> Tensor:
    assert over or onto is not None
    return features if onto is None else onto.add_(features)
