"""A dream on a GPU in every precision, against the same written plainly in PyTorch.

    python -m benchmarks.gpu --size 384 512 --layers relu5_1 --iterations 1000

Nobody has run it on one yet (docs/reference/gpu.md). VGG-19 at full width with random weights. All
take turns in one process; a turn is so many iterations and the picture after them, which is when a
GPU is waited for. Prints a JSON line a precision; `value` is seconds for all iterations of a turn,
`foretold_s` what an estimate tells of them before. Peak memory is that of a process which runs
nothing else: what torch has reserved of the GPU.
"""

import argparse
import subprocess
import sys
import time
from collections.abc import Callable

import torch

from benchmarks.line import in_turn, line, run, say, tell
from benchmarks.peak import memory_peak
from benchmarks.plain import DOSE, plain_step, random_source, random_weights
from dream_core.architectures import BUILT_IN
from dream_core.costs import Costs
from dream_core.dream import Dream
from dream_core.executors import Probe, resolve_device
from dream_core.executors.building import storage
from dream_core.executors.cuda import multiplying_in_full
from dream_core.networks import load_network
from dream_core.spec import DreamSpec

PLAIN = "plain"
PRECISIONS = ("exact", "balanced", "fast")
FEW = 20  # iterations by which all memory is taken


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Time a dream on a GPU against plain PyTorch.")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--size", type=int, nargs=2, default=(384, 512), metavar=("H", "W"))
    parser.add_argument("--layers", nargs="+", default=["relu5_1"])
    parser.add_argument("--precisions", nargs="+", choices=PRECISIONS, default=PRECISIONS)
    parser.add_argument("--iterations", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--peak-of", choices=(PLAIN, *PRECISIONS), help="print its peak in bytes")
    asked = parser.parse_args()
    if asked.peak_of:
        _turn(asked, asked.peak_of, min(asked.iterations, FEW))()
        print(_peak(resolve_device(asked.device)))  # noqa: T201
        return
    names = (PLAIN, *asked.precisions)
    turns = {name: _turn(asked, name, asked.iterations) for name in names}
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for number in range(asked.rounds + 1):
        for name, turn in turns.items():
            start = time.perf_counter()
            turn()
            if number:  # the first one warms up
                seconds[name].append(time.perf_counter() - start)
        say(f"  turn {number} of {asked.rounds}" if number else "  warmed up")
    for name in asked.precisions:
        _tell(asked, name, seconds)


def _turn(asked: argparse.Namespace, name: str, iterations: int) -> Callable[[], object]:
    """Return what runs one for so many iterations, and waits for the picture."""
    device, model = resolve_device(asked.device), BUILT_IN["vgg19"]
    weights = {key: one.to(device) for key, one in random_weights(model).items()}
    source = random_source(*asked.size)
    if name == PLAIN:
        with torch.device(device):  # where its constants are made
            step = plain_step(model, weights, source.to(device), asked.layers)
        return lambda: _plain(step, iterations, device)
    layers = dict.fromkeys(asked.layers, DOSE)
    spec = DreamSpec(layers=layers, iterations=10_000, precision=name)
    network = load_network(model, weights, pooling="max", device=device)
    dream = Dream(source, spec, network=network, probe=Probe())
    say(f"  {name} is {dream.plan.way}, {dream.plan.form}")
    if device.type == "cuda":  # what the probe took is no part of the dream's peak
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)

    def turn() -> object:
        for _ in range(iterations):
            dream.step()
        return dream.picture()

    return turn


def _plain(step: Callable[[], object], iterations: int, device: torch.device) -> None:
    """Run the plain loop, in float32 as full as that of `exact`, and wait for it."""
    with multiplying_in_full():
        for _ in range(iterations):
            step()
    torch.zeros((), device=device).item()


def _peak(device: torch.device) -> int:
    return torch.cuda.max_memory_reserved(device) if device.type == "cuda" else memory_peak()


def _tell(asked: argparse.Namespace, name: str, seconds: dict[str, list[float]]) -> None:
    """Print the line of a precision."""
    device = resolve_device(asked.device)
    peaks = [_peak_elsewhere(each) for each in (name, PLAIN)]
    where = torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
    height, width = asked.size
    tell(
        line(
            f"{asked.iterations} iterations {' '.join(asked.layers)} {width}x{height} {name}",
            **in_turn(seconds[name], seconds[PLAIN]),
            unit="s",
            foretold_s=_foretold(asked, name, device),
            peak_memory_bytes=peaks[0],
            baseline_peak_memory_bytes=peaks[1],
            device=str(device),
            gpu=where,
        )
    )


def _foretold(asked: argparse.Namespace, name: str, device: torch.device) -> float:
    """Return the seconds that an estimate tells for a turn before anything has run."""
    rate = Probe().rates(device)[name]
    spec = DreamSpec(layers=dict.fromkeys(asked.layers, DOSE), precision=name)
    kept = storage(rate.way, device.type)
    costs = Costs.of(BUILT_IN["vgg19"], spec, tuple(asked.size), storage=kept)
    return round(asked.iterations * costs.seconds(rate.costs), 4)


def _peak_elsewhere(name: str) -> int:
    command = [sys.executable, "-m", "benchmarks.gpu", *sys.argv[1:], "--peak-of", name]
    return int(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)


if __name__ == "__main__":
    run(main)
