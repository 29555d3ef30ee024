"""What a dreamer is tried with: an engine of ten lines, and a claim that writes down its words."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from io import BytesIO
from threading import Event
from typing import IO, Any

import numpy as np

from dream_core.spec import DreamSpec
from jobs.errors import FenceLost
from jobs.record import Frames, Job, Problem, Progress, Queue, Run, Source, Status
from worker.checkpoint import unpack
from worker.dreamer import Dreamer, Prepared

RUN = Run(width=4, height=3, device="cpu", plan={}, versions={})


@dataclass
class Step:
    """What the ten-line engine tells."""

    iteration: int
    losses: dict[str, float]
    octave: int = 0
    note: str = ""


class Engine:
    """An engine whose picture is its iteration."""

    under_way = 0

    def __init__(
        self, iterations: int, error: Exception | None = None, first: int = 0, note: str = ""
    ) -> None:
        self.iterations, self.iteration, self.error = iterations, first, error
        self.note = note

    @property
    def finished(self) -> bool:
        return self.iteration == self.iterations

    def state_dict(self, *, copied: bool) -> dict[str, Any]:
        return {"iteration": self.iteration}

    def step(self) -> Step:
        if self.error and self.iteration == 1:
            raise self.error
        self.iteration += 1
        return Step(self.iteration, {"relu5_1": 1 / self.iteration}, note=self.note)

    def frame(self) -> Callable[[], np.ndarray]:
        picture = np.full((3, 3, 4), self.iteration / 100, np.float32)
        return lambda: picture


@dataclass
class Claim:
    """A claim that writes down what it is told."""

    job: Job
    canceling: bool = False
    told: list[tuple[Any, ...]] = field(default_factory=list)
    late: bool = False
    lost_at: str = ""
    disk: Iterator[Exception | None] = field(default_factory=lambda: iter(()))
    on_renew: Callable[[], None] = lambda: None

    def begin(self, run: Run) -> None:
        self._tell("begin")
        self.job = self.job.model_copy(update={"run": run})

    def tell(self, event: str, **details: str | int) -> None:
        self._tell(event, details)

    def publish_frame(self, iteration: int, width: int, height: int, png: bytes) -> None:
        fault = next(self.disk, None)
        if fault:
            raise fault
        self._tell("frame", iteration)

    def renew(self) -> None:
        self.on_renew()

    def progress(self, iteration: int, losses: dict[str, float], **more: Any) -> None:
        self._tell("progress", iteration, more["eta_s"])

    def checkpoint(self, iteration: int, write: Callable[[IO[bytes]], None]) -> None:
        state = BytesIO()
        write(state)
        state.seek(0)
        self._tell("checkpoint", iteration, unpack(state)["iteration"])

    def succeed(self) -> Status:
        self._tell("canceled" if self.canceling else "succeed")
        return Status.SUCCEEDED

    def fail(self, problem: Problem) -> Status:
        self._tell("fail", problem)
        return Status.FAILED

    def give_back(self) -> None:
        self._tell("give_back")

    def _tell(self, *what: Any) -> None:
        if what[0] == self.lost_at:
            raise FenceLost("01KAT", "1-aa")
        self.told.append(what)


def claim(**spec: Any) -> Claim:
    """Return a claim of a job that asks for `spec`."""
    resolved = DreamSpec(**spec).model_dump(mode="json")
    job = Job(
        id="01KAT3Y5W7ZQH9N4C8RSBV6XEM",
        status=Status.RUNNING,
        seq=1,
        parent=None,
        spec=resolved,
        source=Source(width=1200, height=800, sha256=""),
        run=None,
        progress=Progress(iterations=resolved["iterations"]),
        queue=Queue(),
        attempt=1,
        frames=Frames(),
        created_at=datetime.now(UTC),
        started_at=None,
        finished_at=None,
        expires_at=None,
        problem=None,
    )
    return Claim(job)


class Quick(Event):
    """An event that nobody waits for: it is asked and not slept on."""

    def wait(self, timeout: float | None = None) -> bool:
        return self.is_set()


def dream(
    claim: Claim,
    engine: Engine,
    stopping: Event | None = None,
    clock: Any = lambda: 0.0,
    begins_at: int = 0,
    looked_s: float = 0.0,
) -> list[tuple[Any, ...]]:
    """Run a claim on an engine and return what it was told."""

    def prepare(*_: object) -> Prepared:
        run = claim.job.run or RUN
        claim.begin(run)
        return Prepared(engine, None, run, begins_at, looked_s)

    def leave() -> None:
        claim.told.append(("leave",))

    def held_up(by_disk: bool) -> None:
        claim.told.append(("held_up", by_disk))

    Dreamer(  # type: ignore[arg-type]
        prepare, "cpu", stopping or Quick(), clock, leave, held_up=held_up
    ).run(claim)
    return claim.told


def problem(told: list[tuple[Any, ...]]) -> Problem:
    """Return what a claim that failed was told, at its end."""
    ends = [what for what in told if what[0] not in ("begin", "frame", "progress", "checkpoint")]
    verb, found = ends[0]
    assert verb == "fail"
    assert isinstance(found, Problem)
    return found
