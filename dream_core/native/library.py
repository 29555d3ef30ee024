"""The compiled library: where it lies, what this CPU can run of it, and what threads it uses."""

import ctypes
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Literal

import torch

Operands = Literal["float32", "bfloat16"]

DTYPES: dict[Operands, torch.dtype] = {"float32": torch.float32, "bfloat16": torch.bfloat16}

FILE = Path(__file__).with_name("winograd.so")
# Of the bits that come out, as dream_version in winograd.cpp: raised with any change of a sum's
# order, of what is multiplied or of which layers it takes. A plan names it, so that no dream goes
# on with other bits.
VERSION = 9
# In the order of FACES in winograd.cpp.
PATHS = ("portable", "avx2", "avx512", "avx512_bf16", "amx")
BEST_FIRST: dict[Operands, tuple[str, ...]] = {
    "float32": ("avx512", "avx2", "portable"),
    "bfloat16": ("amx", "avx512_bf16"),
}

ADDRESSES = ("input", "weight", "bias", "output", "alive", "scratch", "parallel")
NUMBERS = (
    *("height", "width", "inputs", "outputs", "top", "bottom"),
    *("back", "rectify", "pool", "rounds_up", "threads", "half", "adds"),
)


class Call(ctypes.Structure):
    """What one call is given; `Call` of winograd.cpp."""

    _fields_ = [(name, ctypes.c_void_p) for name in ADDRESSES] + [
        (name, ctypes.c_int64) for name in NUMBERS
    ]


def available() -> bool:
    """Return whether the library was built and loads here."""
    return not reason()


def reason() -> str:
    """Return why the library can't be used and what to do; empty where it can."""
    found = _loaded()
    return found if isinstance(found, str) else ""


def library() -> ctypes.CDLL:
    """Return the library; ask `available` first."""
    found = _loaded()
    if isinstance(found, str):
        raise RuntimeError(found)
    return found


@cache
def paths(operands: Operands = "float32") -> tuple[str, ...]:
    """Return the instruction paths that this CPU can run, best first; none without the library."""
    if not available():
        return ()
    supports = library().dream_supports
    return tuple(path for path in BEST_FIRST[operands] if supports(PATHS.index(path)))


@cache
def missed() -> tuple[str, ...]:
    """Return the paths that this CPU could run, but for the compiler that built the library."""
    if not available():
        return ()
    misses = library().dream_misses
    return tuple(path for path in PATHS if misses(PATHS.index(path)))


@cache
def parallel() -> int | None:
    """Return the address of GOMP_parallel in the OpenMP runtime that torch runs on.

    Two runtimes in one process would fight for the cores: each keeps its threads spinning for a
    while after their work. None where torch brings another (macOS): then C++ starts its own.
    """
    maps = Path("/proc/self/maps")
    if not maps.exists():
        return None
    torchs = Path(torch.__file__).parent.parent
    for file in sorted(openmps(maps.read_text()), key=lambda file: torchs not in file.parents):
        with suppress(OSError):  # replaced on the disk since it was loaded
            function = ctypes.CDLL(str(file)).GOMP_parallel
            return ctypes.cast(function, ctypes.c_void_p).value
    return None


def openmps(maps: str) -> set[Path]:
    """Return the OpenMP runtimes among what Linux says a process has mapped."""
    fields = (line.split(maxsplit=5) for line in maps.splitlines())  # a path may have spaces
    return {Path(path) for *_, path in fields if "libgomp" in Path(path).name}


@cache
def _loaded() -> ctypes.CDLL | str:
    return load(FILE)


def load(file: Path) -> ctypes.CDLL | str:
    """Load the library from a file; return it, or why that can't be done."""
    if not file.exists():
        return f"{file.name} was not built: install g++ and run `python -m dream_core.native.build`"
    try:
        found = ctypes.CDLL(str(file))
    except OSError as error:
        return f"{file.name} doesn't load: {error}; run `python -m dream_core.native.build` again"
    told = [getattr(found, name, int)() for name in ("dream_version", "dream_call_bytes")]
    latest = hasattr(found, "dream_deflate") and hasattr(found, "dream_misses")
    if told != [VERSION, ctypes.sizeof(Call)] or not latest:
        return f"{file.name} is of another release: run `python -m dream_core.native.build` again"
    for name in ("convolve", "convolve_picture", "pull_back_to_picture", "gram", "pull"):
        getattr(found, f"dream_{name}").restype = None
    for name in ("scratch", "picture_scratch", "gram_scratch", "pull_scratch"):
        getattr(found, f"dream_{name}_bytes").restype = ctypes.c_int64
    return found


def function(name: str) -> Callable[..., int]:
    """Return one function of the library by name."""
    found: Callable[..., int] = getattr(library(), name)
    return found
