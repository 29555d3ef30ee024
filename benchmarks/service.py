"""What the service costs around the step: start, first iteration, frames, the next job, clients.

    python -m benchmarks.service --measures start first frames next polling --rounds 5

Real processes on loopback (Valkey, API, a worker), VGG-19 with its real weights, relu5_1. Prints
one JSON line a measure; `ratio` is against `baseline` where there is one. Run it on a machine that
does nothing else.
"""

import argparse
import os
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import httpx
from PIL import Image

from benchmarks.line import Line, line, run, tell
from benchmarks.serving import ROOT, Polling, Serving, serving
from dream_core.catalogue import Catalogue
from dream_core.dream import Dream
from dream_core.executors.plan import Plan
from dream_core.networks import load_network
from dream_core.picture.read import read
from dream_core.picture.source import working_source
from dream_core.spec import DreamSpec
from dream_core.weights import ensure
from worker.room import NICENESS

MEASURES = ("start", "first", "frames", "next", "polling")
LAYERS = "relu5_1=1000"
SIZE = (384, 512)
CLIENTS, EACH_S = 50, 1.0


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Time the service around the step.")
    parser.add_argument("--measures", nargs="+", choices=MEASURES, default=MEASURES)
    parser.add_argument(
        "--precision", choices=("auto", "exact", "balanced", "fast"), default="fast"
    )
    parser.add_argument("--iterations", type=int, default=30)
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    if "start" in asked.measures:
        for told in _start(asked.rounds):
            tell(told)
    if set(asked.measures) == {"start"}:
        return
    with serving(workers=1) as service:
        bench = Bench(service, asked)
        for name in asked.measures:
            for told in getattr(bench, name)() if name != "start" else ():
                tell(told)


def _start(rounds: int) -> Iterator[Line]:
    """From `dream up` to a yes of /readyz, the machine's figures known and not yet known."""
    for name, folder in (("known", None), ("not yet measured", tempfile.TemporaryDirectory())):
        seconds = []
        for _ in range(rounds if folder is None else 1):
            probe = {"probe_file": Path(folder.name) / "probe.json"} if folder else {}
            with serving(workers=1, **probe) as service:
                seconds.append(service.ready_s)
        yield line(f"start, pace of the machine {name}", **_told(seconds))


