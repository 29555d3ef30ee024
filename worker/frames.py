"""What a dream tells on its way, in order and beside its steps: frames first, then its progress.

Encoding a picture and writing it down costs a tenth of a fast step. So threads of their own do it,
and the dream goes on meanwhile; but only a little ahead, so that memory stays bounded and no frame
is ever left out.
"""

import os
import sys
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from types import TracebackType
from typing import Generic, Self, TypeVar

AHEAD = 3  # iterations that may wait to be told: a write that takes longer than a step stops none
HELD_BYTES = 32 * 2**20  # of their pictures; one that is larger is waited for, as memory is planned
NICENESS = 19  # of who encodes: what the threads that dream leave

_News = TypeVar("_News")
_Picture = TypeVar("_Picture")


class Line(Generic[_News, _Picture]):
    """News that wait in line to be told, one after the other, by a thread of its own.

    As a context manager it ends when all is told. What goes wrong in telling is raised there, and
    nothing behind it is told any more.
    """

    def __init__(
        self,
        tell: Callable[[_News, bytes | None], bool],
        encode: Callable[[_Picture], bytes],
        encoders: int = 1,
        picture_bytes: int = 0,
    ) -> None:
        """Begin empty.

        Args:
            tell: tells the news, with its picture's bytes where it has one; False: nothing
                behind it is to be told.
            encode: makes bytes of a picture, for which it may have to wait.
            encoders: how many threads do.
            picture_bytes: what a picture takes in memory.
        """
        self._tell = tell
        self._encode = encode
        self._picture_bytes = picture_bytes
        self._encoders = ThreadPoolExecutor(encoders, "encoder", step_back)
        self._waiting: deque[tuple[_News, Future[bytes] | None]] = deque()
        self._changed = threading.Condition()
        self._closing = False
        self._goes_on = True
        self._fault: BaseException | None = None
        context = copy_context()  # what is bound to every line of the log
        self._thread = threading.Thread(
            target=context.run, args=(self._tell_all,), daemon=True, name="frames"
        )

    def __enter__(self) -> Self:
        """Start."""
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        """Tell what still waits; what goes wrong then is raised, unless something else has."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join()
        self._encoders.shutdown(cancel_futures=True)
        if self._fault is not None and kind is None:
            raise self._fault

    def add(self, news: _News, picture: _Picture | None = None) -> bool:
        """Put news at the end of the line; return when few enough wait.

        Returns:
            Whether the dream is to go on: False once `tell` has said so, or something went wrong.
        """
        encoded = None if picture is None else self._encoders.submit(self._encode, picture)
        with self._changed:
            self._waiting.append((news, encoded))
            self._changed.notify_all()
        return self._wait_for(self._few)

    def drain(self) -> bool:
        """Return when all is told, and as `add` does."""
        return self._wait_for(lambda: not self._waiting)

    def _few(self) -> bool:
        pictures = sum(encoded is not None for _, encoded in self._waiting)
        return len(self._waiting) <= AHEAD and pictures * self._picture_bytes <= HELD_BYTES

    def _wait_for(self, enough: Callable[[], bool]) -> bool:
        with self._changed:
            self._changed.wait_for(lambda: enough() or not self._goes_on)
            return self._goes_on

    def _tell_all(self) -> None:
        while self._goes_on:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._closing)
                if not self._waiting:
                    return
                news, encoded = self._waiting[0]
            goes_on = False
            try:
                goes_on = self._tell(news, encoded.result() if encoded else None)
            except BaseException as fault:  # raised by the thread that dreams
                self._fault = fault
            with self._changed:
                self._goes_on = goes_on
                self._waiting.popleft()
                self._changed.notify_all()


def step_back() -> None:
    """Leave the cores to the threads that dream; on Linux each thread has a niceness of its own."""
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
