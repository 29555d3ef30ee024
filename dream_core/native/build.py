"""Compile winograd.cpp beside itself: `python -m dream_core.native.build`.

setup.py runs this very file at install, where neither torch nor our packages are there yet: it
needs the standard library only.
"""

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

SOURCE = Path(__file__).with_name("winograd.cpp")
NAME = "winograd.so"
COMPILERS = ("g++", "c++", "clang++")
# Nothing of this very CPU: the file itself says which part needs which instructions. Multiplying
# and adding in one rounding is allowed, other liberties with floating point are not.
FLAGS = ("-std=c++17", "-O3", "-ffp-contract=fast", "-Wno-psabi", "-shared", "-fPIC", "-pthread")


class NotBuilt(Exception):
    """There is no library, and why."""


def build(folder: Path = SOURCE.parent, flags: Sequence[str] = ()) -> Path:
    """Compile to `folder`, whole or not at all, with `flags` added; return the library's file.

    Raises:
        NotBuilt: there is no compiler, or it fails.
    """
    compiler = next((found for name in COMPILERS if (found := shutil.which(name))), None)
    if compiler is None:
        raise NotBuilt("no C++ compiler is here; install g++ (11 or newer) and build again")
    target = folder / NAME
    with tempfile.TemporaryDirectory(dir=folder) as beside:
        made = Path(beside) / NAME
        command = [compiler, *FLAGS, *flags, str(SOURCE), "-o", str(made)]
        told = subprocess.run(command, capture_output=True, text=True, check=False)
        if told.returncode:
            raise NotBuilt(f"{compiler} failed:\n{told.stderr}")
        made.replace(target)
    return target


if __name__ == "__main__":
    try:
        sys.stdout.write(f"built {build()}\n")
    except NotBuilt as reason:
        sys.exit(str(reason))
