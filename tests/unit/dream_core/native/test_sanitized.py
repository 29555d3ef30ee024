"""The kernel under AddressSanitizer and UndefinedBehaviorSanitizer, against plain sums."""

import subprocess
from pathlib import Path

from dream_core.native.build import SOURCE

DRIVER = Path(__file__).with_name("driver.cpp")
SANITIZERS = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-g", "-O1")


def test_the_kernel_touches_only_what_is_its_own(tmp_path: Path) -> None:
    """Buffers are no byte larger than they must be; every path of this CPU, forward and back."""
    program = tmp_path / "driver"
    flags = ["-std=c++17", *SANITIZERS, "-Wno-psabi", "-pthread", f"-I{SOURCE.parent}"]
    subprocess.run(["g++", *flags, str(DRIVER), "-o", str(program)], check=True)

    told = subprocess.run([program], capture_output=True, text=True, check=False)

    assert (told.returncode, told.stderr) == (0, ""), told.stdout + told.stderr
    assert "path 0: 0 wrong" in told.stdout
