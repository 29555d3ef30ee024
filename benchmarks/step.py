"""One iteration of a dream against the same iteration written plainly in PyTorch.

    python -m benchmarks.step --size 384 512 --layers relu5_1 --rounds 5

VGG-19 at full width with random weights (speed doesn't depend on their values). The two take turns
in one process, so whatever else the machine does meets both. Prints one JSON line; `ratio` above 1
says that ours is the faster one.
"""

import argparse
import json
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median

import torch
from torch import Tensor, nn

from dream_core.architectures import BUILT_IN
from dream_core.dream import Dream
from dream_core.model import Model
from dream_core.networks import load_network
from dream_core.spec import DreamSpec

DOSE = 1000.0


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Time Dream.step against plain PyTorch.")
    parser.add_argument("--size", type=int, nargs=2, default=(384, 512), metavar=("H", "W"))
    parser.add_argument("--layers", nargs="+", default=["relu5_1"])
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    model = BUILT_IN["vgg19"]
    weights = _weights(model)
    source = torch.rand(3, *asked.size, generator=torch.Generator().manual_seed(1))
    spec = DreamSpec(model="vgg19", layers=dict.fromkeys(asked.layers, DOSE), iterations=10_000)
    dream = Dream(source, spec, network=load_network(model, weights, pooling="max"))
    plain = _plain(model, weights, source, asked.layers)
    ours, theirs = _take_turns(dream.step, plain, asked.rounds)
    record = {
        "name": f"step {' '.join(asked.layers)} {asked.size[0]}x{asked.size[1]}",
        "value": round(ours, 4),
        "unit": "s/iteration",
        "baseline": round(theirs, 4),
        "ratio": round(theirs / ours, 3),
        "device": "cpu",
        "threads": dream.plan.threads,
        "torch": torch.__version__,
        "commit": _commit(),
    }
    print(json.dumps(record))  # noqa: T201


def _take_turns(
    one: Callable[[], object], other: Callable[[], object], rounds: int
) -> tuple[float, float]:
    """Return the median seconds of each; the first turn of both warms up and doesn't count."""
    seconds: tuple[list[float], list[float]] = ([], [])
    for turn in range(rounds + 1):
        for run, taken in zip((one, other), seconds, strict=True):
            start = time.perf_counter()
            run()
            if turn:
                taken.append(time.perf_counter() - start)
    return median(seconds[0]), median(seconds[1])


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
