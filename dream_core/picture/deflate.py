"""Bytes as zlib's stream with Huffman's codes alone: by the native library, else by zlib itself."""

import ctypes
import logging
import zlib
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

log = logging.getLogger(__name__)

# By its name: the module that loads it for the kernel imports torch, and pictures need none.
LIBRARY = Path(__file__).parent.parent / "native" / "winograd.so"
HEADER = b"\x78\x01"  # deflate, a window of 32 kB, the quickest level


def pack(content: NDArray[np.uint8]) -> bytes:
    """Return bytes as a zlib stream, for data with few repeats to search for.

    Measured on the filtered rows of a 512 × 384 dream: 0.9 ms natively, 5.0 by zlib for the same
    size. Either gives the same bytes for the same content, though not those of the other.

    Args:
        content: any shape, in C's order.
    """
    found = library(LIBRARY)
    if found is None:
        deflate = zlib.compressobj(1, memLevel=9, strategy=zlib.Z_HUFFMAN_ONLY)
        return deflate.compress(content.data) + deflate.flush()
    room = np.empty(found.dream_deflate_room(content.size), np.uint8)
    took = found.dream_deflate(content.ctypes.data, content.size, room.ctypes.data)
    return b"".join((HEADER, room[:took].data, zlib.adler32(content.data).to_bytes(4, "big")))


@cache
def library(file: Path) -> ctypes.CDLL | None:
    """Return the library; None, and a line in the log, where it can't be used."""
    try:
        found = ctypes.CDLL(str(file))
        found.dream_deflate_room.argtypes = [ctypes.c_int64]
        found.dream_deflate.argtypes = [ctypes.c_void_p, ctypes.c_int64, ctypes.c_void_p]
        found.dream_deflate_room.restype = found.dream_deflate.restype = ctypes.c_int64
    except (OSError, AttributeError) as error:
        log.info("PNGs are packed by zlib: %s", error)
        return None
    return found
