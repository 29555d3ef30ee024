"""The kernel against torch in float64: any size, both ways, both pools, every instruction path."""

from typing import Literal

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from dream_core import native
from tests.emulated import every_path

pytestmark = pytest.mark.skipif(not native.available(), reason=native.reason())

Pool = Literal["max", "avg"] | None
# Relative L2 against float64; about twice of what was measured over all cases below.
LIMITS = {"portable": 3e-6, "avx2": 3e-6, "avx512": 3e-6, "avx512_bf16": 5e-2, "amx": 1e-2}
SURE = 1e-4  # a value further than this from its rival is on the same side in float32

POOLS: list[tuple[Pool, bool]] = [
    (None, False),
    ("max", False),
    ("max", True),
    ("avg", False),
    ("avg", True),
]
# Height, width, channels in and out: tiles cut off on either side, odd channels, the pairs of VGG.
SHAPES = [
    (1, 1, 16, 16),
    (2, 3, 8, 24),
    (5, 7, 3, 5),
    (13, 9, 64, 64),
    (8, 8, 33, 17),
    (70, 53, 16, 40),
    (31, 18, 64, 128),
    (9, 6, 128, 256),
    (5, 4, 256, 512),
    (6, 3, 512, 512),
]


def uniform(seed: int, *shape: int) -> Tensor:
    """Return values in [−1, 1), channels last in memory where there are four axes."""
    values = torch.rand(*shape, generator=torch.Generator().manual_seed(seed)) * 2 - 1
    return last(values) if len(shape) == 4 else values


def last(tensor: Tensor) -> Tensor:
    """Lay (1, C, H, W) out with its channels last."""
    return tensor.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)


def error(found: Tensor, expected: Tensor) -> float:
    """Return the relative L2 distance."""
    distance = (found.double() - expected).norm() / expected.norm().clamp_min(1e-30)
    return float(distance.detach())


def pooled(values: Tensor, pool: Pool, rounds_up: bool) -> Tensor:
    """Pool as torch does."""
    if pool == "max":
        return functional.max_pool2d(values, 2, 2, ceil_mode=rounds_up)
    if pool == "avg":
        return functional.avg_pool2d(values, 2, 2, ceil_mode=rounds_up)
    return values


def unpooled(gradient: Tensor, size: tuple[int, int], pool: Pool, rounds_up: bool) -> Tensor:
    """Give every position its window's gradient; under `avg` its share of it."""
    if pool is None:
        return gradient
    ones = torch.ones(1, 1, *size, dtype=gradient.dtype, requires_grad=True)
    pooled(ones, "avg", rounds_up).sum().backward()
    assert ones.grad is not None
    shares = ones.grad if pool == "avg" else (ones.grad > 0).to(gradient.dtype)
    spread = gradient.repeat_interleave(2, 2).repeat_interleave(2, 3)
    room = torch.zeros(1, gradient.shape[1], *size, dtype=gradient.dtype)
    height, width = min(size[0], spread.shape[2]), min(size[1], spread.shape[3])
    room[:, :, :height, :width] = spread[:, :, :height, :width]
    return room * shares


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_it_agrees_with_torch_in_float64_both_ways(
    operands: native.Operands, path: str, shape: tuple[int, int, int, int]
) -> None:
    """Every pool and rounding, from a single position on; bits and gradient belong together."""
    height, width, channels, outputs = shape
    features = uniform(1, 1, channels, height, width)
    weight, bias = uniform(2, outputs, channels, 3, 3).contiguous(), uniform(3, outputs)
    size = (height, width)
    how = {"threads": 2, "operands": operands, "path": path}
    plain = functional.conv2d(features.double(), weight.double(), bias.double(), padding=1)
    for pool, rounds_up in POOLS:
        if pool and not rounds_up and min(size) < 2:
            continue  # nothing is left, and torch refuses it too
        alive = native.new_alive(outputs, *size)
        expected = pooled(plain.relu(), pool, rounds_up)

        found = native.convolve(
            features, weight, bias, pool=pool, rounds_up=rounds_up, alive=alive, **how
        )
        gradient = uniform(4, *expected.shape)
        pulled = native.pull_back(
            gradient, weight, alive=alive, size=size, pool=pool, rounds_up=rounds_up, **how
        )

        assert error(found, expected) < LIMITS[path]
        arrives = unpooled(gradient.double(), size, pool, rounds_up)
        arrives *= native.unpack(alive, outputs)
        expected = functional.conv_transpose2d(arrives, weight.double(), padding=1)
        assert error(pulled, expected) < LIMITS[path]


