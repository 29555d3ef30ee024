"""What ties in a max pool's windows, by what they see; and how a choice is led to the first."""

from collections.abc import Callable
from itertools import combinations, product

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from dream_core import native
from dream_core.executors import REFERENCE, Way, bits
from dream_core.executors.building import ways_here
from dream_core.executors.ties import ties
from dream_core.model import PICTURE, Layer, Model
from dream_core.networks import Network
from tests.branches import BRANCHES, model_of
from tests.thin import apart, network_of, patchwork, staircase, thin_model

CPU = torch.device("cpu")
Drawn = Callable[[int, int, int], Tensor]
NEARLY = 1e-9  # of float64's values, of which the largest are 10


def wide(name: str, reads: str, **fields: object) -> Layer:
    """Return a layer of ten channels that sees 3 × 3 of what it reads, padded."""
    window = {"kernel": (3, 3), "padding": (1, 1), "channels": 10}
    return Layer.model_validate({"name": name, "inputs": (reads,), **window, **fields})


# Pools that overlap, hang over the edge and pad, behind strides and branches.
OVERLAPPING = model_of(
    "overlapping",
    (
        wide("first", PICTURE, kind="convolution", stride=(2, 2)),
        wide("left", "first", kind="max_pool", padding=(0, 0), stride=(2, 2), rounds_up=True),
        wide("right", "first", kind="convolution", stride=(2, 2), padding=(0, 0)),
        Layer(name="both", kind="add", inputs=("left", "right"), channels=10),
        wide("last", "both", kind="max_pool", dilation=(2, 2), padding=(1, 1)),
    ),
)


MODELS = [thin_model((2, 2), (10, 12)), OVERLAPPING, model_of("branches", BRANCHES)]


@pytest.mark.parametrize("picture", [patchwork, staircase])
@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
@pytest.mark.parametrize("rounds_up", [True, False])
def test_what_is_told_equal_is_equal_and_nothing_is_missed_that_sees_the_same(
    rounds_up: bool, model: Model, picture: Drawn
) -> None:
    """Before the first pool all of it; that may make equals of what isn't, too."""
    changed = {"rounds_up": rounds_up}
    layers = [each.model_copy(update=changed) if each.is_pool else each for each in model.layers]
    seen = picture(1, 61, 83)
    network = network_of(model.model_copy(update={"layers": tuple(layers)}), torch.float64)
    features, _ = network.forward(seen.double(), model.layer_names)
    pools = [each for each in layers if each.kind == "max_pool"]

    found = ties(seen, layers)

    for pool in pools:
        windows = in_windows(features[pool.inputs[0]], pool)
        told = {(later, first): where for later, first, where in found.get(pool.name, ())}
        for first, later in combinations(range(len(windows)), 2):
            true = ((windows[later] - windows[first]).abs() < NEARLY).all(0)
            here = told.get((later, first), true & False)
            assert here.shape == true.shape
            assert not (here & ~true).any()
            assert pool is not pools[0] or torch.equal(here, true)
    assert sum(int(where.sum()) for _, _, where in found[pools[0].name]) > 100


def in_windows(features: Tensor, pool: Layer) -> list[Tensor]:
    """Return what a pool sees at each place of its windows, (C, h, w), NaN where nothing is."""
    height, width = pool.size_after(*features.shape[2:])
    top, left = pool.padding
    padded = functional.pad(features[0], (left, 99, top, 99), value=torch.nan)
    return [
        padded[:, y * pool.dilation[0] :, x * pool.dilation[1] :][
            :, : height * pool.stride[0] : pool.stride[0], : width * pool.stride[1] : pool.stride[1]
        ]
        for y, x in product(range(pool.kernel[0]), range(pool.kernel[1]))
    ]


def test_nothing_ties_in_a_picture_without_equals() -> None:
    """And in one that is all of one colour, all but what sees its edge."""
    layers = thin_model().layers
    busy = torch.rand(3, 64, 48, generator=torch.Generator().manual_seed(1))
    flat = ties(torch.ones(3, 64, 48), layers)

    assert ties(busy, layers) == {}
    assert ties(torch.ones(3, 64, 48), layers, but=["pool1"]).keys() == flat.keys() - {"pool1"}
    assert len(flat["pool1"]) == 6
    assert all(where[1:-1, 1:-1].all() for _, _, where in flat["pool1"])


