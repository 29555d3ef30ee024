import itertools
import logging
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from threading import Event
from typing import IO, Any

import numpy as np
import pytest

from dream_core.errors import Interrupted, WeightsMissing
from dream_core.spec import DreamSpec
from jobs.errors import FenceLost, LedgerAway, StoreFault
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
) -> list[tuple[Any, ...]]:
    """Run a claim on an engine and return what it was told."""

    def prepare(*_: object) -> Prepared:
        run = claim.job.run or RUN
        claim.begin(run)
        return Prepared(engine, None, run, begins_at)

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


def test_every_progress_promises_a_frame_that_is_there() -> None:
    """Who reads iteration 2 of a dream that keeps every frame can fetch frame 2."""
    told = dream(claim(iterations=2), Engine(2))

    assert [what[:2] for what in told] == [
        ("begin",),
        ("frame", 0),
        ("frame", 1),
        ("progress", 1),
        ("checkpoint", 1),
        ("frame", 2),
        ("progress", 2),
        ("checkpoint", 2),
        ("succeed",),
    ]


def test_the_dream_steps_on_while_a_frame_is_written() -> None:
    """Frame 2 takes here until iteration 3 is done; it comes before what is told of 3."""
    slow, engine, third = claim(iterations=4), Engine(4), Event()
    step, publish = engine.step, slow.publish_frame

    def step_and_say() -> Step:
        done = step()
        if done.iteration == 3:
            third.set()
        return done

    def wait_for_third(iteration: int, *rest: Any) -> None:
        assert iteration != 2 or third.wait(60)
        publish(iteration, *rest)

    engine.step = step_and_say  # type: ignore[method-assign]
    slow.publish_frame = wait_for_third  # type: ignore[method-assign]

    told = dream(slow, engine)

    assert [what[1] for what in told if what[0] == "frame"] == [0, 1, 2, 3, 4]
    assert told[-1] == ("succeed",)


def test_what_a_step_notes_is_an_event_of_the_job() -> None:
    """That it was done again in full precision, say: no picture shows it."""
    told = dream(claim(iterations=1), Engine(1, note="not finite in 16 bit"))

    assert ("step-noted", {"iteration": 1, "note": "not finite in 16 bit"}) in told


def test_frames_are_kept_at_every_multiple_and_the_last_one_always() -> None:
    """With save_every 3, seven iterations give 0, 3, 6 and the result, 7."""
    told = dream(claim(iterations=7, save_every=3), Engine(7))

    assert [what[1] for what in told if what[0] == "frame"] == [0, 3, 6, 7]
    assert [what[1] for what in told if what[0] == "progress"] == [1, 2, 3, 4, 5, 6, 7]


class Clock:
    """A clock on which everything takes two seconds."""

    now = 0.0

    def __call__(self) -> float:
        self.now += 2
        return self.now


def test_the_time_left_follows_from_the_pace_so_far() -> None:
    """A dream that goes on at iteration 2 of 4 knows the pace of its own steps only."""
    told = dream(claim(iterations=4), Engine(4, first=2), clock=lambda: 7.0)
    assert [what[1:] for what in told if what[0] == "progress"] == [(3, 0.0), (4, 0.0)]

    told = dream(claim(iterations=4), Engine(4, first=2), clock=Clock())
    assert next(what[1:] for what in told if what[0] == "progress") == (3, 2.0)


def test_the_first_iteration_is_no_part_of_the_pace_of_the_others() -> None:
    """It also makes what they find made: 100 s here and 50 to save a state; the others take 2 s."""
    now = [0.0]

    class Cold(Engine):
        def step(self) -> Step:
            now[0] += 2 if self.iteration else 100
            return super().step()

        def state_dict(self, *, copied: bool) -> dict[str, Any]:
            now[0] += 50
            return super().state_dict(copied=copied)

    told = dream(claim(iterations=4), Cold(4), clock=lambda: now[0])

    left = [what[1:] for what in told if what[0] == "progress"]
    assert left == [(1, 300.0), (2, 4.0), (3, 2.0), (4, 0.0)]


def test_a_dream_that_goes_on_publishes_only_what_comes() -> None:
    """Its earlier frames are published; its source is no frame of it any more."""
    told = dream(claim(iterations=4), Engine(4, first=2))

    assert [what[1] for what in told if what[0] == "frame"] == [3, 4]
    assert dream(claim(iterations=4), Engine(4, first=4))[-1] == ("succeed",)


def test_a_state_is_saved_after_the_first_step_and_then_as_costs_allow() -> None:
    """Saving takes 2 s of this clock, so 66 s pass to the next: no more than 3 % of the time."""
    told = dream(claim(iterations=100), Engine(100), clock=Clock())

    *saved, last = [what[1] for what in told if what[0] == "checkpoint"]
    assert (saved[0], last) == (1, 100)  # the last one for those who continue it
    # It is asked twice an iteration, and once more where the pace is counted from.
    passed = [2 * 2 * (after - before) for before, after in itertools.pairwise(saved)]
    assert passed[0] + 2 >= 66
    assert all(each >= 66 for each in passed[1:])
    assert len(saved) > 2