@pytest.mark.parametrize("path", [path for _, path in every_path("bfloat16")], indirect=True)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_16_bit_in_and_out_only_round_what_float32_gives(
    path: str, shape: tuple[int, int, int, int]
) -> None:
    """The same sums and bits as of the same values in float32, rounded where they are written."""
    height, width, channels, outputs = shape
    features = uniform(1, 1, channels, height, width).bfloat16()
    weight, bias = uniform(2, outputs, channels, 3, 3).contiguous(), uniform(3, outputs)
    size = (height, width)
    for pool, rounds_up in POOLS:
        if pool and not rounds_up and min(size) < 2:
            continue
        how = {"pool": pool, "rounds_up": rounds_up, "threads": 2}
        how |= {"operands": "bfloat16", "path": path}
        alive, wide_alive = (native.new_alive(outputs, *size) for _ in range(2))

        found = native.convolve(features, weight, bias, alive=alive, **how)
        gradient = uniform(4, *found.shape).bfloat16()
        pulled = native.pull_back(gradient, weight, alive=alive, size=size, **how)

        wide = native.convolve(features.float(), weight, bias, alive=wide_alive, **how)
        wide_pulled = native.pull_back(gradient.float(), weight, alive=alive, size=size, **how)
        assert torch.equal(found, wide.bfloat16())
        assert torch.equal(alive, wide_alive)
        assert torch.equal(pulled, wide_pulled.bfloat16())


def test_a_path_that_reads_float32_only_refuses_16_bit() -> None:
    """It would take pairs of values for one each."""
    features = uniform(1, 1, 16, 4, 4).bfloat16()
    weight = uniform(2, 16, 16, 3, 3).contiguous()

    with pytest.raises(ValueError, match="float32 only"):
        native.convolve(features, weight, None, threads=1)


def test_a_large_layer_is_done_in_rounds() -> None:
    """Filters that fit no cache stay with a thread while it meets the tiles, 384 at a time."""
    features = uniform(1, 1, 256, 81, 79)
    weight = uniform(2, 512, 256, 3, 3).contiguous()

    found = native.convolve(features, weight, None, rectify=False, threads=2)

    expected = functional.conv2d(features, weight, padding=1).double()
    assert error(found, expected) < 2 * LIMITS[native.paths()[0]]


@pytest.mark.parametrize("path", [path for _, path in every_path("float32")], indirect=True)
def test_many_channels_are_not_added_up_in_one_row(path: str) -> None:
    """Behind a ReLU all have one sign, so a long sum rounds off most: 1.9e-6 in one row."""
    features = uniform(1, 1, 512, 12, 12).relu()
    weight = uniform(2, 32, 512, 3, 3).contiguous()

    found = native.convolve(features, weight, None, rectify=False, threads=1, path=path)

    expected = functional.conv2d(features.double(), weight.double(), padding=1)
    assert error(found, expected) < 1.2e-6


@pytest.mark.parametrize(("pool", "rounds_up"), POOLS)
def test_the_bits_say_what_is_alive_and_chosen(path: str, pool: Pool, rounds_up: bool) -> None:
    """Where float64 is sure of it; windows over the edge choose among what is there."""
    size, outputs = (37, 23), 19
    features = uniform(1, 1, 16, *size)
    weight, bias = uniform(2, outputs, 16, 3, 3).contiguous(), uniform(3, outputs)
    values = functional.conv2d(features.double(), weight.double(), bias.double(), padding=1)
    alive = native.new_alive(outputs, *size)

    native.convolve(
        features, weight, bias, pool=pool, rounds_up=rounds_up, alive=alive, threads=1, path=path
    )

    bits = native.unpack(alive, outputs)
    rival = torch.zeros_like(values)
    if pool == "max":
        # The best of the window but for the position itself, or zero where none is better.
        for shift in ((0, 1), (1, 0), (1, 1)):
            rows = torch.arange(size[0]) ^ shift[0]
            columns = torch.arange(size[1]) ^ shift[1]
            there = (rows < size[0])[:, None] & (columns < size[1])
            other = values[:, :, rows.clamp_max(size[0] - 1)][..., columns.clamp_max(size[1] - 1)]
            rival = torch.where(there, torch.maximum(rival, other), rival)
    sure = (values - rival).abs() > SURE
    sure &= unpooled(torch.ones(1, 1, *_half(size, pool, rounds_up)), size, pool, rounds_up) > 0

    assert sure.float().mean() > 0.9
    assert torch.equal(bits[sure], (values > rival)[sure])


