"""Torch's convolutions in strips of rows, held to the reference in float64."""

import pytest
import torch
from torch import Tensor

from dream_core.executors import Way, bits, strips, tiled
from dream_core.executors.rooms import Rooms
from dream_core.model import Pooling
from tests.thin import apart, network_of, random_picture, thin_model
from tests.unit.dream_core.executors.test_ways import LAYERS, pulled

DIRECT = Way("direct", "exact")


@pytest.fixture
def cut(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Cut as narrow as may be; return how many strips each chain had."""
    counts, plainly = [], strips._strips

    def counted(*given: object) -> list[strips.Strip]:
        found = plainly(*given)
        counts.append(len(found))
        return found

    monkeypatch.setattr(strips, "STRIP", 1)
    monkeypatch.setattr(strips, "_strips", counted)
    return counts


@pytest.mark.parametrize("by_tiles", [False, True])
@pytest.mark.parametrize("pooling", ["max", "avg"])
@pytest.mark.parametrize("rounds_up", [True, False])
@pytest.mark.parametrize("size", [(37, 50), (49, 32), (64, 48), (66, 47)])
def test_strips_are_the_reference(
    size: tuple[int, int],
    rounds_up: bool,
    pooling: Pooling,
    by_tiles: bool,
    cut: list[int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Both ways at every layer: odd sides, a last strip of five rows, one of a line."""
    limit = 1e-11 if by_tiles else 1e-12
    if by_tiles:
        monkeypatch.setattr(tiled, "FEWEST_CHANNELS", 1)
        monkeypatch.setattr(tiled, "FEWEST_TILES", 1)
    changed = {"rounds_up": rounds_up}
    layers = thin_model().layers
    rounded = [layer.model_copy(update=changed) if layer.is_pool else layer for layer in layers]
    model = thin_model().model_copy(update={"layers": tuple(rounded)})
    reference, picture = network_of(model, torch.float64, pooling), random_picture(3, *size)
    network = reference.run_by(DIRECT)

    for asked in (["relu5_1"], ["conv1_2", "conv4_4"], list(LAYERS)):
        expected, far = pulled(reference, picture, asked)
        found, ours = pulled(network, picture, asked)

        assert all(apart(found[name], expected[name]) < limit for name in asked)
        assert apart(ours, far) < limit
    assert max(cut) == -(-size[0] // strips.LINE) - (size[0] % strips.LINE == 1)


def test_what_a_convolution_makes_before_its_pool_is_never_there_as_a_whole(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nor what comes back from behind one: of 64 rows no more than a strip and its neighbours."""
    seen: list[int] = []
    for name in ("pool", "unpool"):
        plainly = getattr(bits, name)

        def watched(tensor: Tensor, *given: object, run=plainly, **more: object) -> object:
            seen.append(tensor.shape[2])
            return run(tensor, *given, **more)

        monkeypatch.setattr(bits, name, watched)
    monkeypatch.setattr(strips, "STRIP", 1)
    network = network_of(thin_model(), torch.float32).run_by(DIRECT)

    pulled(network, random_picture(3, 64, 48), ["relu2_1"])

    assert seen == [4] * 16 + [3] + [4] * 14 + [3]


def test_what_is_no_number_comes_through_both_ways() -> None:
    """Strips beside each other read the same rows, and set them to zero twice."""
    network = network_of(thin_model(), torch.float32).run_by(DIRECT)
    picture = random_picture(3, 40, 40)
    picture[1, 20, 20] = torch.nan

    features, tape = network.forward(picture, ["relu1_2"])
    back = tape.backward({"relu1_2": features["relu1_2"]})

    assert features["relu1_2"].isnan().any()
    assert back.isnan().any()
    assert not back.isnan().all()


def test_scratch_keeps_no_result_from_its_place() -> None:
    """The picture, and results of VGG's first blocks in and back, take what two at once take."""
    million = 1 << 20
    house = Rooms()
    read = house.features(torch.uint8, million, 1, 1)
    begin = reach = read.data_ptr()

    for size in (1, 16, 4, 8, 4, 2, 8, 4, 16):
        made = house.features(torch.uint8, size * million, 1, 1)
        house.features(torch.uint8, million, 1, 1, scratch=True)
        reach = max(reach, made.data_ptr() + size * million)
        read = made

    assert read is made
    assert reach - begin == (1 + 1 + 16 + 4) * million