def test_a_worker_that_stops_gives_its_job_back_between_two_steps() -> None:
    """Nothing is half done, and the job isn't failed for a deploy."""
    stopping = Event()
    stopping.set()

    told = dream(claim(iterations=3), Engine(3, first=1), stopping)

    assert told[-1] == ("give_back",)
    assert "checkpoint" not in [what[0] for what in told]  # it stands where it was resumed
    assert "progress" not in [what[0] for what in told]


def test_what_was_dreamed_is_kept_when_the_job_is_given_back() -> None:
    """The next worker goes on where this one stopped, not where it last saved."""
    stopping = Event()
    engine = Engine(9)
    step = engine.step

    def stop_at_three() -> Step:
        if engine.iteration == 2:
            stopping.set()
        return step()

    engine.step = stop_at_three  # type: ignore[method-assign]

    told = dream(claim(iterations=9), engine, stopping)

    assert told[-2:] == [("checkpoint", 3, 3), ("give_back",)]


def test_a_dream_past_its_deadline_stops_between_two_steps_and_can_be_continued() -> None:
    """It fails with how far it came, and leaves the state of that very iteration."""
    late, engine = claim(iterations=9), Engine(9)
    step = engine.step

    def be_late_at_two() -> Step:
        late.late = engine.iteration == 1
        return step()

    engine.step = be_late_at_two  # type: ignore[method-assign]

    told = dream(late, engine)

    assert told[-2] == ("checkpoint", 2, 2)
    found = problem(told)
    assert found.code == "deadline-passed"
    assert "iteration 2 of 9" in found.detail


@pytest.mark.parametrize("reason", ["late", "stopping"])
def test_a_dream_that_is_done_succeeds_though_it_is_late_or_its_worker_stops(reason: str) -> None:
    """All that was asked for is there: nothing is gained by saying no, or by doing it again."""
    stopping, done = Event(), claim(iterations=2)
    if reason == "late":
        done.late = True
    else:
        stopping.set()

    assert dream(done, Engine(2, first=2), stopping)[-1] == ("succeed",)


@pytest.mark.parametrize("first", [4, 0])
def test_a_continued_dream_begins_with_the_frame_it_goes_on_from(first: int) -> None:
    """Also where the parent's state is no use and the dream begins at the source once more."""
    told = dream(claim(iterations=8, save_every=3), Engine(8, first=first), begins_at=4)

    assert [what[1] for what in told if what[0] == "frame"] == [4, 6, 8]


FULL = StoreFault("frames/1", "No space left on device", 28)


def test_a_full_disk_is_waited_for_and_nothing_is_lost() -> None:
    """The frame is published when there is room, before anything promises it; all this is said."""
    waiting = claim(iterations=1)
    waiting.disk = iter([FULL, FULL])

    told = dream(waiting, Engine(1))

    assert [what[:2] for what in told] == [
        ("begin",),
        ("held_up", True),
        ("frame", 0),
        ("held_up", False),
        ("frame", 1),
        ("progress", 1),
        ("checkpoint", 1),
        ("succeed",),
    ]


@pytest.mark.parametrize(
    ("reason", "end"), [("stopping", "give_back"), ("canceling", "canceled"), ("late", "fail")]
)
def test_whoever_waits_for_a_disk_can_be_stopped(reason: str, end: str) -> None:
    """A frame is missing, so no state and no progress promises it."""
    stopping, waiting = Quick(), claim(iterations=3)
    waiting.disk = itertools.chain([None], itertools.repeat(FULL))
    if reason == "stopping":
        waiting.on_renew = stopping.set
    else:
        waiting.on_renew = lambda: setattr(waiting, reason, True)

    told = dream(waiting, Engine(3), stopping)

    assert [what[0] for what in told] == ["begin", "frame", "held_up", end]


def test_a_disk_that_is_broken_fails_the_job() -> None:
    """What no room and no access will mend is told, not waited for."""
    broken = claim(iterations=3)
    broken.disk = iter([StoreFault("frames/0", "Input/output error", 5)])

    assert problem(dream(broken, Engine(3))).code == "store-fault"


def test_a_disk_that_takes_no_checkpoint_stops_no_dream() -> None:
    """An older state has to do; the frames are what was asked for."""
    unsaved = claim(iterations=3)

    def refuse(*_: object) -> None:
        raise FULL

    unsaved.checkpoint = refuse  # type: ignore[method-assign]

    assert dream(unsaved, Engine(3))[-1] == ("succeed",)


def test_a_cancelled_job_stops_at_the_next_step() -> None:
    """Cancel is seen by the write before; no further step is paid for."""
    cancelled = claim(iterations=3)
    cancelled.canceling = True

    assert dream(cancelled, Engine(3))[-1] == ("canceled",)