def _half(size: tuple[int, int], pool: Pool, rounds_up: bool) -> tuple[int, int]:
    return size if pool is None else ((size[0] + rounds_up) // 2, (size[1] + rounds_up) // 2)


def test_an_average_comes_back_without_bits_too(path: str) -> None:
    """Where nothing was rectified there is none to mask, at the edges and inside of them."""
    size, weight = (21, 18), uniform(2, 24, 16, 3, 3).contiguous()
    gradient = uniform(3, 1, 24, 10, 9)

    pulled = native.pull_back(
        gradient, weight, alive=None, size=size, pool="avg", threads=1, path=path
    )

    arrives = unpooled(gradient.double(), size, "avg", False)
    expected = functional.conv_transpose2d(arrives, weight.double(), padding=1)
    assert error(pulled, expected) < LIMITS[path]


def test_of_equals_the_first_is_chosen(operands: native.Operands, path: str) -> None:
    """As torch does: else a flat region of a picture would pull elsewhere."""
    alive = native.new_alive(16, 6, 6)
    zeros, weight = last(torch.zeros(1, 16, 6, 6)), torch.ones(16, 16, 3, 3)

    found = native.convolve(
        zeros,
        weight,
        torch.ones(16),
        pool="max",
        alive=alive,
        threads=1,
        operands=operands,
        path=path,
    )

    first = torch.zeros(6, 6, dtype=torch.bool)
    first[::2, ::2] = True
    assert torch.equal(found, torch.ones(1, 16, 3, 3))
    assert torch.equal(native.unpack(alive, 16), first.expand(1, 16, 6, 6))


def test_zero_is_not_alive(operands: native.Operands, path: str) -> None:
    """Relu's gradient at zero is zero in torch, and a max pool over it gives nothing back."""
    zeros, weight = last(torch.zeros(1, 16, 5, 5)), torch.ones(16, 16, 3, 3)
    for pool in (None, "max"):
        alive = native.new_alive(16, 5, 5)
        native.convolve(
            zeros, weight, None, pool=pool, alive=alive, threads=1, operands=operands, path=path
        )

        assert not native.unpack(alive, 16).any()


def test_without_its_relu_a_convolution_keeps_its_own_values(path: str) -> None:
    """What an objective at `conv3_1` sees; the bits are written all the same."""
    features, weight = uniform(1, 1, 16, 9, 7), uniform(2, 24, 16, 3, 3).contiguous()
    alive = native.new_alive(24, 9, 7)

    found = native.convolve(
        features, weight, None, rectify=False, alive=alive, threads=1, path=path
    )

    expected = functional.conv2d(features.double(), weight.double(), padding=1)
    assert error(found, expected) < LIMITS[path]
    assert torch.equal(native.unpack(alive, 24), found > 0)


@pytest.mark.parametrize("shape", [(1, 1, 3, 64), (37, 53, 3, 64), (16, 7, 1, 5), (9, 70, 4, 24)])
def test_the_first_layer_agrees_with_torch_both_ways(
    path: str, shape: tuple[int, int, int, int]
) -> None:
    """It reads and writes planes, and has no Winograd: the error is that of plain float32."""
    height, width, channels, outputs = shape
    picture = uniform(1, 1, channels, height, width).contiguous()
    weight, bias = uniform(2, outputs, channels, 3, 3).contiguous(), uniform(3, outputs)
    alive = native.new_alive(outputs, height, width)

    found = native.convolve_picture(picture, weight, bias, alive=alive, threads=2, path=path)
    gradient = uniform(4, *found.shape)
    pulled = native.pull_back_to_picture(gradient, weight, alive=alive, threads=2, path=path)

    plain = functional.conv2d(picture.double(), weight.double(), bias.double(), padding=1)
    assert error(found, plain.relu()) < 1e-6
    arrives = gradient.double() * native.unpack(alive, outputs)
    assert error(pulled, functional.conv_transpose2d(arrives, weight.double(), padding=1)) < 1e-6


@pytest.mark.parametrize("path", [path for _, path in every_path("bfloat16")], indirect=True)
@pytest.mark.parametrize("shape", [(1, 1, 3, 64), (13, 53, 3, 64), (9, 70, 4, 21)], ids=str)
def test_the_first_layer_multiplies_float32_whatever_lies_behind_it(
    path: str, shape: tuple[int, int, int, int]
) -> None:
    """A picture isn't rounded; 16 bit only rounds what is written, and is widened where read."""
    height, width, channels, outputs = shape
    picture = uniform(1, 1, channels, height, width).contiguous()
    weight, bias = uniform(2, outputs, channels, 3, 3).contiguous(), uniform(3, outputs)
    how = {"threads": 2, "operands": "bfloat16", "path": path}
    alive, wide_alive = (native.new_alive(outputs, height, width) for _ in range(2))

    found = native.convolve_picture(picture, weight, bias, alive=alive, **how)
    gradient = uniform(4, *found.shape).bfloat16()
    pulled = native.pull_back_to_picture(gradient, weight, alive=alive, **how)

    wide = native.convolve_picture(picture, weight, bias, alive=wide_alive, threads=2)
    assert torch.equal(found, wide.bfloat16())
    assert torch.equal(alive, wide_alive)
    arrives = gradient.double() * native.unpack(alive, outputs)
    assert error(pulled, functional.conv_transpose2d(arrives, weight.double(), padding=1)) < 1e-6


@pytest.mark.parametrize("shape", [(64, 96, 45, 70), (256, 512, 17, 29)], ids=str)
def test_bits_of_the_result_depend_neither_on_threads_nor_on_the_run(
    operands: native.Operands, path: str, shape: tuple[int, int, int, int]
) -> None:
    """A dream that is resumed with other threads goes on as if nothing had been.

    By tiles and by panels; threads that don't divide either, and more than there are panels.
    """
    channels, outputs, *size = shape
    features = uniform(1, 1, channels, *size)
    weight = uniform(2, outputs, channels, 3, 3).contiguous()
    how = {"operands": operands, "path": path}
    first, *others = (
        native.convolve(features, weight, None, threads=threads, **how)
        for threads in (1, 1, 2, 3, 5, 7, 40)
    )
    assert all(torch.equal(other, first) for other in others)

    first, *others = (
        native.pull_back(first, weight, alive=None, size=tuple(size), threads=threads, **how)
        for threads in (1, 4, 11)
    )
    assert all(torch.equal(other, first) for other in others)


def test_threads_of_its_own_give_the_same_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where torch brings no OpenMP that we know (macOS), the kernel starts threads by itself."""
    features, weight = uniform(1, 1, 64, 45, 70), uniform(2, 96, 64, 3, 3).contiguous()
    expected = native.convolve(features, weight, None, threads=3)

    monkeypatch.setattr("dream_core.native.convolution.parallel", lambda: None)

    assert torch.equal(native.convolve(features, weight, None, threads=3), expected)


def test_a_nan_is_seen_behind_relu_and_pool(path: str) -> None:
    """A loss that is NaN tells that something broke; a NaN that became zero tells nothing."""
    features, weight = uniform(1, 1, 16, 8, 8), torch.ones(16, 16, 3, 3)
    features[0, 3, 4, 4] = float("nan")
    for pool in (None, "max", "avg"):
        found = native.convolve(features, weight, None, pool=pool, threads=1, path=path)

        assert found.isnan().any()


def test_what_does_not_fit_is_refused() -> None:
    """A wrong address would be read to the end, silently."""
    features, weight = uniform(1, 1, 16, 8, 8), uniform(2, 16, 16, 3, 3).contiguous()
    with pytest.raises(ValueError, match="channels last"):
        native.convolve(features.contiguous(), weight, None, threads=1)
    with pytest.raises(ValueError, match="don't fit"):
        native.convolve(features, weight[:, :8].contiguous(), None, threads=1)
    with pytest.raises(ValueError, match="bits of"):
        native.convolve(features, weight, None, alive=native.new_alive(16, 8, 7), threads=1)
    with pytest.raises(ValueError, match="without the bits"):
        native.pull_back(
            uniform(3, 1, 16, 4, 4), weight, alive=None, size=(8, 8), pool="max", threads=1
        )
    with pytest.raises(ValueError, match="no amx for float32 here"):
        native.convolve(features, weight, None, threads=1, path="amx")
    with pytest.raises(ValueError, match="0 threads"):
        native.convolve(features, weight, None, threads=0)
    with pytest.raises(
        ValueError, match=r"one float32 picture, not \(1, 16, 8, 8\) torch.bfloat16"
    ):
        native.convolve_picture(features.bfloat16(), weight, None, threads=1)


def test_who_does_what_decides_no_bit(operands: native.Operands, path: str) -> None:
    """Threads take what is left, also of what another has begun: again and again the same bits."""
    features, weight = uniform(1, 1, 64, 48, 60), uniform(2, 256, 64, 3, 3).contiguous()

    def convolved(threads: int) -> Tensor:
        return native.convolve(
            features, weight, None, threads=threads, operands=operands, path=path
        )

    alone = convolved(1)

    assert all(torch.equal(convolved(3), alone) for _ in range(30))