class Bench:
    """One service that is warm, and the bare engine beside it."""

    def __init__(self, service: Serving, asked: argparse.Namespace) -> None:
        """Warm the service up by a dream; the engine takes the plan that this one had."""
        self._service = service
        self._rounds = asked.rounds
        self._iterations = asked.iterations
        self._precision = asked.precision
        self._picture = _picture()
        # As the worker is: what else the machine does then meets both alike.
        self._beside = ThreadPoolExecutor(1, initializer=_step_back)
        warm = self._post(iterations=2)
        service.times(warm)
        job = service.job(warm)
        self.run = job["run"]
        self._spec = DreamSpec(**job["spec"])
        model = Catalogue.load()[self._spec.model]
        self._network = load_network(
            model, ensure(model, Catalogue.load().folder), pooling=self._spec.pooling
        )
        self._source, _ = working_source(read(self._picture), SIZE)

    def first(self) -> Iterator[Line]:
        """From a POST to the end of the first iteration, in a worker that has dreamed before."""
        stages: dict[str, list[float]] = {}
        for _ in range(self._rounds):
            job_id, sent, answered = self._service.post(self._picture, **self._fields(iterations=2))
            found = self._service.times(job_id)
            stages.setdefault("answered", []).append(answered - sent)
            for kind in ("running", "run", "frame", "progress"):
                stages.setdefault(kind, []).append(found[kind][0] - sent)
        yield self._line(
            "from POST to the end of the first iteration, warm",
            **_told(stages["progress"]),
            stages_s={kind: round(median(took), 3) for kind, took in stages.items()},
        )

    def frames(self) -> Iterator[Line]:
        """An iteration with its frame saved, against `Dream.step` alone, turn about."""
        ours, bare = [], []
        for _ in range(self._rounds):
            bare.append(self._bare())
            found = self._service.times(self._post(iterations=self._iterations))["progress"]
            ours.append((found[-1] - found[0]) / (len(found) - 1))
        yield self._line("an iteration with every frame saved", **_against(ours, bare))

    def next(self) -> Iterator[Line]:
        """From the end of one dream to the end of the next one's first iteration."""
        gaps = []
        for _ in range(self._rounds):
            one, two = self._post(iterations=5), self._post(iterations=2)
            ended = self._service.times(one)["succeeded"][0]
            gaps.append(self._service.times(two)["progress"][0] - ended)
        yield self._line("from a dream's end to the next one's first iteration", **_told(gaps))

    def polling(self) -> Iterator[Line]:
        """A dream with 50 clients that ask every second, against itself without, turn about."""
        step = self._bare()
        turns, seconds_each = 4 * self._rounds, max(4.0, 1 + 5 * step)
        job = self._post(iterations=10_000, save_every=10_000)  # it is canceled at the end
        steps: list[float] = []
        watching = threading.Thread(target=self._watch, args=(job, steps), daemon=True)
        watching.start()
        clients = Polling(f"{self._service.url}/dreams/{job}", CLIENTS, EACH_S)
        paces: dict[bool, list[float]] = {False: [], True: []}
        before = self._spent()
        for turn in range(turns):
            began = time.time()
            if polled := bool(turn % 2):
                clients.run_for(seconds_each)
            else:
                time.sleep(seconds_each)
            # Not the first second: the clients connect, and a step is still of the turn before.
            inside = [at for at in steps if began + 1 <= at <= time.time()]
            paces[polled].append((inside[-1] - inside[0]) / (len(inside) - 1))
        spent = {who: now - before[who] for who, now in self._spent().items()}
        self._cancel(job)
        watching.join()
        asked = len(clients.seconds)
        p50, p99 = (quantiles(clients.seconds, n=100)[at] for at in (49, 98))
        yield self._line(
            f"an iteration while {CLIENTS} clients ask every {EACH_S:g} s",
            **_against(paces[True], paces[False]),
            cpu_ms_an_answer={who: _ms(took / asked) for who, took in spent.items()},
        )
        yield self._line(
            f"99 % of the answers to {CLIENTS} clients, while all cores dream, within",
            value=_ms(p99),
            unit="ms",
            median=_ms(p50),
            longest=_ms(max(clients.seconds)),
            answers=asked,
        )

    def _spent(self) -> dict[str, float]:
        """Return the CPU seconds so far of all that an answer takes.

        The clients are on these cores only here; the dream pays for them too.
        """
        rooms = {room: self._service.cpu_s(room) for room in ("api", "valkey")}
        return {**rooms, "clients": time.process_time()}

    def _line(self, name: str, **figures: Any) -> Line:
        plan = self.run["plan"]
        where = {"device": plan["device"], "threads": plan["threads"]}
        way = f"{plan['executor']} {plan['precision']}"
        return line(name, **figures, width=SIZE[1], height=SIZE[0], way=way, **where)

    def _bare(self) -> float:
        """Return the seconds of an iteration of the engine alone, under the service's plan."""
        return self._beside.submit(self._dream_alone).result()

    def _dream_alone(self) -> float:
        dream = Dream(
            self._source, self._spec, network=self._network, plan=Plan(**self.run["plan"])
        )
        dream.step()
        began = time.perf_counter()
        for _ in range(self._iterations - 1):
            dream.step()
        return (time.perf_counter() - began) / (self._iterations - 1)

    def _watch(self, job: str, steps: list[float]) -> None:
        with suppress(RuntimeError):  # it is canceled at the end
            for at, event in self._service.follow(job):
                if event["type"] == "progress":
                    steps.append(at)

    def _post(self, **fields: Any) -> str:
        return self._service.post(self._picture, **self._fields(**fields))[0]

    def _fields(self, **fields: Any) -> dict[str, Any]:
        given = {"layers": LAYERS, "image_size": max(SIZE), "precision": self._precision}
        return {"model": "vgg19", **given, **fields}

    def _cancel(self, job: str) -> None:
        httpx.post(f"{self._service.url}/dreams/{job}/cancel", trust_env=False).raise_for_status()


def _step_back() -> None:
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)


def _picture() -> bytes:
    """Return the coffee cup at the size that is dreamed at, a PNG."""
    content = BytesIO()
    picture = Image.open(ROOT / "examples" / "coffee.png").convert("RGB")
    picture.resize((SIZE[1], SIZE[0]), Image.Resampling.LANCZOS).save(content, "PNG")
    return content.getvalue()


def _told(values: Sequence[float]) -> Line:
    spread = [round(min(values), 3), round(max(values), 3)]
    return {"value": round(median(values), 3), "unit": "s", "spread": spread}


def _against(ours: Sequence[float], baseline: Sequence[float]) -> Line:
    ratios = [one / other for one, other in zip(ours, baseline, strict=True)]
    return {
        "value": round(median(ours), 4),
        "unit": "s/iteration",
        "baseline": round(median(baseline), 4),
        "ratio": round(median(ratios), 3),
        "ratios": [round(min(ratios), 3), round(max(ratios), 3)],
    }


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 2)


if __name__ == "__main__":
    run(main)
