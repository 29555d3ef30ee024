"""All benchmarks, one after the other, and the page that they write.

    python -m benchmarks            # docs/reference/performance.md; 20 minutes to an hour
    python -m benchmarks --quick    # out/performance/performance.md: a try: figures that say little

Prints every line as it comes. Lines, plot and page are written at the end, all or none of them.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks import page
from benchmarks.line import Line, run, say

ROOT = Path(__file__).parents[1]
FIVE = ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")
LAYERS = (("relu3_1",), ("relu5_1",), FIVE)
# By size. A turn of the largest takes half a minute.
ROUNDS = {(384, 512): 7, (768, 1024): 4, (1536, 2048): 2}


def main() -> None:
    """Run them and write what they told."""
    parser = argparse.ArgumentParser(description="Measure all that the page of figures says.")
    parser.add_argument("--quick", action="store_true", help="try it in seconds, on a tiny picture")
    parser.add_argument("--to", type=Path, help="folder of page, plot and lines")
    asked = parser.parse_args()
    folder = asked.to or (ROOT / "out/performance" if asked.quick else page.FOLDER)
    all_, began = list(commands(asked.quick)), time.monotonic()
    lines: list[Line] = []
    for number, command in enumerate(all_, 1):
        minutes, seconds = divmod(int(time.monotonic() - began), 60)
        say(f"[{number} of {len(all_)}, {minutes}:{seconds:02}] {' '.join(command)}")
        lines += [told for told in _lines_of(command) if "name" in told]
    page.write(lines, folder)
    say(f"{folder / page.PAGE} is written")


def commands(quick: bool) -> Iterator[list[str]]:
    """Give what is run: a module and what it is asked."""
    if quick:
        reference = ["--executor", "autograd"]  # which needs no probe
        yield _step((48, 64), ("relu1_1",), 2, "--precisions", "exact", *reference)
        return
    for size, rounds in ROUNDS.items():
        for layers in LAYERS:
            yield _step(size, layers, rounds)
    yield ["benchmarks.memory"]
    yield ["benchmarks.estimate"]
    yield ["benchmarks.service", "--measures", "start", "first", "frames", "next"]
    # Near its limit, and its turns differ most.
    yield ["benchmarks.service", "--measures", "polling", "--rounds", "8"]


def _step(size: tuple[int, int], layers: Sequence[str], rounds: int, *more: str) -> list[str]:
    sized = ["--size", *map(str, size), "--rounds", str(rounds)]
    return ["benchmarks.step", *sized, "--layers", *layers, *more]


def _lines_of(command: Sequence[str]) -> Iterator[Line]:
    """Run a benchmark in a group of processes of its own; whoever leaves early ends it."""
    child = subprocess.Popen(
        [sys.executable, "-m", *command],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        process_group=0,
    )
    with child:
        try:
            assert child.stdout is not None  # noqa: S101 (it is a pipe)
            for told in child.stdout:
                print(told, end="", flush=True)  # noqa: T201
                yield json.loads(told)
        except BaseException:
            os.killpg(child.pid, signal.SIGTERM)  # in a shell's background it ignores Ctrl-C
            raise
    if child.returncode:
        sys.exit(f"{command[0]} has failed; nothing is written")


if __name__ == "__main__":
    run(main)
