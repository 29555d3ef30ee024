"""Estimated against taken seconds of twenty dreams, each run by a worker's own loop.

    python -m benchmarks.estimate

VGG-19 with its real weights on the cat, one after the other in this process: ledger, Valkey, store,
frames and checkpoints are the service's. Each dream is estimated twice before it runs: from what
the probe measured alone, and with what the dreams before it taught. Prints one JSON line each, and
one with the median error of each way to estimate; the second counts from the sixth dream on.

Time left is told while a dream runs. Near its end little is left, and a tenth of a second would be
all of it; so what that is off by is told as a part of the whole dream's time.
"""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median
from threading import Event
from typing import Any

import torch

from benchmarks.line import LEFT, WHOLE, line, run, say, tell
from dream_core.catalogue import Catalogue
from dream_core.executors.memory import free_bytes
from dream_core.executors.probe import Probe
from dream_core.picture.read import read
from dream_core.spec import DreamSpec
from jobs.claim import Claim
from jobs.connection import connect
from jobs.estimate import Estimate, Known
from jobs.ledger import Ledger
from jobs.presence import Presence
from jobs.scripts import Scripts
from jobs.settings import Settings, environment
from jobs.store import Store
from jobs.valkey import wait_until_up
from worker.dreamer import Dreamer
from worker.networks import Networks
from worker.preparing import Preparer
from worker.rates import rates

ROOT = Path(__file__).parents[1]
FIVE = "relu1_1 relu2_1 relu3_1 relu4_1 relu5_1"
TAUGHT = 5  # dreams before one that count as something learned
# layers, image_size, pooling, precision, save_every, iterations; those of the probe's own looks
# come nowhere.
DREAMS = (
    ("relu4_1", 384, "max", "auto", 1, 12),
    ("relu1_1", 512, "max", "exact", 1, 8),
    ("relu5_1", 640, "max", "balanced", 100, 8),
    (FIVE, 448, "max", "auto", 100, 8),
    ("relu3_1", 1024, "max", "auto", 100, 6),
    ("relu5_1", 320, "avg", "exact", 1, 12),
    ("relu2_1 relu4_1", 512, "max", "exact", 4, 8),
    ("relu1_2", 768, "avg", "auto", 1, 6),
    ("conv5_4", 512, "max", "auto", 100, 12),
    ("relu3_1", 288, "max", "balanced", 1, 20),
    (FIVE, 640, "avg", "exact", 100, 5),
    ("relu5_1", 896, "max", "auto", 1, 6),
    ("relu2_2", 384, "max", "auto", 100, 12),
    ("relu4_2", 768, "max", "exact", 2, 5),
    ("relu5_1", 448, "avg", "balanced", 1, 10),
    ("relu3_1 relu5_1", 576, "max", "auto", 1, 10),
    ("relu1_1 relu5_1", 352, "max", "exact", 100, 10),
    ("relu4_1", 1024, "avg", "auto", 100, 5),
    ("relu2_1", 896, "max", "balanced", 100, 5),
    ("relu5_1", 256, "max", "exact", 1, 20),
)


@dataclass
class Told:
    """What was said of one dream, and what came."""

    cold_s: float | None
    warm_s: float | None
    shown_error: float | None  # beside the second
    busy: bool  # others had the cores while the machine was measured, so the first was told
    taken_s: float = 0.0
    ended_at: float = 0.0
    etas: list[tuple[float, float]] = field(default_factory=list)  # when, and what was left then

    def off(self, seconds: float | None) -> float | None:
        """Return by which part an estimate was off."""
        return None if seconds is None else seconds / self.taken_s - 1

    def late(self, iteration: int) -> float | None:
        """Return by which part of the whole dream the time left was off, told at an iteration."""
        if len(self.etas) <= iteration:
            return None
        at, left = self.etas[iteration - 1]
        return (left - (self.ended_at - at)) / self.taken_s


def main() -> None:
    """Dream, compare and print."""
    with tempfile.TemporaryDirectory() as folder, own_room(Path(folder)) as room:
        told = []
        for number, dream in enumerate(DREAMS, 1):
            say(f"  dream {number} of {len(DREAMS)}")
            told.append(_dreamed(room, dream))
    cold = [one.off(one.cold_s) for one in told]
    busy = any(one.busy for one in told)
    _compare("estimate from what was measured alone", cold, measured_while_busy=busy)
    taught = told[TAUGHT:]
    shown = [one.shown_error for one in taught if one.shown_error is not None]
    warm = [one.off(one.warm_s) for one in taught]
    _compare("estimate after earlier dreams", warm, shown_error=round(median(shown), 4))
    for iteration in (1, 2, 4):
        late = [one.late(iteration) for one in told]
        _compare(f"time left, told at iteration {iteration}", late, LEFT)


