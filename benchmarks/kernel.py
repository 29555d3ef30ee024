"""The native kernel against torch's own convolution, layer by layer of VGG-19, there and back.

    python -m benchmarks.kernel --size 384 512 --threads 2 --rounds 5

Random values (speed doesn't depend on them). Torch and every path that this CPU has take turns in
one process; torch convolves alone, ours rectifies, pools and keeps its bits too, and comes back
through them. Prints one JSON line; a ratio above 1 says that ours is the faster one. Beside the
time that passed stands the CPU's, which other work on the machine moves less.
"""

import argparse
import json
import time
from collections.abc import Callable, Iterator
from statistics import median

import torch
from torch import Tensor
from torch.nn import functional

from benchmarks.line import commit
from dream_core import native
from dream_core.architectures import BUILT_IN
from dream_core.model import Layer


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Time the native kernel against torch.")
    parser.add_argument("--size", type=int, nargs=2, default=(384, 512), metavar=("H", "W"))
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    layers = {
        layer.name: _take_turns(_runs(layer, inputs, size, pooled, asked.threads), asked.rounds)
        for layer, inputs, size, pooled in _convolutions(*asked.size)
    }
    record = {
        "name": f"kernel {asked.size[0]}x{asked.size[1]}",
        "unit": "ms there + back, (time, CPU time)",
        "layers": layers,
        "ratio": _ratios(layers),
        "device": "cpu",
        "threads": asked.threads,
        "torch": torch.__version__,
        "commit": commit(),
    }
    print(json.dumps(record))  # noqa: T201


def _convolutions(height: int, width: int) -> Iterator[tuple[Layer, int, tuple[int, int], bool]]:
    """Yield VGG-19's convolutions to relu5_1 but the first: layer, inputs, size, pooled or not."""
    model = BUILT_IN["vgg19"]
    layers = model.needed_for(["relu5_1"])
    sizes = model.sizes(["relu5_1"], height, width)
    for layer, *behind in zip(layers, layers[1:], (*layers[2:], None), strict=False):
        if layer.kind == "convolution" and layer.name != "conv1_1":
            (before,) = layer.inputs
            pooled = behind[1] is not None and behind[1].is_pool
            yield layer, model.by_name[before].channels, sizes[layer.name], pooled


def _runs(
    layer: Layer, inputs: int, size: tuple[int, int], pooled: bool, threads: int
) -> dict[str, Callable[[], object]]:
    """Return what takes turns at one layer: torch there and back, and each path of ours."""
    generator = torch.Generator().manual_seed(0)
    features = _last(torch.rand(1, inputs, *size, generator=generator))
    weight = torch.randn(layer.channels, inputs, 3, 3, generator=generator) / (9 * inputs) ** 0.5
    bias = torch.zeros(layer.channels)
    theirs = weight.contiguous(memory_format=torch.channels_last)
    turned = weight.flip(2, 3).transpose(0, 1).contiguous(memory_format=torch.channels_last)

    def torchs() -> object:
        with torch.no_grad():
            there = functional.conv2d(features, theirs, bias, padding=1)
            return functional.conv2d(there, turned, padding=1)

    def ours(operands: native.Operands, path: str) -> Callable[[], object]:
        pool = "max" if pooled else None
        how = {"threads": threads, "operands": operands, "path": path}
        alive = native.new_alive(layer.channels, *size)
        room = native.convolve(features, weight, bias, pool=pool, alive=alive, **how)
        back = _last(torch.empty_like(features))

        def run() -> object:
            native.convolve(features, weight, bias, pool=pool, alive=alive, out=room, **how)
            return native.pull_back(
                room, weight, alive=alive, size=size, pool=pool, out=back, **how
            )

        return run

    operands: tuple[native.Operands, ...] = ("float32", "bfloat16")
    paths = {path: ours(each, path) for each in operands for path in native.paths(each)}
    return {"torch": torchs, **paths}


def _last(tensor: Tensor) -> Tensor:
    return tensor.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)


def _take_turns(
    runs: dict[str, Callable[[], object]], rounds: int
) -> dict[str, tuple[float, float]]:
    """Return the medians of each in ms; the first turn warms up and doesn't count."""
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in runs}
    for turn in range(rounds + 1):
        for name, run in runs.items():
            start, start_cpu = time.perf_counter(), time.process_time()
            run()
            if turn:
                spent = time.perf_counter() - start, time.process_time() - start_cpu
                taken[name].append(spent)
    return {
        name: (
            round(1e3 * median(each[0] for each in times), 2),
            round(1e3 * median(each[1] for each in times), 2),
        )
        for name, times in taken.items()
    }


def _ratios(layers: dict[str, dict[str, tuple[float, float]]]) -> dict[str, float]:
    """Return torch's CPU time over that of each path, over all layers."""
    names = next(iter(layers.values()))
    sums = {name: sum(times[name][1] for times in layers.values()) for name in names}
    return {name: round(sums["torch"] / sums[name], 2) for name in names}


if __name__ == "__main__":
    main()
