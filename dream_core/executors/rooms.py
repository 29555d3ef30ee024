"""Room for what one layer hands to the next: asked of the system once, used at every step again.

A fresh page costs more than what is written on it, and a step hands on several hundred megabytes.
"""

import ctypes
import mmap
import platform
import weakref
from bisect import insort
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from threading import Lock

import torch
from torch import Tensor

from dream_core.forms.memory import SCATTERED_BELOW
from dream_core.forms.over import LARGE, spare_rows

# What the C library keeps by itself, in pieces that fit again.
SMALLEST = 1 << 20
# Bytes of addresses that are taken at once. Only what is written on becomes memory.
RESERVED = 1 << 32
PAGE = mmap.PAGESIZE
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # malloc.h
AT_FIRST = 1 << 16  # numbers that are made shorter beside them, before there is place behind those


class Rooms:
    """Memory that is let to one tensor in one place at a time; free again when that is gone.

    The first free stretch that is wide enough is let, at its end where its start would lie against
    the room let before: a layer reads that one, and when it is given back, what is left is one
    stretch. So all the memory that is ever written on is what was held at once, and little more.
    """

    def __init__(self, *, reserved: int = RESERVED) -> None:
        """Hold none yet.

        Args:
            reserved: bytes of addresses that are taken at least, each time they don't suffice.
        """
        self._reserved = reserved
        self._spaces: list[_Space] = []
        self._lock = Lock()

    def features(
        self,
        dtype: torch.dtype,
        channels: int,
        height: int,
        width: int,
        *,
        spare: bool = False,
        scratch: bool = False,
    ) -> Tensor:
        """Return room on the CPU for (1, C, H, W), channels last; anything may be in it.

        Args:
            dtype: of what it is for.
            channels: C.
            height: H.
            width: W.
            spare: whether it should have a stripe more behind it, if it is large: see `over`.
            scratch: whether it will be given back before the next result is let.
        """
        size = channels * height * width * dtype.itemsize
        if size < SMALLEST:
            return torch.empty(1, height, width, channels, dtype=dtype).permute(0, 3, 1, 2)
        more = _spare(size, height) if spare else 0
        with self._lock:
            lease = self._let(-(-(size + more) // PAGE) * PAGE, scratch=scratch)
        # The tensor and all its views hold the lease. Who holds them doesn't matter, nor how long.
        flat = torch.frombuffer(lease, dtype=dtype, count=(size + more) // dtype.itemsize)
        row = width * channels
        return flat.as_strided((1, channels, height, width), (height * row, 1, row, channels))

    def __contains__(self, tensor: Tensor) -> bool:
        """Whether a tensor lies in one of them."""
        return any(space.has(tensor.data_ptr()) for space in self._spaces)

    def _let(self, size: int, *, scratch: bool) -> memoryview:
        for space in self._spaces:
            start = space.take(size, scratch=scratch)
            if start is not None:
                return space.lease(start, size)
        self._spaces.append(_Space(size, max(size, self._reserved)))
        return self._let(size, scratch=scratch)


class _Space:
    """Addresses in one piece."""

    def __init__(self, least: int, size: int) -> None:
        """Take `size` bytes of them, or the `least` where the system gives out no more.

        Raises:
            MemoryError: not even that.
        """
        try:
            memory = _addresses(size)
        except OSError:  # it counts addresses as memory; then each room is a piece of its own
            try:
                memory = _addresses(least)
            except OSError as error:
                raise MemoryError(f"no {least} bytes for features: {error}") from error
        self._bytes = memoryview(memory)
        self._begin = torch.frombuffer(memory, dtype=torch.uint8).data_ptr()
        self._free = [(0, len(self._bytes))]  # from, to; by place
        self._written = 0  # to where rooms were let: nothing behind it is memory yet
        self._last = 0  # where the latest result ends
        # Leases may end anywhere, even in the middle of a call here: they only put themselves down.
        self._ended: list[tuple[int, int]] = []

    def has(self, address: int) -> bool:
        """Whether an address is one of them."""
        return self._begin <= address < self._begin + len(self._bytes)

    def take(self, size: int, *, scratch: bool = False) -> int | None:
        """Return where that much begins which was free and no longer is; None where nothing is."""
        last = self._last
        start = self._take(size)
        if scratch:  # what is read next is still the result before it
            self._last = last
        return start

    def _take(self, size: int) -> int | None:
        while self._ended:
            self._join(self._ended.pop())
        for start, stop in self._free:
            within = min(stop, self._written)
            if within - start >= size:
                return self._cut(within - size if start == self._last else start, size)
        if self._free and self._free[-1][1] - self._free[-1][0] >= size:
            return self._cut(self._free[-1][0], size)
        return None

    def lease(self, start: int, size: int) -> memoryview:
        """Return the bytes there, at whose end their place is free."""
        found = self._bytes[start : start + size]
        weakref.finalize(found, self._ended.append, (start, start + size)).atexit = False
        return found

    def _cut(self, begin: int, size: int) -> int:
        """Take a piece out of the free stretch that it lies in."""
        end = begin + size
        index = next(at for at, (_, stop) in enumerate(self._free) if end <= stop)
        start, stop = self._free[index]
        around = [(start, begin), (end, stop)]
        self._free[index : index + 1] = [each for each in around if each[0] < each[1]]
        self._written, self._last = max(self._written, end), end
        return begin

    def _join(self, ended: tuple[int, int]) -> None:
        insort(self._free, ended)
        index = self._free.index(ended)
        for left in (index, index - 1):  # with the next one, then with the one before
            if 0 <= left < len(self._free) - 1 and self._free[left][1] == self._free[left + 1][0]:
                self._free[left : left + 2] = [(self._free[left][0], self._free[left + 1][1])]


def _addresses(size: int) -> mmap.mmap:
    """Return addresses without memory yet; where pages may be shared they would count at once."""
    if hasattr(mmap, "MAP_PRIVATE"):
        return mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    return mmap.mmap(-1, size)


_current: ContextVar[Rooms | None] = ContextVar("rooms", default=None)


def features(dtype: torch.dtype, *size: int, spare: bool = False, scratch: bool = False) -> Tensor:
    """Return room as `Rooms.features` does, in those that are lent out here if any are."""
    here = _current.get() or Rooms(reserved=0)
    return here.features(dtype, *size, spare=spare, scratch=scratch)


def let_here(tensor: Tensor) -> bool:
    """Return whether a tensor lies in those that are lent out here.

    Once nobody holds it, only what is let there later is written where it was.
    """
    here = _current.get()
    return here is not None and tensor in here


def over(tensor: Tensor) -> Tensor | None:
    """Return room for as much a stripe before or behind a tensor, in the room that it lies in.

    None where that has none to spare. Who writes there, and who holds the tensor, must know that
    it is lost.
    """
    spare = _spare(tensor.nbytes, tensor.shape[2])
    if not spare or tensor.untyped_storage().nbytes() != tensor.nbytes + spare:
        return None
    begin = 0 if tensor.storage_offset() else spare // tensor.itemsize
    return tensor.as_strided(tensor.shape, tensor.stride(), begin)


def result(
    dtype: torch.dtype, shape: torch.Size, read: Tensor | None = None, *, spare: bool
) -> Tensor:
    """Return room for a result of (1, C, H, W): over what is `read` where that can be.

    Args:
        dtype: of the result.
        shape: its.
        read: what may be written over; None: nothing.
        spare: see `Rooms.features`.
    """
    found = over(read) if read is not None and read.shape == shape else None
    return features(dtype, *shape[1:], spare=spare) if found is None else found


def _spare(size: int, height: int) -> int:
    """Return the bytes of a stripe, in whole pages, of a tensor that is large enough for one."""
    if size < LARGE:
        return 0
    return -(-spare_rows(height) * size // height // PAGE) * PAGE


def copied(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    """Return a copy of (1, C, H, W), channels last; on a CPU in such a room."""
    if tensor.device.type != "cpu":
        return tensor.to(dtype, memory_format=torch.channels_last, copy=True)
    return features(dtype, *tensor.shape[1:]).copy_(tensor)


def converted(tensor: Tensor, dtype: torch.dtype, *, over: bool = False) -> Tensor:
    """Return (1, C, H, W) in that dtype, channels last: itself where it is so already.

    Args:
        tensor: what it is made of.
        dtype: of the result.
        over: whether that may be written over the tensor, which is lost then.
    """
    lies_flat = tensor.is_contiguous(memory_format=torch.channels_last)
    if tensor.dtype == dtype and lies_flat:
        return tensor
    shorter = tensor.device.type == "cpu" and dtype.itemsize < tensor.itemsize
    if over and lies_flat and shorter and tensor.nbytes >= SMALLEST:
        return _shortened(tensor, dtype)
    return copied(tensor, dtype)


def _shortened(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    """Write shorter numbers over longer ones, from the front, never further than was read."""
    numbers = tensor.permute(0, 2, 3, 1).view(-1)
    there = numbers.view(dtype)
    begin = min(AT_FIRST, len(numbers))
    there[:begin].copy_(numbers[:begin].to(dtype))
    while begin < len(numbers):
        end = min(2 * begin, len(numbers))
        there[begin:end].copy_(numbers[begin:end])
        begin = end
    _, channels, height, width = tensor.shape
    return there[: len(numbers)].view(1, height, width, channels).permute(0, 3, 1, 2)


def saves_pages(size: int) -> bool:
    """Whether a block of that many bytes is large enough for a room, and some are lent out here.

    Of its own it would lie in fresh pages, or in pieces that fit nothing else later.
    """
    return _current.get() is not None and size >= SMALLEST


@cache
def let_the_heap_keep() -> None:
    """Have glibc keep blocks below 32 MB, twice as much at its end: torch finds pages there.

    It comes to these limits by itself once a block of that size was given back (mallopt(3)).
    """
    if platform.libc_ver()[0] == "glibc":
        glibc = ctypes.CDLL(None)
        glibc.mallopt(M_MMAP_THRESHOLD, SCATTERED_BELOW)
        glibc.mallopt(M_TRIM_THRESHOLD, 2 * SCATTERED_BELOW)


@contextmanager
def lent(rooms: Rooms) -> Iterator[None]:
    """Take room from these inside."""
    before = _current.set(rooms)
    try:
        yield
    finally:
        _current.reset(before)
