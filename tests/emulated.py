"""The native kernel's instruction paths, also those that this CPU lacks: built in plain C++."""

import platform
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from dream_core import native
from dream_core.native import library
from dream_core.native.build import build

HEADER = Path(__file__).parent / "unit" / "dream_core" / "native" / "emulated.h"
INSTEAD = ("-march=native", "-include", str(HEADER))  # of real instructions, to the compiler


def emulates() -> bool:
    """Return whether an emulated kernel can be built here: GCC's paths for x86-64."""
    here = sys.platform == "linux" and platform.machine() == "x86_64"
    return here and shutil.which("g++") is not None


def every_path(*operands: native.Operands) -> list[tuple[native.Operands, str]]:
    """Return what is multiplied, and by which instructions: all there are, or what this CPU can."""
    known = library.BEST_FIRST if emulates() else {each: native.paths(each) for each in operands}
    return [(each, path) for each in operands for path in known[each]]


def build_emulated(folder: Path) -> Path:
    """Compile the library of all paths; return its file."""
    return build(folder, ("-O1", *INSTEAD))  # it runs over little: compiling is what takes time


@contextmanager
def kernel_of(file: Path, path: str) -> Iterator[None]:
    """Run the library of that file inside, where no path is better than this one."""
    (operands,) = (each for each, paths in library.BEST_FIRST.items() if path in paths)
    ranked = library.BEST_FIRST[operands]
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(library, "FILE", file)
        patched.setitem(library.BEST_FIRST, operands, ranked[ranked.index(path) :])
        _look_again()
        yield
    _look_again()


def _look_again() -> None:
    library._loaded.cache_clear()
    library.paths.cache_clear()
    library.missed.cache_clear()