class Room:
    """A ledger and a worker's loop, in this process."""

    def __init__(self, settings: Settings) -> None:
        """Open the ledger, and measure the machine if nobody has."""
        client, device = connect(settings), torch.device("cpu")
        probe, store = Probe(settings.probe_file), Store(settings.data_dir)
        self.ledger = Ledger(client, store, lambda *_, **__: None)
        self.catalogue = Catalogue.load()
        self.picture = read(ROOT / "examples" / "cat.png")
        self._scripts = Scripts(client)
        told = rates(probe, device)
        self._worker = Presence(
            host="here",
            slot=0,
            pid=1,
            state="idle",
            device="cpu",
            rates=told,
            memory_bytes=free_bytes("cpu"),
        )
        prepare = Preparer(store, Networks(device), probe)
        self._dreamer = Dreamer(prepare, "cpu", Event())

    def estimate(self, spec: DreamSpec) -> Told:
        """Return what is told before a dream."""
        known = Known.of(self._scripts.run("estimate", ""))
        cold, warm = (
            Estimate.of(
                spec,
                self.catalogue[spec.model],
                (self.picture.height, self.picture.width),
                queue="interactive",
                known=each,
                workers=[self._worker],
            )
            for each in (replace(known, samples=()), known)
        )
        return Told(cold.seconds, warm.seconds, warm.median_error, busy=cold.measured_while_busy)

    def dream(self, spec: DreamSpec, told: Told) -> dict[str, Any]:
        """Run a dream to its end; return its plan."""
        job = self.ledger.accept(spec, self.picture)
        claim = self.ledger.claim(job.id, "here:0")
        assert claim is not None  # noqa: S101 (nobody else is here)
        self._listen(claim, told)
        self._dreamer.run(claim)
        told.ended_at = time.monotonic()
        ended = self.ledger.get(job.id)
        assert ended.status == "succeeded" and ended.run  # noqa: S101, PT018
        assert ended.started_at and ended.finished_at  # noqa: S101, PT018
        told.taken_s = (ended.finished_at - ended.started_at).total_seconds()
        return ended.run.plan

    @staticmethod
    def _listen(claim: Claim, told: Told) -> None:
        """Note the time left as it is told."""
        report = claim.progress

        def listening(iteration: int, losses: Any, **more: Any) -> None:
            told.etas.append((time.monotonic(), more["eta_s"]))
            report(iteration, losses, **more)

        claim.progress = listening  # type: ignore[method-assign]


@contextmanager
def own_room(folder: Path) -> Iterator[Room]:
    """Start a Valkey of its own; the probe's figures are taken anew."""
    settings = Settings(data_dir=folder, probe_file=folder / "probe.json")
    env = {**environment(settings), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-P", "-m", "jobs.valkey"]
    # It warns on stdout, where only lines of figures belong.
    server = subprocess.Popen(command, env=env, stdout=sys.stderr)
    try:
        wait_until_up(connect(settings))
        yield Room(settings)
    finally:
        server.terminate()
        server.wait()


def _dreamed(room: Room, dream: tuple[str, int, str, str, int, int]) -> Told:
    """Estimate a dream, run it and print both."""
    layers, image_size, pooling, precision, save_every, iterations = dream
    spec = DreamSpec.model_validate(
        {
            "layers": dict.fromkeys(layers.split(), 1000.0),
            "image_size": image_size,
            "pooling": pooling,
            "precision": precision,
            "save_every": save_every,
            "iterations": iterations,
        }
    )
    told = room.estimate(spec)
    plan = room.dream(spec, told)
    record = {"dream": dream, "way": f"{plan['executor']} {plan['precision']}"}
    off = {"cold_off": told.off(told.cold_s), "warm_off": told.off(told.warm_s)}
    seconds = {"taken_s": told.taken_s, "cold_s": told.cold_s, "warm_s": told.warm_s, **off}
    print(json.dumps({**record, **_rounded(seconds)}), flush=True)  # noqa: T201
    return told


def _compare(name: str, off: list[float | None], unit: str = WHOLE, **more: float) -> None:
    """Print the median of errors and the largest."""
    errors = [abs(each) for each in off if each is not None]
    figures = {"value": median(errors), "largest": max(errors), "bias": median(filter(None, off))}
    tell(line(name, unit=unit, dreams=len(errors), **_rounded(figures), **more))


def _rounded(figures: dict[str, float | None]) -> dict[str, float | None]:
    return {name: each if each is None else round(each, 4) for name, each in figures.items()}


if __name__ == "__main__":
    run(main)
