"""The kernel compiles where there is no x86 and no g++: on ARM, and by clang on a Mac."""

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from dream_core.native.build import FLAGS, SOURCE

TARGETS = ("aarch64-linux-gnu", "aarch64-macos", "x86_64-macos")
STRICT = ("-Wall", "-Wextra", "-Werror")

pytestmark = pytest.mark.skipif(
    find_spec("ziglang") is None, reason="the compiler for other machines is for Linux on x86 only"
)


@pytest.mark.parametrize("target", TARGETS)
def test_the_kernel_compiles_for_other_machines(target: str, tmp_path: Path) -> None:
    """By the flags of an install, without a warning. What it computes there no test of ours saw."""
    flags = [flag for flag in FLAGS if flag != "-shared"]
    command = [sys.executable, "-m", "ziglang", "c++", "-target", target, *flags, *STRICT]
    made = tmp_path / "winograd.o"
    caches = {name: str(tmp_path) for name in ("ZIG_GLOBAL_CACHE_DIR", "ZIG_LOCAL_CACHE_DIR")}

    told = subprocess.run(
        [*command, "-c", str(SOURCE), "-o", str(made)],
        env=caches,
        capture_output=True,
        text=True,
        check=False,
    )

    assert told.returncode == 0, told.stderr
    assert made.stat().st_size > 100_000
