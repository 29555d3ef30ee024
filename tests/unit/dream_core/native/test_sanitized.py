"""The kernel under AddressSanitizer and UndefinedBehaviorSanitizer, against plain sums."""

import subprocess
from pathlib import Path

import pytest

from dream_core.native.build import SOURCE
from tests.emulated import INSTEAD, emulates

DRIVER = Path(__file__).with_name("driver.cpp")
SANITIZERS = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-g", "-O1")
INSTRUCTIONS = {"real": (), **({"emulated": INSTEAD} if emulates() else {})}


@pytest.mark.parametrize("instructions", INSTRUCTIONS)
def test_the_kernel_touches_only_what_is_its_own(instructions: str, tmp_path: Path) -> None:
    """Buffers are no byte larger than they must be; forward and back, by one thread and by more.

    By the instructions that this CPU has, and by all that the kernel knows, emulated.
    """
    program = tmp_path / "driver"
    flags = ["-std=c++17", *SANITIZERS, "-Wno-psabi", "-pthread", f"-I{SOURCE.parent}"]
    flags += INSTRUCTIONS[instructions]
    subprocess.run(["g++", *flags, str(DRIVER), "-o", str(program)], check=True)

    told = subprocess.run([program], capture_output=True, text=True, check=False)

    assert (told.returncode, told.stderr) == (0, ""), told.stdout + told.stderr
    paths = range(5 if instructions == "emulated" else 1)
    assert all(f"path {path}: 0 wrong" in told.stdout for path in paths)
