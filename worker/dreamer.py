"""The loop around the engine: a claimed job becomes frames, and then its ending."""

import logging
import os
import signal
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from threading import Event
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from dream_core.catalogue import Catalogue
from dream_core.errors import DreamError, Interrupted, Stale
from dream_core.executors.memory import gpu_lost, ran_out
from dream_core.picture.write import encode_png
from dream_core.spec import DreamSpec
from jobs.claim import Claim
from jobs.errors import DeadlinePassed, LedgerAway, StoreFault
from jobs.record import Problem, Run
from worker.checkpoint import Checkpoints
from worker.errors import OutOfMemory, internal
from worker.frames import Line
from worker.smaller import form_of, largest, smaller

log = logging.getLogger(__name__)

DISK_LOOKED_AT_EVERY_S = 1.0
# A GPU that makes 500 iterations a second, at 6 ms a frame of 512 × 384.
ENCODERS_BESIDE_GPU = 4
BYTES_A_PIXEL = 12  # of a picture that waits to be encoded


class Step(Protocol):
    """What the engine tells of an iteration."""

    @property
    def iteration(self) -> int: ...  # noqa: D102
    @property
    def octave(self) -> int: ...  # noqa: D102
    @property
    def losses(self) -> Mapping[str, float]: ...  # noqa: D102
    @property
    def note(self) -> str: ...  # noqa: D102


class Engine(Protocol):
    """A dream, as `dream_core.dream.Dream` is one."""

    @property
    def iteration(self) -> int: ...  # noqa: D102
    @property
    def finished(self) -> bool: ...  # noqa: D102
    @property
    def under_way(self) -> int: ...  # noqa: D102
    def state_dict(self, *, copied: bool) -> dict[str, Any]: ...  # noqa: D102
    def step(self) -> Step: ...  # noqa: D102
    def frame(self) -> Callable[[], Any]: ...  # noqa: D102


@dataclass(frozen=True)
class Prepared:
    """A dream that is ready to be stepped."""

    engine: Engine
    alpha: NDArray[np.float32] | None
    run: Run
    begins_at: int = 0  # iteration of its first frame
    looked_s: float = 0.0  # that its first step has taken already


Prepare = Callable[[Claim, DreamSpec, Catalogue, Callable[[], bool]], Prepared]
"""The last is asked between the parts of a picture: whether to leave in the middle of a step."""


def leave_process() -> None:
    """Stop as on SIGTERM; the supervisor starts another process."""
    os.kill(os.getpid(), signal.SIGTERM)


