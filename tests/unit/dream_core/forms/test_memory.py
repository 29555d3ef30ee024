"""The prediction against a process of its own: what the kernel says it had at its height."""

import json
import subprocess
import sys

import pytest

from dream_core import native

KERNEL = pytest.mark.skipif(not native.available(), reason=native.reason())
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="VmHWM is Linux's")


@pytest.mark.parametrize(
    "shape",
    [
        ("relu3_1", 401, 603, "max", "autograd", "exact", "whole", 0, ""),
        ("relu1_1,relu3_1", 601, 799, "avg", "autograd", "exact", "tiles", 256, ""),
        ("relu1_1,relu4_1", 500, 700, "max", "direct", "exact", "bands", 64, "pool2"),
        ("relu3_1", 801, 1203, "avg", "direct", "exact", "whole", 0, ""),
        pytest.param(
            ("relu5_1", 384, 512, "max", "winograd", "exact", "whole", 0, ""), marks=KERNEL
        ),
        pytest.param(
            ("relu3_1", 801, 1203, "max", "winograd", "exact", "whole", 0, ""), marks=KERNEL
        ),
        pytest.param(
            ("relu4_1", 1200, 1603, "max", "winograd", "exact", "bands", 128, "pool2"), marks=KERNEL
        ),
    ],
    ids=lambda shape: "-".join(map(str, shape[4:7])),
)
def test_the_predicted_peak_is_within_15_percent_of_the_measured_one(shape: tuple) -> None:
    """VGG-19 at its full width, two iterations; the process itself is in both figures."""
    told = subprocess.run(
        [sys.executable, "-m", "benchmarks.memory", json.dumps(shape)],
        capture_output=True,
        text=True,
        check=True,
    )

    record = json.loads(told.stdout)
    assert abs(record["error"]) < 0.15, record
