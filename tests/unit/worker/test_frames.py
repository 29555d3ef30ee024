import os
import sys
import threading
from collections.abc import Callable

import numpy as np
import pytest

from dream_core.picture.errors import PictureNotFinite
from jobs.logs import bound, bound_now
from worker.frames import AHEAD, HELD_BYTES, NICENESS, Line

PATIENCE_S = 60  # of a test that waits for a thread; it fails then


def picture(number: int) -> np.ndarray:
    """Return a picture that can be told from others."""
    return np.full((3, 2, 2), number, np.float32)


def as_bytes(rgb: np.ndarray) -> bytes:
    """Encode a picture as its number."""
    return b"%d" % rgb[0, 0, 0]


def fine(told: list[tuple[int, bytes | None]]) -> Callable[[int, bytes | None], bool]:
    """Return what tells to a list."""

    def tell(news: int, png: bytes | None) -> bool:
        told.append((news, png))
        return True

    return tell


def test_news_are_told_in_order_whoever_encodes_faster() -> None:
    """The second picture is ready before the first one."""
    second, told = threading.Event(), list[tuple[int, bytes | None]]()

    def encode(rgb: np.ndarray) -> bytes:
        if rgb[0, 0, 0] == 1:
            assert second.wait(PATIENCE_S)
        second.set()
        return as_bytes(rgb)

    with Line(fine(told), encode, encoders=2) as line:
        line.add(1, picture(1))
        line.add(2, picture(2))
        line.add(3)

    assert told == [(1, b"1"), (2, b"2"), (3, None)]


def test_the_dream_goes_on_meanwhile_but_only_a_little_ahead() -> None:
    """Telling waits here until the dream is as far ahead as it may be; no news is left out."""
    told: list[int] = []
    ahead: list[int] = []
    total, stepped = 20, threading.Condition()

    def tell(news: int, _: bytes | None) -> bool:
        with stepped:
            assert stepped.wait_for(lambda: len(ahead) >= min(news + AHEAD, total), PATIENCE_S)
            told.append(news)
        return True

    with Line(tell, as_bytes) as line:
        for news in range(total):
            line.add(news, picture(news))
            with stepped:
                ahead.append(news + 1 - len(told))
                stepped.notify()
        assert line.drain()

    assert told == list(range(total))
    assert max(ahead) == AHEAD


def test_a_picture_that_takes_much_memory_is_waited_for() -> None:
    """What a plan has reckoned with is one such copy, and none beside a step."""
    told: list[tuple[int, bytes | None]] = []

    with Line(fine(told), as_bytes, picture_bytes=HELD_BYTES + 1) as line:
        line.add(1, picture(1))

        assert told == [(1, b"1")]


def test_what_goes_wrong_is_raised_in_the_dream_and_nothing_is_told_after_it() -> None:
    """A frame that is missing can't be followed by what promises it."""
    told: list[tuple[int, bytes | None]] = []
    heard: list[bool] = []

    def encode(rgb: np.ndarray) -> bytes:
        if rgb[0, 0, 0] == 2:
            raise PictureNotFinite(1, 12)
        return as_bytes(rgb)

    def dream() -> None:
        with Line(fine(told), encode) as line:
            for news in (1, 2, 3):
                line.add(news, picture(news))
            heard.append(line.drain())

    with pytest.raises(PictureNotFinite):
        dream()
    assert heard == [False]
    assert told == [(1, b"1")]


def test_a_fault_of_the_last_news_is_raised_at_the_end() -> None:
    """Nobody asks after it any more."""

    def tell(_news: int, _png: bytes | None) -> bool:
        raise PictureNotFinite(1, 12)

    with pytest.raises(PictureNotFinite), Line(tell, as_bytes) as line:
        line.add(1)


def test_what_was_dreamed_before_a_fault_of_the_dream_is_told() -> None:
    """And it is the dream's own fault that comes out."""
    told: list[tuple[int, bytes | None]] = []

    def dream() -> None:
        with Line(fine(told), as_bytes) as line:
            line.add(1, picture(1))
            line.add(2, picture(2))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        dream()
    assert told == [(1, b"1"), (2, b"2")]


def test_when_telling_is_over_the_dream_hears_it_and_the_rest_is_left() -> None:
    """As where a full disk was waited for, and the job is canceled meanwhile."""
    told: list[int] = []

    def tell(news: int, _: bytes | None) -> bool:
        told.append(news)
        return news < 2

    with Line(tell, as_bytes) as line:
        heard = [line.add(news) for news in range(10)]
        heard.append(line.drain())

    assert told == [0, 1, 2]
    assert (heard[0], heard[-1]) == (True, False)


def test_lines_of_the_log_know_whose_frames_they_are_about() -> None:
    """What is bound where the dream runs is bound where it is told."""
    known: list[object] = []

    def tell(_news: int, _png: bytes | None) -> bool:
        known.append(dict(bound_now()))
        return True

    with bound(job="01KAT"), Line(tell, as_bytes) as line:
        line.add(1)

    assert known == [{"job": "01KAT"}]


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a thread has its process' niceness")
def test_who_encodes_leaves_the_cores_to_who_dreams() -> None:
    """A picture late by a step disturbs nobody; a late step delays everything."""
    before = os.getpriority(os.PRIO_PROCESS, 0)

    def encode(_: np.ndarray) -> bytes:
        return b"%d" % os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

    told: list[tuple[int, bytes | None]] = []
    with Line(fine(told), encode) as line:
        line.add(1, picture(1))

    assert told == [(1, b"%d" % NICENESS)]
    assert os.getpriority(os.PRIO_PROCESS, 0) == before