def test_an_error_of_ours_fails_the_job_with_its_code() -> None:
    """The user reads the same sentence as on the command line."""
    missing = WeightsMissing("vgg19", Path("/models"), "bring them")

    found = problem(dream(claim(iterations=3), Engine(3, missing)))

    assert (found.code, found.detail) == (
        "weights-missing",
        "the weights of vgg19 are not in /models; bring them",
    )


def test_an_unforeseen_error_fails_the_job_and_goes_to_the_log_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The user gets the id to ask with; the traceback stays in the log."""
    told = dream(claim(iterations=3), Engine(3, ZeroDivisionError("secret")))

    found = problem(told)
    assert told[-1] == ("fail", found)  # the process stays
    assert found.code == "internal"
    assert "01KAT3Y5W7ZQH9N4C8RSBV6XEM" in found.detail
    assert "secret" not in found.detail
    assert [bool(line.exc_info) for line in caplog.records if line.levelno > logging.INFO] == [True]


def large() -> Claim:
    """Return a claim of a job that is run at 600 × 400."""
    found = claim(iterations=3, image_size=600)
    found.begin(RUN.model_copy(update={"width": 600, "height": 400}))
    return found


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError(
            "[enforce fail at alloc_cpu.cpp:117] . DefaultCPUAllocator: can't allocate"
            " memory: you tried to allocate 4000000000000 bytes."
        ),
        type("OutOfMemoryError", (RuntimeError,), {})("CUDA out of memory"),
    ],
)
def test_a_dream_that_runs_out_of_memory_goes_back_to_be_seen_in_smaller_parts(
    error: Exception,
) -> None:
    """The record has the next plan before the job is given back, and the process is replaced."""
    job = large()

    told = dream(job, Engine(3, error))

    assert job.job.run is not None
    assert job.job.run.plan["parts"] == "bands"
    assert [what[0] for what in told[-4:]] == ["begin", "out-of-memory", "give_back", "leave"]
    assert told[-3][1]["form"] == "whole"


def test_after_the_smallest_parts_it_fails_with_the_size_that_may_fit() -> None:
    """Attempt after attempt needs less; the last one names the way out."""
    job, plans = large(), []
    while True:
        job.told.clear()
        told = dream(job, Engine(3, MemoryError()))
        if told[-2][0] == "fail":
            break
        assert job.job.run is not None
        plans.append(job.job.run.plan["parts"])

    found = problem(told)
    assert plans[0] == "bands"
    assert told[-1] == ("leave",)
    assert found.code == "out-of-memory"
    assert re.search(
        r"vgg19 at 600 × 400 needs more memory than cpu has, even seen in bands of \d+ rows "
        r"to pool\d; the largest image_size that may fit is \d+",
        found.detail,
    )


@pytest.mark.parametrize(("canceled", "ending"), [(True, "canceled"), (False, "give_back")])
def test_a_dream_left_in_the_middle_of_a_step_ends_as_asked(canceled: bool, ending: str) -> None:
    """Between two parts of a large picture: what was done before is kept."""
    asked = claim(iterations=3)
    stopping = Quick()

    class Left(Engine):
        def step(self) -> Step:
            if self.iteration == 1:
                asked.canceling = canceled
                stopping.set()
                raise Interrupted(1)
            return super().step()

    told = dream(asked, Left(3), stopping)

    assert told[-2:] == [("checkpoint", 1, 1), (ending,)]


def test_a_dream_left_before_its_first_step_goes_back() -> None:
    """While its targets were fixed, part by part."""
    asked = claim(iterations=3)

    def prepare(*_: Any) -> Prepared:
        raise Interrupted(0)

    Dreamer(prepare, "cpu", Event(), leave=lambda: None).run(asked)

    assert asked.told == [("give_back",)]


def test_a_spec_that_no_catalogue_fits_any_more_fails_its_job() -> None:
    """A model can be removed while its job is queued."""
    gone = claim(iterations=3)
    gone.job.spec["model"] = "mine"

    assert problem(dream(gone, Engine(3))).code == "unknown-model"


@pytest.mark.parametrize("lost_at", ["begin", "frame", "progress", "succeed", "give_back"])
def test_a_worker_that_lost_its_fence_stops_quietly(lost_at: str) -> None:
    """Another attempt runs by now: this one neither fails the job nor leaves a traceback."""
    stopping = Event()
    if lost_at == "give_back":
        stopping.set()
    lost = claim(iterations=1)
    lost.lost_at = lost_at

    told = dream(lost, Engine(1), stopping)

    assert "fail" not in [what[0] for what in told]


def test_a_redis_that_is_away_at_the_end_fails_no_job() -> None:
    """Nothing can be written down; the lease runs out and another attempt goes on."""
    told = dream(claim(iterations=3), Engine(3, LedgerAway("gone")))

    assert "fail" not in [what[0] for what in told]
