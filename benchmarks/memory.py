"""Predicted against measured peaks of memory, each dream in a process of its own.

    python -m benchmarks.memory

VGG-19 at full width with random weights, two iterations. `predicted` is what the process has
before the dream, and what the dream is predicted to take; `measured` is the process' VmHWM. Prints
one JSON line for each shape and one for all of them; Linux only. What nobody would run in 16 bit on
this CPU is run in 32, as a dream of that precision would be: `way` tells.
"""

import json
import subprocess
import sys
from statistics import median
from typing import Literal

import torch

from benchmarks.line import PEAK, line, run, tell
from benchmarks.peak import memory_now, memory_peak
from benchmarks.plain import random_source, random_weights
from dream_core.architectures import BUILT_IN
from dream_core.dream import Dream
from dream_core.executors import Plan, Way
from dream_core.executors.building import ways_here
from dream_core.executors.cpu import sixteen_bit_instructions
from dream_core.executors.way import ExecutorName, Resolved
from dream_core.forms import Form
from dream_core.forms.memory import predicted_bytes
from dream_core.model import Pooling
from dream_core.networks import load_network
from dream_core.spec import DreamSpec

FormName = Literal["whole", "bands", "tiles"]
# layers, height, width, pooling, executor, precision where the CPU gains by it, kind, part, cut
Shape = tuple[str, int, int, Pooling, ExecutorName, Resolved, FormName, int, str]

FIVE = "relu1_1,relu2_1,relu3_1,relu4_1,relu5_1"
SHAPES: list[Shape] = [
    ("relu5_1", 384, 512, "max", "autograd", "exact", "whole", 0, ""),
    (FIVE, 601, 797, "max", "autograd", "exact", "whole", 0, ""),
    (FIVE, 768, 1024, "max", "autograd", "exact", "bands", 64, "pool2"),
    ("conv5_4", 700, 900, "avg", "autograd", "exact", "tiles", 384, ""),
    ("relu5_1", 768, 1024, "max", "direct", "exact", "whole", 0, ""),
    (FIVE, 1000, 700, "avg", "direct", "exact", "bands", 128, "pool2"),
    ("relu3_1", 1001, 1333, "max", "direct", "exact", "tiles", 384, ""),
    ("relu3_1", 901, 1203, "avg", "direct", "balanced", "whole", 0, ""),
    ("relu5_1", 1001, 1333, "max", "direct", "fast", "whole", 0, ""),
    ("conv5_4", 1536, 2048, "max", "direct", "fast", "bands", 256, "pool2"),
    ("relu5_1", 384, 512, "max", "winograd", "exact", "whole", 0, ""),
    ("relu5_1", 1536, 2048, "max", "winograd", "exact", "whole", 0, ""),
    ("relu5_1", 1536, 2048, "max", "winograd", "exact", "bands", 128, "pool2"),
    (FIVE, 1536, 2048, "max", "winograd", "exact", "bands", 64, "pool2"),
    (FIVE, 900, 1200, "max", "winograd", "exact", "tiles", 256, ""),
    (FIVE, 768, 1024, "avg", "winograd", "balanced", "whole", 0, ""),
    ("conv5_4", 1201, 1601, "max", "winograd", "balanced", "bands", 128, "pool3"),
    (FIVE, 1201, 1601, "max", "winograd", "fast", "whole", 0, ""),
    ("relu5_1", 1536, 2048, "max", "winograd", "fast", "bands", 128, "pool2"),
    ("relu1_1", 1500, 2000, "max", "winograd", "fast", "tiles", 512, ""),
]


def main() -> None:
    """Measure every shape in turn and print."""
    errors = []
    for shape in SHAPES:
        told = subprocess.run(
            [sys.executable, "-m", "benchmarks.memory", json.dumps(shape)],
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        print(told.stdout.strip(), flush=True)  # noqa: T201
        errors.append(abs(json.loads(told.stdout)["error"]))
    tell(
        line(
            "predicted peak of memory",
            value=round(median(errors), 4),
            unit=PEAK,
            largest=max(errors),
            shapes=len(errors),
        )
    )


def one(shape: Shape) -> None:
    """Dream two iterations of one shape and print what it took."""
    layers, height, width, pooling, executor, precision, kind, part, cut = shape
    model = BUILT_IN["vgg19"]
    network = load_network(model, random_weights(model), pooling=pooling)
    spec = DreamSpec.model_validate(
        {
            "layers": dict.fromkeys(layers.split(","), 1000.0),
            "image_size": max(height, width),
            "iterations": 2,
            "pooling": pooling,
        }
    )
    form = Form(kind, part, cut)
    way = _way_here(executor, precision)
    plan = Plan.make(torch.device("cpu"), torch.float32, way).of_form(form)
    before = memory_now()
    source = random_source(height, width)
    dream = Dream(source, spec, network=network, plan=plan)
    del source
    dream.step()
    dream.step()
    predicted = before + predicted_bytes(model, spec, (height, width), form, plan.storage)
    measured = memory_peak()
    record = {
        "layers": layers,
        "size": f"{width}x{height}",
        "pooling": pooling,
        "way": str(way),
        "form": str(form),
        "before": before,
        "predicted": predicted,
        "measured": measured,
        "error": round(predicted / measured - 1, 4),
        "error_of_dream": round((predicted - before) / (measured - before) - 1, 4),
    }
    print(json.dumps(record))  # noqa: T201


def _way_here(executor: ExecutorName, precision: Resolved) -> Way:
    """Return what a dream of that precision is here: emulated, 16 bits take minutes a look."""
    wanted = Way(executor, precision)
    gains = sixteen_bit_instructions() and wanted in ways_here(torch.device("cpu"))
    return wanted if gains else Way(executor, "exact")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        one(json.loads(sys.argv[1]))
    else:
        run(main)