class Dreamer:
    """Runs one claimed job after the other."""

    def __init__(
        self,
        prepare: Prepare,
        device: str,
        stopping: Event,
        clock: Callable[[], float] = time.monotonic,
        leave: Callable[[], None] = leave_process,
        *,
        held_up: Callable[[bool], None] = lambda _: None,
        foresee: Callable[[], None] = lambda: None,
    ) -> None:
        """Dream what `prepare` builds on `device`, until `stopping` is set.

        `leave` asks for a new process once this one ran out of memory (what it still holds, and
        in how many pieces, nobody knows) or has lost its GPU. `held_up` is told when a full
        disk stops the dream, and when it goes on. `foresee` is called after each step: it looks at
        what comes next.
        """
        self._prepare = prepare
        self._device = device
        self._stopping = stopping
        self._clock = clock
        self._leave = leave
        self._held_up = held_up
        self._foresee = foresee

    def run(self, claim: Claim) -> None:
        """Run a job to its end, whatever that is: no error leaves this method."""
        try:
            self._dream(claim)
        except Stale as stale:
            log.warning("dream left to its other attempt: %s", stale)
        except LedgerAway as away:
            # Nothing can be written down now; the lease runs out and the job goes on elsewhere.
            log.error("dream left: %s", away)
        except DreamError as error:
            log.warning("dream failed: %s (%s)", error, error.code)
            _fail(claim, Problem.of(error))
        except Exception as error:
            if ran_out(error):
                log.warning("out of memory: %s", error)
                self._run_smaller(claim)
                self._leave()
            else:
                log.exception("dream failed by a fault of ours")
                _fail(claim, internal(claim.job.id))
                if gpu_lost(error):
                    self._leave()

    def _run_smaller(self, claim: Claim) -> None:
        """Give the job back to be seen in smaller parts; where there are none, it has failed."""
        run, catalogue = claim.job.run, Catalogue.load()
        if run is None:  # not even its picture could be read
            _fail(claim, internal(claim.job.id))
            return
        spec = DreamSpec.parse(claim.job.spec, catalogue)
        model = catalogue[spec.model]
        found = smaller(run, spec, model)
        if found is None:
            size, form = (run.height, run.width), str(form_of(run))
            able = largest(run, spec, model)
            _fail(claim, Problem.of(OutOfMemory(model.name, size, self._device, form, able)))
            return
        with suppress(Stale, LedgerAway):
            before, after = str(form_of(run)), str(form_of(found))
            claim.begin(found)
            claim.tell("out-of-memory", form=before, next=after)
            claim.give_back()

    def _dream(self, claim: Claim) -> None:
        catalogue = Catalogue.load()
        spec = DreamSpec.parse(claim.job.spec, catalogue)
        try:
            prepared = self._prepare(claim, spec, catalogue, lambda: self._halted(claim))
        except Interrupted:
            self._end(claim, claim.job.progress.iteration, spec, done=False)
            return
        log.info(
            "dream starts: %s at %d × %d, %d iterations",
            spec.model,
            prepared.run.width,
            prepared.run.height,
            spec.iterations,
        )
        self._follow(claim, spec, prepared)

    def _follow(self, claim: Claim, spec: DreamSpec, prepared: Prepared) -> None:
        """Step to the end; beside it, in order, each frame is told and then what promises it."""
        engine = prepared.engine
        first = engine.iteration
        checkpoints = Checkpoints(claim, engine, self._clock)
        run = prepared.run
        line: Line[News, Callable[[], Any]] = Line(
            lambda news, png: self._tell(claim, run, news, png),
            lambda frame: encode_png(np.asarray(frame()), spec.rounding, prepared.alpha),
            encoders(run.device),
            picture_bytes=run.width * run.height * BYTES_A_PIXEL,
        )
        with line:
            told = first != prepared.begins_at or line.add(News(first), engine.frame())
            started, counted_from = self._clock() - prepared.looked_s, first
            pace = 0.0
            while told and not engine.finished and not self._halted(claim):
                try:
                    step = engine.step()
                except Interrupted:
                    break
                now = self._clock()
                # A step of a GPU returns before its iteration is done; so do the first few at once.
                done = step.iteration - engine.under_way - counted_from
                if done > 0 or not pace:
                    pace = (now - started) / max(done, 1)
                kept = keeps(step.iteration, spec, prepared.begins_at)
                left = spec.iterations - step.iteration
                news = News(step.iteration, step, pace, pace * left)
                told = line.add(news, engine.frame() if kept else None)
                self._foresee()
                # A state promises every frame before it.
                if told and checkpoints.due and (told := line.drain()):
                    checkpoints.save()
                if counted_from == first:  # it also made what the others find made, and a state
                    started, counted_from = self._clock(), step.iteration
            told = line.drain()
        if told:
            checkpoints.save()
        self._end(claim, engine.iteration, spec, done=told and engine.finished)

    def _halted(self, claim: Claim) -> bool:
        return claim.canceling or claim.late or self._stopping.is_set()

    def _end(self, claim: Claim, iteration: int, spec: DreamSpec, *, done: bool) -> None:
        """Write down why the dream stepped no further. What is canceled ends so, done or not."""
        if done or claim.canceling:
            log.info("dream %s at iteration %d", claim.succeed(), iteration)
        elif claim.late:
            raise DeadlinePassed(iteration, spec.iterations, claim.job.expires_at)
        else:
            claim.give_back()
            log.info("dream given back at iteration %d: this worker stops", iteration)

    def _tell(self, claim: Claim, run: Run, news: "News", png: bytes | None) -> bool:
        """Tell of an iteration, its frame first; False where it was halted at a full disk."""
        step = news.step
        if step and step.note:
            claim.tell("step-noted", iteration=step.iteration, note=step.note)
        if png is not None and not self._publish(claim, run, news.iteration, png):
            return False
        if step:
            claim.progress(
                step.iteration,
                step.losses,
                octave=step.octave,
                seconds_per_iteration=round(news.pace, 4),
                eta_s=round(news.eta_s, 3),
            )
        return True

    def _publish(self, claim: Claim, run: Run, iteration: int, png: bytes) -> bool:
        """Publish a frame; False where it was halted at a full disk.

        The same dream gives the same bytes, whoever runs it.
        """
        waited = False
        while True:
            try:
                claim.publish_frame(iteration, run.width, run.height, png)
            except StoreFault as fault:
                if not fault.passing:
                    raise
                if not waited:
                    log.warning("dream waits at iteration %d: %s", iteration, fault)
                    self._held_up(True)
                waited = True
            else:
                if waited:
                    log.info("dream goes on at iteration %d", iteration)
                    self._held_up(False)
                return True
            if self._stopping.wait(DISK_LOOKED_AT_EVERY_S):
                return False
            claim.renew()
            if self._halted(claim):
                return False


@dataclass(frozen=True)
class News:
    """An iteration that is to be told of; the first frame has no step before it."""

    iteration: int
    step: Step | None = None
    pace: float = 0.0  # seconds an iteration
    eta_s: float = 0.0


def encoders(device: str) -> int:
    """Return how many threads encode: one where they share the cores with those that dream."""
    return 1 if device == "cpu" else ENCODERS_BESIDE_GPU


def keeps(iteration: int, spec: DreamSpec, begins_at: int) -> bool:
    """Whether the picture at an iteration is a frame."""
    if iteration in (begins_at, spec.iterations):
        return True
    return iteration > begins_at and iteration % spec.save_every == 0


def _fail(claim: Claim, problem: Problem) -> None:
    with suppress(Stale, LedgerAway):
        claim.fail(problem)
