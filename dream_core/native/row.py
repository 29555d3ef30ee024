"""Calls of the kernel that are prepared first, and then run one behind the other.

While the kernel works, what it reads and writes drives Python's own code out of the cores' caches:
the 30 µs between two calls take 100 to 200. So all is prepared first, and little lies in between.
"""

import ctypes
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import NamedTuple

import torch
from torch import Tensor

from dream_core.native.library import PATHS, Call, function

ALIGNMENT = 64  # bytes
# Bytes of tensors that are held for calls which wait, before these are run: some more than the bits
# of a picture of 512 × 384.
MOST_HELD = 12 << 20

_scratch = threading.local()


class Work(NamedTuple):
    """A function of the library, and the one that says what room it works in."""

    name: str
    sizing: str


class Row:
    """Calls that wait. Whoever reads what they write, or writes on what they read, runs them."""

    def __init__(self, lasts: Callable[[Tensor], bool] | None = None) -> None:
        """Put none in yet.

        Args:
            lasts: whether what a tensor lies in is written on by calls of the same row alone once
                nobody holds it any more. All others are held until their calls have run.
        """
        self._lasts = lasts
        self._calls: list[Call] = []
        self._ready: list[tuple[Callable[..., int], int, object]] = []
        self._held: list[Tensor] = []
        self._bytes = self._room = 0

    def put(self, work: Work, path: str, call: Call, *tensors: Tensor | None) -> None:
        """Put in a call that reads and writes these tensors.

        Weights aren't among them: who computes with them has them.
        """
        number, pointer = PATHS.index(path), ctypes.byref(call)
        self._room = max(self._room, function(work.sizing)(number, pointer))
        self._calls.append(call)
        self._ready.append((function(work.name), number, pointer))
        for tensor in tensors:
            if tensor is not None and not (self._lasts and self._lasts(tensor)):
                self._held.append(tensor)
                self._bytes += tensor.nbytes
        if self._bytes > MOST_HELD:
            self.run()

    def run(self) -> None:
        """Run what waits, in order."""
        if not self._calls:
            return
        room = _kept(self._room)
        for call in self._calls:
            call.scratch = room
        for run, number, pointer in self._ready:  # and nothing else: it stays in the caches
            run(number, pointer)
        for done in (self._calls, self._ready, self._held):
            done.clear()
        self._bytes = self._room = 0


_open: ContextVar[Row | None] = ContextVar("row", default=None)


@contextmanager
def in_a_row(lasts: Callable[[Tensor], bool]) -> Iterator[None]:
    """Let convolutions of the kernel wait for one another inside; behind it they have run.

    `settle` before anything else reads what they write. See `Row` for `lasts`.
    """
    row = Row(lasts)
    before = _open.set(row)
    try:
        yield
        row.run()
    finally:
        _open.reset(before)


def settle() -> None:
    """Run what waits here, if anything does."""
    row = _open.get()
    if row is not None:
        row.run()


def opened() -> Row | None:
    """Return the row that is open here, if one is."""
    return _open.get()


def _kept(size: int) -> int:
    """Return the address of `size` bytes that stay with this thread: a page is only new once."""
    room: Tensor | None = getattr(_scratch, "room", None)
    if room is None or room.numel() < size + ALIGNMENT:
        _scratch.room = None  # before the new one is made
        room = _scratch.room = torch.empty(size + ALIGNMENT, dtype=torch.uint8)
    return -(-room.data_ptr() // ALIGNMENT) * ALIGNMENT
