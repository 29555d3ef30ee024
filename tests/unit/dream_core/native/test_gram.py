"""Gram matrices by the kernel: against float64, on every path, in bits that no thread changes."""

import pytest
import torch
from torch import Tensor

from dream_core import native
from tests.emulated import every_path

# Odd sizes: fewer channels than a vector has, panels and pieces that are not full.
SHAPES = [(3, 5, 7), (16, 9, 1), (24, 33, 19), (64, 40, 53), (70, 1, 1300), (130, 12, 11)]


def features_of(channels: int, height: int, width: int, dtype: torch.dtype) -> Tensor:
    """Return features, channels last, of either sign."""
    generator = torch.Generator().manual_seed(channels)
    drawn = torch.randn(1, height, width, channels, generator=generator)
    return drawn.permute(0, 3, 1, 2).to(dtype)


def by_float64(features: Tensor) -> Tensor:
    """Return F Fᵀ of the very numbers that the features are."""
    flat = features[0].flatten(1).double()
    return flat @ flat.mT


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_every_path_sums_all_products(
    dtype: torch.dtype, path: str, shape: tuple[int, int, int]
) -> None:
    """To what float32 sums allow, and exactly symmetric; products of 16 bit are exact."""
    features = features_of(*shape, dtype)

    found = native.correlate(features, threads=2, path=path)

    expected = by_float64(features)
    assert found.dtype == torch.float32
    assert float((found - expected).norm() / expected.norm()) < 1e-6
    assert torch.equal(found, found.mT)


def test_any_number_of_threads_gives_the_same_bits(dtype: torch.dtype, path: str) -> None:
    """Pieces are cut by the positions alone, and added in their order."""
    features = features_of(64, 61, 67, dtype)

    once, *again = (
        native.correlate(features, threads=count, path=path) for count in (1, 2, 3, 8, 8)
    )

    assert all(torch.equal(one, once) for one in again)


def test_a_part_without_positions_adds_nothing(dtype: torch.dtype, path: str) -> None:
    """The last band of a picture may be thinner than a deeper layer's stride."""
    assert not native.correlate(features_of(32, 0, 9, dtype), threads=2, path=path).any()


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_every_path_pulls_at_every_position(
    dtype: torch.dtype, path: str, shape: tuple[int, int, int]
) -> None:
    """Sums are float32, rounded only where written: anew, over the features, onto what is there."""
    features = features_of(*shape, dtype)
    weights = by_float64(features_of(shape[0], 4, 9, torch.float32)).float() / 40
    how = {"path": path}

    anew, *again = (native.pull(features, weights, threads=each, **how) for each in (1, 2, 5))
    over = features.clone()
    native.pull(over, weights, over=True, threads=2, **how)
    onto = features_of(*shape, dtype).neg()
    native.pull(features, weights, onto, threads=2, **how)

    expected = torch.einsum("kc,bchw->bkhw", weights.double(), features.double())
    limit = 1e-6 if dtype == torch.float32 else 4e-3
    assert float((anew - expected).norm() / expected.norm()) < limit
    assert all(torch.equal(each, anew) for each in (*again, over))
    expected = expected - features
    assert float((onto - expected).norm() / expected.norm()) < limit


@pytest.mark.parametrize("path", [path for _, path in every_path("bfloat16")], indirect=True)
def test_other_bits_may_be_added_to(path: str) -> None:
    """A way forth of 32 bits and one back of 16 meet at a dose."""
    features, weights = features_of(24, 11, 13, torch.float32), torch.eye(24) * 2
    found = features_of(24, 11, 13, torch.bfloat16)
    pairs = path == "avx512_bf16"  # it multiplies numbers of 16 bit, two at a time
    read = features.bfloat16().float() if pairs else features
    expected = (found.float() + 2 * read).bfloat16()

    native.pull(features, weights, found, threads=2, path=path)

    assert torch.equal(found, expected)


def test_what_lies_otherwise_is_refused() -> None:
    """Planes, and a part that is cut on both sides, would be read as something else."""
    planes = torch.ones(1, 8, 6, 6)
    part = features_of(8, 6, 6, torch.float32)[:, :, 1:, 1:]

    for features in (planes, part, planes.double()):
        assert not native.reads(features)
        with pytest.raises(ValueError, match="channels last"):
            native.correlate(features, threads=1)
