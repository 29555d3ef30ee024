"""Who only reads weights, or adds a network, needs no torch."""

import subprocess
import sys
from pathlib import Path

GOLDEN = Path(__file__).parents[3] / "golden" / "models"

PROGRAM = """
import sys
from pathlib import Path
from dream_core.weights import add, read, verify
weights, prototxt, folder = map(Path, sys.argv[1:])
model = add("mine", weights, prototxt, folder)
assert read(model, folder) and verify(model, folder)
print(sorted(name for name in ("torch", "torchvision") if name in sys.modules))
"""


def test_adding_and_reading_a_network_imports_no_torch(tmp_path: Path) -> None:
    """Torch takes seconds to import, and half of our rooms haven't got it."""
    files = (GOLDEN / "thin_vgg19.caffemodel", GOLDEN / "thin_vgg19.prototxt", tmp_path)

    result = subprocess.run(
        [sys.executable, "-c", PROGRAM, *map(str, files)],
        check=True,
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[4],
    )

    assert result.stdout.strip() == "[]"
