"""Which neighbours are equal, by what they see."""

from itertools import product

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from dream_core import native
from dream_core.executors import bits
from dream_core.executors.equals import Equals, equal_windows, equals_behind
from dream_core.model import Model
from tests.branches import BRANCHES, model_of
from tests.thin import network_of, patchwork, thin_model

PATCHES = patchwork(1, 61, 83)
NEARLY = 1e-9  # of float64's values, of which the largest are 10


@pytest.mark.parametrize(
    "model", [thin_model((2, 2), (10, 12)), model_of("b", BRANCHES)], ids=["vgg", "b"]
)
@pytest.mark.parametrize("rounds_up", [True, False])
def test_what_is_told_equal_is_equal_and_nothing_is_missed_that_sees_the_same(
    rounds_up: bool, model: Model
) -> None:
    """Behind convolutions all of it; pools may make equals of what isn't, too."""
    changed = {"rounds_up": rounds_up}
    layers = [each.model_copy(update=changed) if each.is_pool else each for each in model.layers]
    model = model.model_copy(update={"layers": tuple(layers)})
    network = network_of(model, torch.float64)
    features, _ = network.forward(PATCHES.double(), model.layer_names)

    found = equals_behind(Equals.of(PATCHES), model.layers)

    pooled = False
    for layer in model.layers:
        pooled |= layer.is_pool
        seen = features[layer.name][0]
        across = ((seen[:, :, 1:] - seen[:, :, :-1]).abs() < NEARLY).all(0)
        down = ((seen[:, 1:] - seen[:, :-1]).abs() < NEARLY).all(0)
        told = found.get(layer.name, Equals(across & False, down & False))
        assert told.size == seen.shape[1:]
        assert not (told.across & ~across).any()
        assert not (told.down & ~down).any()
        assert pooled or (torch.equal(told.across, across) and torch.equal(told.down, down))
    assert found[model.layers[0].name].across.sum() > 1000
    assert pooled


def test_in_a_picture_without_equals_nothing_is_looked_for() -> None:
    """Nor in one that is all of one colour anything but equals is found."""
    layers = thin_model().layers
    busy = torch.rand(3, 64, 48, generator=torch.Generator().manual_seed(1))

    assert equals_behind(Equals.of(busy), layers) == {}
    assert equal_windows(Equals.of(busy), layers) == {}
    inner = equal_windows(Equals.of(torch.ones(3, 64, 48)), layers)["pool1"].upper[1:-1, 1:-1]
    assert inner.all()


@pytest.mark.parametrize("pairs", list(product([False, True], repeat=4)), ids=str)
def test_the_first_of_equals_is_where_a_choice_ends(pairs: tuple[bool, ...]) -> None:
    """All sixteen windows, wherever the choice had been."""
    upper, lower, left, right = pairs
    equals = Equals(
        torch.tensor([[upper, False], [lower, False]]), torch.tensor([[left, right, False]])
    )
    joined = [(0, 1, upper), (2, 3, lower), (0, 2, left), (1, 3, right)]
    first = list(range(4))
    for _ in range(4):
        for one, other, same in joined:
            if same:
                first[one] = first[other] = min(first[one], first[other])

    moves = equals.in_windows(1, 1).moves()

    for place in range(4):
        ends = place
        for at, before, where in moves:
            ends = before if ends == at and where.item() else ends
        assert ends == first[place]


@pytest.mark.parametrize("by_kernel", [False, True], ids=["words", "the kernel's"])
@pytest.mark.parametrize("rounds_up", [True, False])
@pytest.mark.parametrize("size", [(37, 50), (24, 33)])
def test_a_pool_that_rounding_has_led_astray_is_led_back(
    size: tuple[int, int], rounds_up: bool, by_kernel: bool
) -> None:
    """The bits are those of features without rounding, odd sides rounded up or down."""
    if by_kernel and not native.available():
        pytest.skip(native.reason())
    network = network_of(thin_model((1,), (19,)), torch.float64)
    picture = patchwork(3, *size)
    exact = network.forward(picture.double(), ["relu1_1"])[0]["relu1_1"].float()
    astray = exact * (
        1 + 1e-6 * torch.randn(exact.shape, generator=torch.Generator().manual_seed(1))
    )
    (layer,) = (each for each in network.model.layers if each.name == "pool1")
    pool = layer.model_copy(update={"rounds_up": rounds_up})
    windows = equal_windows(Equals.of(picture), [*network.model.layers[:-1], pool])["pool1"]
    expected = chosen(exact, rounds_up=rounds_up)

    if by_kernel:
        alive = of_kernel(chosen(astray, rounds_up=rounds_up))
        assert not torch.equal(alive, of_kernel(expected))
        native.let_first_pass(alive, windows.moves())
        assert torch.equal(alive, of_kernel(expected))
    else:
        right, wrong = (
            bits.pool(channels_last(each), rounds_up=rounds_up, rectified=True)[1]
            for each in (exact, astray)
        )
        assert not torch.equal(wrong, right)
        bits.let_first_pass(wrong, windows, 19)
        assert torch.equal(wrong, right)


def channels_last(features: Tensor) -> Tensor:
    """Lay them so."""
    return features.contiguous(memory_format=torch.channels_last)


def chosen(features: Tensor, *, rounds_up: bool) -> Tensor:
    """Return where a max pool finds what it gives, of what is above zero: (1, C, H, W) bool."""
    seen = features.clone().requires_grad_()
    pooled = functional.max_pool2d(seen.relu(), 2, ceil_mode=rounds_up)
    (found,) = torch.autograd.grad(pooled.sum(), seen)
    return found > 0


def of_kernel(passes: Tensor) -> Tensor:
    """Return (1, C, H, W) bool as `native.new_alive` has it: a bit each, channel by channel."""
    each = functional.pad(passes[0].permute(1, 2, 0).to(torch.uint8), (0, -passes.shape[1] % 8))
    shares = (1 << torch.arange(8)).to(torch.uint8)
    return (each.unflatten(2, (-1, 8)) * shares).sum(3, dtype=torch.uint8)
