"""The prediction against a process of its own: what the kernel says it had at its height."""

import json
import subprocess
import sys

import pytest
import torch

from dream_core import native
from dream_core.architectures import BUILT_IN
from dream_core.executors.building import storage
from dream_core.executors.way import Way
from dream_core.forms import Form
from dream_core.forms.memory import predicted_bytes
from dream_core.spec import DreamSpec

KERNEL = pytest.mark.skipif(not native.available(), reason=native.reason())
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="VmHWM is Linux's")
# What benchmarks.memory does, in float64, which is no way that users are given.
IN_FLOAT64 = """
import json, sys
import torch
from benchmarks.peak import memory_now, memory_peak
from benchmarks.plain import random_source, random_weights
from dream_core.architectures import BUILT_IN
from dream_core.dream import Dream
from dream_core.executors import Plan, Way
from dream_core.forms import Form
from dream_core.forms.memory import predicted_bytes
from dream_core.networks import load_network
from dream_core.spec import DreamSpec

layer, height, width, pooling, executor, precision, *form = json.loads(sys.argv[1])
model = BUILT_IN["vgg19"]
network = load_network(model, random_weights(model), pooling=pooling, dtype=torch.float64)
spec = DreamSpec(layers={layer: 1000.0}, image_size=width, iterations=2, pooling=pooling)
plan = Plan.make(torch.device("cpu"), torch.float64, Way(executor, precision)).of_form(Form(*form))
before = memory_now()
dream = Dream(random_source(height, width), spec, network=network, plan=plan)
dream.step(), dream.step()
predicted = before + predicted_bytes(model, spec, (height, width), plan.form, plan.storage)
print(json.dumps({"error": predicted / memory_peak() - 1}))
"""


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


@pytest.mark.parametrize(
    "shape",
    [
        ("relu3_1", 301, 403, "max", "autograd", "exact", "whole", 0, ""),
        ("relu3_1", 301, 403, "max", "direct", "exact", "whole", 0, ""),
        pytest.param(
            ("relu4_1", 301, 403, "avg", "winograd", "exact", "bands", 64, "pool2"), marks=KERNEL
        ),
    ],
    ids=lambda shape: "-".join(map(str, shape[4:7])),
)
def test_so_it_is_in_float64(shape: tuple) -> None:
    """Twice the bytes a value; and torch, without oneDNN, writes down every window it reads."""
    told = subprocess.run(
        [sys.executable, "-c", IN_FLOAT64, json.dumps(shape)],
        capture_output=True,
        text=True,
        check=True,
    )

    assert abs(json.loads(told.stdout)["error"]) < 0.15


@pytest.mark.parametrize(("executor", "each"), [("winograd", 6 * 2**20), ("direct", 0)])
def test_each_thread_of_the_kernel_takes_room(
    executor: str, each: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sixteen more held 70 to 100 MB more at 1024 × 768: a tenth of the process."""

    def predicted(threads: int) -> int:
        monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
        keeps = storage(Way(executor, "exact"), "cpu")
        spec = DreamSpec.model_validate({"layers": {"relu3_1": 1000.0}})
        return predicted_bytes(BUILT_IN["vgg19"], spec, (768, 1024), Form("whole", 0, ""), keeps)

    assert predicted(18) - predicted(2) == 16 * each
