"""One attempt at a job: all that a worker may write, and only while its fence is current."""

import json
import logging
import math
from collections.abc import Callable, Mapping
from typing import TypeVar

from jobs import forgotten
from jobs.errors import FenceLost
from jobs.record import Job, Problem, Progress, Run, Status
from jobs.scripts import Scripts
from jobs.store import Store, Write

log = logging.getLogger(__name__)

LEASE_S = 15
_STALE = "stale"  # what `frame` answers where another attempt has the job

_T = TypeVar("_T")


class Claim:
    """An attempt at a job.

    Every method raises `FenceLost` once the attempt is no longer the job's: the worker then stops
    quietly. `canceling` becomes true when the job was canceled meanwhile, `late` when its deadline
    has passed.
    """

    def __init__(
        self,
        job: Job,
        fence: str,
        scripts: Scripts,
        store: Store,
        *,
        deliver: Callable[[], None],
        remember: Callable[[], None],
        request: str | None = None,
        lost: int = 0,
    ) -> None:
        """Begin as the holder of `fence`, NUMBER-TOKEN.

        `deliver` sends the job to its queue, `remember` writes its ending to disk; `request` is the
        id of the HTTP request that made the job, `lost` the number of attempts that ended without
        a word since it last got on.
        """
        self.job = job
        self.fence = fence
        self.lost = lost
        self.canceling = False
        self.late = False
        self._scripts = scripts
        self._store = store
        self._deliver = deliver
        self._remember = remember
        # What every line of a log says while the job runs.
        self.known_as = {"job": job.id, **({"request": request} if request else {})}

    def begin(self, run: Run) -> None:
        """Record how the dream is run."""
        self.job = self.job.model_copy(update={"run": run})
        self._note("run", run.model_dump_json())

    def progress(
        self,
        iteration: int,
        losses: Mapping[str, float],
        *,
        octave: int = 0,
        seconds_per_iteration: float | None = None,
        eta_s: float | None = None,
    ) -> None:
        """Record how far the dream is; a loss that is no number is recorded as null."""
        iterations = self.job.progress.iterations
        progress = Progress(
            iteration=iteration,
            iterations=iterations,
            fraction=iteration / iterations,
            octave=octave,
            losses={layer: loss if math.isfinite(loss) else None for layer, loss in losses.items()},
            seconds_per_iteration=seconds_per_iteration,
            eta_s=eta_s,
        )
        self._note("progress", progress.model_dump_json())

    def publish_frame(self, iteration: int, width: int, height: int, png: bytes) -> None:
        """Put a frame on disk, then make it known.

        Where an earlier attempt has published the frame, or the fence is lost, ours is dropped.
        A Redis that went back to before our claim may be told of our frames from the disk at this
        very moment (`jobs.refill`), so there ours is left; who ends the job removes what remains.

        Raises:
            StoreFault: the disk refuses.
        """
        path = self._store.write_frame(self.job.id, iteration, self.fence, png)
        frame = {
            "iteration": iteration,
            "width": width,
            "height": height,
            "bytes": len(png),
            "fence": self.fence,
        }
        ours = json.dumps(frame)
        known = self._scripts.run("frame", self.job.id, self.fence, iteration, ours)
        if known and known != ours:
            path.unlink(missing_ok=True)
        if self._held(None if known == _STALE else known) != ours:
            self._compare(iteration, png, json.loads(known)["fence"])

    def _compare(self, iteration: int, png: bytes, fence: str) -> None:
        """Tell where a picture of ours isn't the one that an earlier attempt has published."""
        published = self._store.frame_path(self.job.id, iteration, fence)
        try:
            same = published.read_bytes() == png
        except OSError:
            same = False
        if not same:
            self.tell("frame-differs", iteration=iteration, published=fence)

    def tell(self, event: str, **details: str | int) -> None:
        """Add an event to the job's: something to know that changes nothing."""
        log.warning("%s: %s", event, details)
        told = [str(part) for pair in details.items() for part in pair]
        self._held(self._scripts.run("event", self.job.id, self.fence, event, *told))

    def checkpoint(self, iteration: int, write: Write) -> None:
        """Keep the state, as `write` writes it, at an iteration whose frames are all published.

        Raises:
            StoreFault: the disk refuses.
        """
        path = self._store.write_checkpoint(self.job.id, iteration, self.fence, write)
        try:
            self._note("checkpoint", str(iteration), "lost", "0")
        except FenceLost:
            path.unlink(missing_ok=True)
            raise

    def renew(self) -> None:
        """Keep the lease for another 15 s."""
        self._look(self._scripts.run("renew", self.job.id, self.fence, LEASE_S * 1000))

    def succeed(self) -> Status:
        """End the job, its last frame is its result; return how it ended (it may be canceled)."""
        return self._finish(Status.SUCCEEDED, "")

    def fail(self, problem: Problem) -> Status:
        """End the job with a reason; return how it ended (it may be canceled)."""
        return self._finish(Status.FAILED, problem.model_dump_json())

    def give_back(self) -> None:
        """Put the job back in its queue, ahead of later ones; a canceling one ends canceled."""
        if self._move("give_back") == Status.QUEUED:
            self._deliver()
        else:
            self._remember()

    def _finish(self, status: Status, problem: str) -> Status:
        status = self._move("finish", status, problem)
        self._remember()
        return status

    def _move(self, script: str, *args: str) -> Status:
        told = forgotten.move(self._scripts, self._store, script, self.job.id, self.fence, *args)
        return Status(self._held(told))

    def _note(self, field: str, value: str, *more: str) -> None:
        self._look(self._scripts.run("note", self.job.id, self.fence, field, field, value, *more))

    def _look(self, answer: tuple[str, int | None] | None) -> None:
        """Take in what a script says beside "held": whether to go on."""
        status, late = self._held(answer)
        self.canceling, self.late = status == Status.CANCELING, bool(late)

    def _held(self, answer: _T | None) -> _T:
        if not answer:
            raise FenceLost(self.job.id, self.fence)
        return answer
