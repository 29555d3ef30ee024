"""One iteration of a dream in every precision against the same written plainly in PyTorch.

    python -m benchmarks.step --size 384 512 --layers relu5_1 --rounds 5

VGG-19 at full width with random weights (speed doesn't depend on their values). All take turns in
one process, so whatever else the machine does meets all of them. Prints one JSON line a precision;
`ratio` is the median over the turns, above 1 where ours is the faster one. Peak memory (VmHWM) is
that of a process which runs nothing else.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn

from dream_core.architectures import BUILT_IN
from dream_core.dream import Dream
from dream_core.executors import Probe
from dream_core.model import Model
from dream_core.networks import load_network
from dream_core.spec import DreamSpec, Precision

DOSE = 1000.0
PLAIN = "plain"
PRECISIONS = ("exact", "balanced", "fast")
STEPS_FOR_PEAK = 3


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Time Dream.step against plain PyTorch.")
    parser.add_argument("--size", type=int, nargs=2, default=(384, 512), metavar=("H", "W"))
    parser.add_argument("--layers", nargs="+", default=["relu5_1"])
    parser.add_argument("--precisions", nargs="+", choices=PRECISIONS, default=PRECISIONS)
    parser.add_argument("--executor", choices=("auto", "direct", "winograd"), default="auto")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--peak-of", choices=(PLAIN, *PRECISIONS), help="print its peak in bytes")
    asked = parser.parse_args()
    if asked.peak_of:
        print(_peak_of(asked, asked.peak_of))  # noqa: T201
        return
    contest = Contest(asked)
    dreams = {precision: contest.dream(precision) for precision in asked.precisions}
    steps = {PLAIN: contest.plain(), **{name: dream.step for name, dream in dreams.items()}}
    seconds = _take_turns(steps, asked.rounds)
    peaks = {name: _peak_elsewhere(name) for name in steps}
    for name, dream in dreams.items():
        ratios = [base / ours for base, ours in zip(seconds[PLAIN], seconds[name], strict=True)]
        record = {
            "name": f"step {' '.join(asked.layers)} {asked.size[0]}x{asked.size[1]} {name}",
            "value": round(median(seconds[name]), 4),
            "unit": "s/iteration",
            "baseline": round(median(seconds[PLAIN]), 4),
            "ratio": round(median(ratios), 3),
            "ratios": [round(min(ratios), 3), round(max(ratios), 3)],
            "peak_memory_bytes": peaks[name],
            "baseline_peak_memory_bytes": peaks[PLAIN],
            "way": str(dream.plan.way),
            "device": dream.plan.device,
            "cpu": dream.plan.cpu,
            "threads": dream.plan.threads,
            "torch": torch.__version__,
            "commit": _commit(),
        }
        print(json.dumps(record), flush=True)  # noqa: T201


class Contest:
    """All that runs in a process, of one network and one source; each made when it is asked for."""

    def __init__(self, asked: argparse.Namespace) -> None:
        """Draw weights and a source."""
        self._model = BUILT_IN["vgg19"]
        self._weights = _weights(self._model)
        self._source = torch.rand(3, *asked.size, generator=torch.Generator().manual_seed(1))
        self._layers = asked.layers
        self._network = load_network(self._model, self._weights, pooling="max")
        self._probe = Probe(executor=asked.executor)

    def plain(self) -> Callable[[], object]:
        """Return the iteration that all are held against."""
        return _plain(self._model, self._weights, self._source, self._layers)

    def dream(self, precision: Precision) -> Dream:
        """Return ours in a precision."""
        layers = dict.fromkeys(self._layers, DOSE)
        spec = DreamSpec(model="vgg19", layers=layers, iterations=10_000, precision=precision)
        return Dream(self._source, spec, network=self._network, probe=self._probe)


def _take_turns(steps: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Return the seconds of each, by turn; the first turn warms up and doesn't count."""
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for turn in range(rounds + 1):
        for name, step in steps.items():
            start = time.perf_counter()
            step()
            if turn:
                seconds[name].append(time.perf_counter() - start)
    return seconds


def _peak_of(asked: argparse.Namespace, name: Any) -> int:
    """Return the most memory that this process has held, after a few steps of one contestant."""
    contest = Contest(asked)
    step = contest.plain() if name == PLAIN else contest.dream(name).step
    for _ in range(STEPS_FOR_PEAK):
        step()
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(status["VmHWM"].split()[0]) * 1024


def _peak_elsewhere(name: str) -> int:
    command = [sys.executable, "-m", "benchmarks.step", *sys.argv[1:], "--peak-of", name]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def _plain(
    model: Model, weights: dict[str, Tensor], source: Tensor, layers: Sequence[str]
) -> Callable[[], object]:
    """Return an iteration as anyone would write it: modules, autograd throughout, torch's Adam."""
    modules = {layer.name: _module(layer.name, layer.kind, weights) for layer in model.layers}
    deepest = max(list(modules).index(layer) for layer in layers)
    modules = dict(list(modules.items())[: deepest + 1])
    mean = torch.tensor([103.939, 116.779, 123.68]).view(3, 1, 1)

    def grams(picture: Tensor) -> list[Tensor]:
        features = (picture.flip(0) * 256 - mean).unsqueeze(0)
        found = []
        for name, module in modules.items():
            features = module(features)
            if name in layers:
                flat = features.flatten(2)[0]
                found.append(flat @ flat.T / features.numel())
        return found

    with torch.no_grad():
        targets = [DOSE * gram for gram in grams(source)]
    picture = source.clone().requires_grad_()
    optimizer = torch.optim.Adam([picture], lr=10 / 256)

    def step() -> None:
        optimizer.zero_grad()
        pairs = zip(grams(picture), targets, strict=True)
        torch.stack([(gram - target).square().mean() for gram, target in pairs]).sum().backward()
        optimizer.step()

    return step


def _module(name: str, kind: str, weights: dict[str, Tensor]) -> nn.Module:
    if kind == "relu":
        return nn.ReLU()
    if kind == "max_pool":
        return nn.MaxPool2d(2, 2, ceil_mode=True)
    channels, inputs, *kernel = weights[f"{name}.weight"].shape
    convolution = nn.Conv2d(inputs, channels, kernel, padding=1)
    tensors = {key: weights[f"{name}.{key}"] for key in ("weight", "bias")}
    convolution.load_state_dict(tensors)
    return convolution.requires_grad_(False)


def _weights(model: Model) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    weights, inputs = {}, 3
    for layer in model.layers:
        if layer.kind == "convolution":
            spread = (2 / (9 * inputs)) ** 0.5
            shape = (layer.channels, inputs, *layer.kernel)
            weights[f"{layer.name}.weight"] = torch.randn(shape, generator=generator) * spread
            weights[f"{layer.name}.bias"] = torch.zeros(layer.channels)
            inputs = layer.channels
    return weights


def _commit() -> str:
    found = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        check=False,
    )
    return found.stdout.strip() or "unknown"


if __name__ == "__main__":
    main()
