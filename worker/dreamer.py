"""The loop around the engine: a claimed job becomes frames, and then its ending."""

import logging
import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from threading import Event
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from dream_core.catalogue import Catalogue
from dream_core.errors import DreamError, Stale
from dream_core.executors.memory import free_bytes, ran_out
from dream_core.picture.write import encode_png
from dream_core.spec import DreamSpec, scaled_size
from jobs.claim import Claim
from jobs.errors import DeadlinePassed, LedgerAway, StoreFault
from jobs.record import Job, Problem, Run
from worker.checkpoint import Checkpoints
from worker.errors import OutOfMemory, internal

log = logging.getLogger(__name__)

DISK_LOOKED_AT_EVERY_S = 1.0


class Step(Protocol):
    """What the engine tells of an iteration."""

    @property
    def iteration(self) -> int: ...  # noqa: D102
    @property
    def octave(self) -> int: ...  # noqa: D102
    @property
    def losses(self) -> dict[str, float]: ...  # noqa: D102


class Engine(Protocol):
    """A dream, as `dream_core.dream.Dream` is one."""

    @property
    def iteration(self) -> int: ...  # noqa: D102
    @property
    def finished(self) -> bool: ...  # noqa: D102
    def state_dict(self) -> dict[str, Any]: ...  # noqa: D102
    def step(self) -> Step: ...  # noqa: D102
    def picture(self) -> Any: ...  # noqa: D102


@dataclass(frozen=True)
class Prepared:
    """A dream that is ready to be stepped."""

    engine: Engine
    alpha: NDArray[np.float32] | None
    run: Run
    begins_at: int = 0  # iteration of its first frame


Prepare = Callable[[Claim, DreamSpec, Catalogue], Prepared]


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
    ) -> None:
        """Dream what `prepare` builds on `device`, until `stopping` is set.

        `leave` asks for a new process once this one ran out of memory: what it still holds, and
        in how many pieces, nobody knows. `held_up` is told when a full disk stops the dream, and
        when it goes on.
        """
        self._prepare = prepare
        self._device = device
        self._stopping = stopping
        self._clock = clock
        self._leave = leave
        self._held_up = held_up

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
            log.exception("dream failed by a fault of ours")
            _fail(claim, self._unforeseen(claim.job, error))
            if ran_out(error):
                self._leave()

    def _unforeseen(self, job: Job, error: Exception) -> Problem:
        """Return what to tell of an error that isn't ours: memory, or a fault of the program."""
        if not ran_out(error):
            return internal(job.id)
        size = scaled_size(job.source.height, job.source.width, job.spec["image_size"])
        free = free_bytes(self._device)
        return Problem.of(OutOfMemory(job.spec["model"], *size, self._device, free))

    def _dream(self, claim: Claim) -> None:
        catalogue = Catalogue.load()
        spec = DreamSpec.parse(claim.job.spec, catalogue)
        prepared = self._prepare(claim, spec, catalogue)
        log.info(
            "dream starts: %s at %d × %d, %d iterations",
            spec.model,
            prepared.run.width,
            prepared.run.height,
            spec.iterations,
        )
        self._follow(claim, spec, prepared)

    def _follow(self, claim: Claim, spec: DreamSpec, prepared: Prepared) -> None:
        """Step to the end: first the frame, then what promises it."""
        engine = prepared.engine
        first = engine.iteration
        checkpoints = Checkpoints(claim, engine, self._clock)
        published = first != prepared.begins_at or self._publish(claim, first, spec, prepared)
        started = self._clock()
        while published and not engine.finished and not self._halted(claim):
            step = engine.step()
            if keeps(step.iteration, spec, prepared.begins_at):
                published = self._publish(claim, step.iteration, spec, prepared)
            if published:
                pace = (self._clock() - started) / (step.iteration - first)
                claim.progress(
                    step.iteration,
                    step.losses,
                    octave=step.octave,
                    seconds_per_iteration=round(pace, 4),
                    eta_s=round(pace * (spec.iterations - step.iteration), 3),
                )
                checkpoints.save_if_due()
        if published:  # a state promises every frame before it
            checkpoints.save()
        self._end(claim, engine, spec, done=published and engine.finished)

    def _halted(self, claim: Claim) -> bool:
        return claim.canceling or claim.late or self._stopping.is_set()

    def _end(self, claim: Claim, engine: Engine, spec: DreamSpec, *, done: bool) -> None:
        """Write down why the dream stepped no further. What is canceled ends so, done or not."""
        if done or claim.canceling:
            log.info("dream %s at iteration %d", claim.succeed(), engine.iteration)
        elif claim.late:
            raise DeadlinePassed(engine.iteration, spec.iterations, claim.job.expires_at)
        else:
            claim.give_back()
            log.info("dream given back at iteration %d: this worker stops", engine.iteration)

    def _publish(self, claim: Claim, iteration: int, spec: DreamSpec, prepared: Prepared) -> bool:
        """Publish the picture as it is now; False where it was halted at a full disk.

        The same dream gives the same bytes, whoever runs it.
        """
        png = encode_png(np.asarray(prepared.engine.picture()), spec.rounding, prepared.alpha)
        waited = False
        while True:
            try:
                claim.publish_frame(iteration, prepared.run.width, prepared.run.height, png)
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


def keeps(iteration: int, spec: DreamSpec, begins_at: int) -> bool:
    """Whether the picture at an iteration is a frame."""
    if iteration in (begins_at, spec.iterations):
        return True
    return iteration > begins_at and iteration % spec.save_every == 0


def _fail(claim: Claim, problem: Problem) -> None:
    with suppress(Stale, LedgerAway):
        claim.fail(problem)
