"""The prediction against a process of its own: what the kernel says it had at its height."""

import json
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="VmHWM is Linux's")


@pytest.mark.parametrize(
    "shape",
    [
        ("relu3_1", 401, 603, "max", "whole", 0, ""),
        ("relu1_1,relu4_1", 500, 700, "max", "bands", 64, "pool2"),
        ("relu1_1,relu3_1", 601, 799, "avg", "tiles", 256, ""),
    ],
    ids=lambda shape: shape[4],
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
