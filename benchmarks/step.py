"""One iteration of a dream in every precision against the same written plainly in PyTorch.

    python -m benchmarks.step --size 384 512 --layers relu5_1 --rounds 5

VGG-19 at full width with random weights (speed doesn't depend on their values). All take turns in
one process, so whatever else the machine does meets all of them. Prints one JSON line each;
`ratio` is the median over the turns, above 1 where ours is the faster one. Precisions that run in
one way here (16 bit doesn't pay on every CPU) are one that takes turns, and share its figures. Peak
memory (VmHWM, Linux only) is that of a process which runs nothing else, with weights from a file.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from safetensors.torch import load_file

from benchmarks.line import Line, in_turn, line, run, say, tell
from benchmarks.peak import STATUS, memory_peak
from benchmarks.plain import DOSE, plain_step, random_source, weights_file
from dream_core.architectures import BUILT_IN
from dream_core.dream import Dream
from dream_core.executors import Probe
from dream_core.executors.plan import Plan
from dream_core.networks import Network, load_network
from dream_core.spec import DreamSpec, Precision

MODEL = BUILT_IN["vgg19"]
PLAIN = "plain"
NO_COMPILER = "fast, no compiler"  # what runs where the native kernel could not be built
WORDS: Mapping[str, Precision] = {
    "exact": "exact",
    "balanced": "balanced",
    "fast": "fast",
    NO_COMPILER: "fast",
}
EXECUTORS = ("auto", "autograd", "direct", "winograd")
STEPS_FOR_PEAK = 2  # the first one makes the optimiser's state, the second has all there is


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Time Dream.step against plain PyTorch.")
    parser.add_argument("--size", type=int, nargs=2, default=(384, 512), metavar=("H", "W"))
    parser.add_argument("--layers", nargs="+", default=["relu5_1"])
    parser.add_argument("--precisions", nargs="+", choices=WORDS, default=list(WORDS))
    parser.add_argument("--executor", choices=EXECUTORS, default="auto")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--probe", type=Path, help="file of what the probe found; else it is asked")
    parser.add_argument("--weights", type=Path, help="file of weights; else they are drawn")
    parser.add_argument("--peak-of", choices=(PLAIN, *WORDS), help="print its peak in bytes")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        asked.weights = asked.weights or weights_file(MODEL, Path(folder))
        if asked.peak_of:
            print(_peak(asked))  # noqa: T201
            return
        asked.probe = asked.probe or Path(folder) / "probe.json"
        _measure(asked)


def _measure(asked: argparse.Namespace) -> None:
    """Let all take turns, then each show its memory."""
    contest = Contest(asked)
    dreams = {name: contest.dream_of(name) for name in asked.precisions}
    steps, first = {PLAIN: contest.step_of(PLAIN)}, dict[Plan, str]()
    for name, dream in dreams.items():
        if first.setdefault(dream.plan, name) == name:
            steps[name] = dream.step
    seconds = _take_turns(steps, asked.rounds)
    peaks = {name: _peak_elsewhere(asked, name) for name in steps}
    for name, dream in dreams.items():
        one = first[dream.plan]
        memory = {"peak_memory_bytes": peaks[one], "baseline_peak_memory_bytes": peaks[PLAIN]}
        tell(_told(asked, name, dream, **in_turn(seconds[one], seconds[PLAIN]), **memory))


class Contest:
    """All that runs in a process, of one network and one source; each made when it is asked for."""

    def __init__(self, asked: argparse.Namespace) -> None:
        """Draw a source."""
        self._weights = asked.weights
        self._source = random_source(*asked.size)
        self._layers = asked.layers
        self._executor = asked.executor
        self._probe_file = asked.probe

    def step_of(self, name: str) -> Callable[[], object]:
        """Return the iteration of one that takes part."""
        if name == PLAIN:
            return plain_step(MODEL, load_file(self._weights), self._source, self._layers)
        return self.dream_of(name).step

    def dream_of(self, name: str) -> Dream:
        """Return a new dream of ours."""
        layers = dict.fromkeys(self._layers, DOSE)
        executor = "direct" if name == NO_COMPILER else self._executor
        spec = DreamSpec(layers=layers, iterations=10_000, precision=WORDS[name])
        probe = Probe(self._probe_file, executor=executor)
        return Dream(self._source, spec, network=self._network, probe=probe)

    @cached_property
    def _network(self) -> Network:
        return load_network(MODEL, self._weights, pooling="max")


def _told(asked: argparse.Namespace, name: str, dream: Dream, **figures: Any) -> Line:
    """Return the line of one that took part."""
    height, width = asked.size
    return line(
        f"step {' '.join(asked.layers)} {width}x{height} {name}",
        **figures,
        unit="s/iteration",
        layers=asked.layers,
        width=width,
        height=height,
        precision=name,
        way=str(dream.plan.way),
        form=str(dream.plan.form),
        device=dream.plan.device,
        threads=dream.plan.threads,
    )


def _take_turns(steps: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Return the seconds of each, by turn; the first turn warms up and doesn't count."""
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for turn in range(rounds + 1):
        for name, step in steps.items():
            start = time.perf_counter()
            step()
            if turn:
                seconds[name].append(time.perf_counter() - start)
        say(f"  turn {turn} of {rounds}" if turn else "  warmed up")
    return seconds


def _peak_elsewhere(asked: argparse.Namespace, name: str) -> int | None:
    """Return the peak of a process that runs one alone; None where the system doesn't tell it."""
    if not STATUS.exists():
        return None
    say(f"  memory of {name}")
    files = ["--probe", str(asked.probe), "--weights", str(asked.weights)]
    command = [sys.executable, "-m", "benchmarks.step", *sys.argv[1:], *files, "--peak-of", name]
    return int(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)


def _peak(asked: argparse.Namespace) -> int:
    """Return the most memory that this process has held, after a few steps of one that takes part.

    The probe has measured before, elsewhere.
    """
    step = Contest(asked).step_of(asked.peak_of)
    for _ in range(STEPS_FOR_PEAK):
        step()
    return memory_peak()


if __name__ == "__main__":
    run(main)
