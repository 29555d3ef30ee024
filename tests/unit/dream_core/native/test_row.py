"""Calls in a row: what they give, what they hold, and when they run."""

from weakref import ref

import pytest
import torch
from torch import Tensor

from dream_core import native
from dream_core.native import row

pytestmark = pytest.mark.skipif(not native.available(), reason=native.reason())

SIZE = (24, 16)


def features(channels: int = 16) -> Tensor:
    """Return some, channels last."""
    return torch.randn(1, *SIZE, channels).permute(0, 3, 1, 2)


def convolved(read: Tensor, weight: Tensor, out: Tensor | None = None) -> Tensor:
    """Return what two threads make of them."""
    return native.convolve(read, weight, None, out=out, threads=2)


def nothing(_: Tensor) -> bool:
    """Say that no tensor lasts."""
    return False


def test_calls_in_a_row_give_what_each_gives_alone() -> None:
    """The last reads what the first has written, in the room of what the first has read."""
    read, weights = features(), torch.randn(3, 16, 16, 3, 3)
    expected = read
    for weight in weights:
        expected = convolved(expected, weight)

    with native.in_a_row(nothing):
        first = convolved(read, weights[0])
        second = convolved(first, weights[1], out=read)
        third = convolved(second, weights[2], out=first)

    assert torch.equal(third, expected)


def test_nothing_has_run_before_it_is_settled() -> None:
    """Python prepares the next call meanwhile: that is what a row is for."""
    out, weight = features().zero_(), torch.randn(16, 16, 3, 3)

    with native.in_a_row(nothing):
        convolved(features(), weight, out=out)
        assert not out.any()
        native.settle()
        assert out.any()


def test_a_product_of_features_is_there_at_once_and_so_is_what_it_is_made_of() -> None:
    """Objectives read it."""
    read, weight = features(), torch.randn(16, 16, 3, 3)
    expected = native.correlate(convolved(read, weight), threads=2)

    with native.in_a_row(nothing):
        found = native.correlate(convolved(read, weight), threads=2)
        assert torch.equal(found, expected)


def test_what_nobody_else_holds_is_held_until_it_has_been_read() -> None:
    """Or the C library would give its place away, to whoever asks next."""
    read, weight = features(), torch.randn(16, 16, 3, 3)
    gone = ref(read)

    with native.in_a_row(nothing):
        convolved(read, weight)
        del read
        assert gone() is not None
        native.settle()
        assert gone() is None


def test_what_lasts_is_not_held() -> None:
    """A room must be free again for what is made next, or a step would need many more."""
    lasting = features()
    read, weight = lasting.detach(), torch.randn(16, 16, 3, 3)
    gone = ref(read)

    with native.in_a_row(lambda tensor: tensor.data_ptr() == lasting.data_ptr()):
        convolved(read, weight)
        del read
        assert gone() is None


def test_a_row_ends_before_it_holds_much(monkeypatch: pytest.MonkeyPatch) -> None:
    """A large picture's bits are as many as its memory allows; 30 µs don't matter to it."""
    read, out, weight = features(), features().zero_(), torch.randn(16, 16, 3, 3)
    monkeypatch.setattr(row, "MOST_HELD", 3 * read.nbytes)

    with native.in_a_row(nothing):
        convolved(read, weight, out=out)
        assert not out.any()
        convolved(read, weight)
        assert out.any()


def test_what_waits_when_something_fails_is_dropped() -> None:
    """Ctrl-C ends a step, and no call runs behind it on memory that is somebody else's."""
    read, out, weight = features(), features().zero_(), torch.randn(16, 16, 3, 3)

    def step() -> None:
        with native.in_a_row(nothing):
            convolved(read, weight, out=out)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        step()

    native.settle()
    assert not out.any()