def test_a_tie_that_is_seen_through_gaps_is_found() -> None:
    """A dilated kernel sees nine pixels of forty-nine, and in this picture no others are equal."""
    dilated = wide("first", PICTURE, kind="convolution", dilation=(3, 3), padding=(0, 0))
    pool = wide("pool", "first", kind="max_pool", kernel=(2, 2), stride=(2, 2), padding=(0, 0))
    picture = torch.rand(3, 61, 83, generator=torch.Generator().manual_seed(1))
    picture[:, 27:34:3, 27:34:3] = picture[:, 27:34:3, 26:33:3]

    ((later, first, where),) = ties(picture, [dilated, pool])["pool"]

    assert (later, first) == (3, 2)
    assert where.nonzero().tolist() == [[13, 13]]


@pytest.mark.parametrize("by_kernel", [False, True], ids=["words", "the kernel's"])
@pytest.mark.parametrize("rounds_up", [True, False])
@pytest.mark.parametrize("size", [(37, 50), (24, 33)])
@pytest.mark.parametrize("picture", [patchwork, staircase])
def test_a_pool_that_rounding_has_led_astray_is_led_back(
    picture: Drawn,
    size: tuple[int, int],
    rounds_up: bool,
    by_kernel: bool,
) -> None:
    """The bits are those of features without rounding, odd sides rounded up or down."""
    if by_kernel and not native.available():
        pytest.skip(native.reason())
    network = network_of(thin_model((1,), (19,)), torch.float64)
    seen = picture(3, *size)
    exact = network.forward(seen.double(), ["relu1_1"])[0]["relu1_1"].float()
    noise = torch.randn(exact.shape, generator=torch.Generator().manual_seed(1))
    astray = exact * (1 + 1e-6 * noise)
    layers = [
        each.model_copy(update={"rounds_up": rounds_up}) if each.is_pool else each
        for each in network.model.layers
    ]
    moves = ties(seen, layers)["pool1"]
    expected = chosen(exact, rounds_up=rounds_up)

    if by_kernel:
        alive = of_kernel(chosen(astray, rounds_up=rounds_up))
        assert not torch.equal(alive, of_kernel(expected))
        native.let_first_pass(alive, moves)
        assert torch.equal(alive, of_kernel(expected))
    else:
        right, wrong = (
            bits.pool(channels_last(each), rounds_up=rounds_up, rectified=True)[1]
            for each in (exact, astray)
        )
        assert not torch.equal(wrong, right)
        bits.let_first_pass(wrong, moves, 19 * moves[0][2].shape[1])
        assert torch.equal(wrong, right)


@pytest.mark.parametrize("way", [way for way in ways_here(CPU) if way != REFERENCE], ids=str)
@pytest.mark.parametrize("picture", [patchwork, staircase])
def test_pools_that_overlap_choose_the_first_too(picture: Drawn, way: Way) -> None:
    """By their indices, whatever rounding has chosen, and of what is made in 16 bit too."""
    seen = picture(3, 61, 83)
    sharp = network_of(OVERLAPPING, torch.float64).run_by(Way("direct", "exact"))

    found = pulled_back(network_of(OVERLAPPING).run_by(way), seen)

    limit = {"exact": 1e-5, "balanced": 0.02, "fast": 0.3}[way.precision]
    assert apart(found, pulled_back(sharp, seen)) < limit


def pulled_back(network: Network, picture: Tensor) -> Tensor:
    """Return the gradient of a pull at the last layer that is another at every position."""
    features, tape = network.forward(picture.to(network.dtype), ["last"])
    seen = features["last"]
    pull = torch.cos(torch.arange(seen.numel(), dtype=torch.float64)).view(seen.shape)
    return tape.backward({"last": pull.to(seen.dtype)}).double()


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
