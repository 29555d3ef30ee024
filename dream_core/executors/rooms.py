"""Room for what one layer hands to the next: asked of the system once, used at every step again.

A fresh page costs more than what is written on it, and a step hands on several hundred megabytes.
"""

import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from mmap import mmap
from threading import Lock

import numpy as np
import torch
from torch import Tensor

# What the C library keeps by itself, in pieces that fit again.
SMALLEST = 1 << 20
MAPPED = 1 << 25  # what glibc never keeps: the most that its own threshold grows to


class Rooms:
    """Pieces of memory, each let to one tensor at a time; it is free again when that is gone."""

    def __init__(self, maps_from: int = MAPPED) -> None:
        """Hold none yet.

        Args:
            maps_from: bytes from which the C library asks the system for each block anew.
        """
        self.maps_from = maps_from
        self._free: list[mmap] = []
        self._lock = Lock()

    def features(self, dtype: torch.dtype, channels: int, height: int, width: int) -> Tensor:
        """Return room on the CPU for (1, C, H, W), channels last; anything may be in it."""
        size = channels * height * width * dtype.itemsize
        if size < SMALLEST:
            return torch.empty(1, height, width, channels, dtype=dtype).permute(0, 3, 1, 2)
        room = self._take(size)
        # The tensor and all its views hold the array. Who holds them doesn't matter, nor how long.
        lease = np.frombuffer(room, np.uint8, size)
        weakref.finalize(lease, self._free.append, room).atexit = False
        flat = torch.from_numpy(lease).view(dtype)
        return flat.view(1, height, width, channels).permute(0, 3, 1, 2)

    def _take(self, size: int) -> mmap:
        """Return the smallest that fits; a new one takes the place of one that no longer does."""
        with self._lock:
            self._free.sort(key=len)
            for index, room in enumerate(self._free):
                if len(room) >= size:
                    return self._free.pop(index)
            if self._free:
                self._free.pop()
        return mmap(-1, size)


_current: ContextVar[Rooms | None] = ContextVar("rooms", default=None)


def features(dtype: torch.dtype, channels: int, height: int, width: int) -> Tensor:
    """Return room as `Rooms.features` does, in those that are lent out here if any are."""
    return (_current.get() or Rooms()).features(dtype, channels, height, width)


def copied(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    """Return a copy of (1, C, H, W), channels last; on a CPU in such a room."""
    if tensor.device.type != "cpu":
        return tensor.to(dtype, memory_format=torch.channels_last, copy=True)
    return features(dtype, *tensor.shape[1:]).copy_(tensor)


def converted(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    """Return (1, C, H, W) in that dtype, channels last: itself where it is so already."""
    if tensor.dtype == dtype and tensor.is_contiguous(memory_format=torch.channels_last):
        return tensor
    return copied(tensor, dtype)


def saves_pages(size: int) -> bool:
    """Whether a block of that many bytes would lie in fresh pages, and rooms are lent out here."""
    current = _current.get()
    return current is not None and size >= current.maps_from


@contextmanager
def lent(rooms: Rooms) -> Iterator[None]:
    """Take room from these inside."""
    before = _current.set(rooms)
    try:
        yield
    finally:
        _current.reset(before)
