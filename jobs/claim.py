"""One attempt at a job: all that a worker may write, and only while its fence is current."""

import json
import math
from collections.abc import Callable, Mapping

from jobs.errors import FenceLost
from jobs.record import Job, Problem, Progress, Run, Status
from jobs.scripts import Scripts
from jobs.store import Store

LEASE_S = 15


class Claim:
    """An attempt at a job.

    Every method raises `FenceLost` once the attempt is no longer the job's: the worker then stops
    quietly. `canceling` becomes true when the job was cancelled meanwhile.
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
    ) -> None:
        """Begin as the holder of `fence`, NUMBER-TOKEN.

        `deliver` sends the job to its queue, `remember` writes its ending to disk.
        """
        self.job = job
        self.fence = fence
        self.canceling = False
        self._scripts = scripts
        self._store = store
        self._deliver = deliver
        self._remember = remember

    def begin(self, run: Run) -> None:
        """Record how the dream is run."""
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

        Where an earlier attempt has published the frame, ours is dropped.

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
        known = self._scripts.run("frame", self.job.id, self.fence, iteration, json.dumps(frame))
        if known != "new":
            path.unlink(missing_ok=True)
        self._held(known)

    def checkpoint(self, iteration: int, state: bytes) -> None:
        """Keep the state at an iteration whose frames are all published.

        Raises:
            StoreFault: the disk refuses.
        """
        self._store.write_checkpoint(self.job.id, iteration, self.fence, state)
        self._note("checkpoint", str(iteration), "lost", "0")

    def renew(self) -> None:
        """Keep the lease for another 15 s."""
        self._held(self._scripts.run("renew", self.job.id, self.fence, LEASE_S * 1000))

    def succeed(self) -> Status:
        """End the job, its last frame is its result; return how it ended (it may be canceled)."""
        return self._finish(Status.SUCCEEDED, "")

    def fail(self, problem: Problem) -> Status:
        """End the job with a reason; return how it ended (it may be canceled)."""
        return self._finish(Status.FAILED, problem.model_dump_json())

    def give_back(self) -> None:
        """Put the job back in its queue, ahead of later ones; a canceling one ends canceled."""
        status = self._held(self._scripts.run("give_back", self.job.id, self.fence))
        if status == Status.QUEUED:
            self._deliver()
        else:
            self._remember()

    def _finish(self, status: Status, problem: str) -> Status:
        ended = self._scripts.run("finish", self.job.id, self.fence, status, problem)
        status = Status(self._held(ended))
        self._remember()
        return status

    def _note(self, field: str, value: str, *more: str) -> None:
        status = self._scripts.run("note", self.job.id, self.fence, field, field, value, *more)
        self.canceling = self._held(status) == Status.CANCELING

    def _held(self, answer: str | None) -> str:
        if not answer:
            raise FenceLost(self.job.id, self.fence)
        return answer
