"""Estimate: what a dream would cost, told before anything is paid."""

from collections.abc import Sequence
from dataclasses import dataclass
from heapq import heapify, heapreplace
from statistics import median
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field

from dream_core.costs import Costs
from dream_core.forms.choice import fitting_form
from dream_core.forms.form import WHOLE
from dream_core.forms.memory import predicted_bytes
from dream_core.model import Model
from dream_core.spec import DreamSpec
from jobs.disk import Footprint, largest_png
from jobs.pace import Pace, Sample
from jobs.presence import Presence, memory_of, rates_of, storage_of
from jobs.record import Progress, QueueName


@dataclass(frozen=True)
class Known:
    """What the ledger tells for an estimate: the queue as it is, and how fast dreams went."""

    paused: bool
    queued: dict[str, int]
    running: tuple[float | None, ...]  # seconds to the end of each that runs; None: not told yet
    samples: tuple[Sample, ...]

    @classmethod
    def of(cls, told: Any) -> Self:
        """Return what the `estimate` script tells."""
        paused, queues, progress, samples = told
        return cls(
            bool(paused),
            dict(queues),
            tuple(Progress.model_validate_json(each).eta_s if each else None for each in progress),
            tuple(map(Sample.model_validate_json, samples)),
        )

    def wait_s(self, queue: QueueName, workers: Sequence[Presence]) -> float | None:
        """Return how long a new dream would wait; None where nobody can tell.

        What runs ends when it says so; what waits takes as long as the median of earlier dreams.
        """
        ready = [worker for worker in workers if worker.state in ("idle", "dreaming")]
        if self.paused or not ready:
            return None
        own = self.queued[queue]
        # The queues take turns: of the other one, no more come first than there are turns.
        ahead = own + min(sum(self.queued.values()) - own, own + 1)
        typical = median(each.took_s for each in self.samples) if self.samples else None
        ends = [typical if eta_s is None else eta_s for eta_s in self.running]
        known = [0.0] * (len(ready) - len(ends)) + [end for end in ends if end is not None]
        if not ahead and 0.0 in known:
            return 0.0
        if len(known) < len(ends) or (ahead and typical is None):
            return None
        heapify(known)
        for _ in range(ahead):
            heapreplace(known, known[0] + (typical or 0.0))
        return known[0]


class Estimate(BaseModel):
    """What a dream would cost."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    width: int = Field(description="of the frames")
    height: int
    iterations: int
    frames: int = Field(description="how many it would keep")
    precision: str | None = Field(
        description="that it would be computed in: fewer bits than `exact` only where they pay "
        "on that machine; null where no worker has told"
    )
    seconds: float | None = Field(description="once it runs; null where nothing is known yet")
    median_error: float | None = Field(
        description="of such estimates, a fraction: each earlier dream foretold as if it were new; "
        "null where there are too few"
    )
    basis: str = Field(description="what the seconds rest on, or why there are none")
    measured_while_busy: bool = Field(
        description="they rest on a measurement alone, during which other programs had the cores: "
        "it may take a part of that time; the first dream will tell"
    )
    wait_s: float | None = Field(
        description="until a worker takes it; null where nobody can tell: none is up, or the "
        "queue is paused"
    )
    memory_bytes: int = Field(description="predicted peak, beside the process and its network")
    disk_bytes: int = Field(description="at most: source, frames and checkpoints")

    @classmethod
    def of(
        cls,
        spec: DreamSpec,
        model: Model,
        picture: tuple[int, int],
        *,
        queue: QueueName,
        known: Known,
        workers: Sequence[Presence],
    ) -> Self:
        """Return the estimate of a dream on a picture of (height, width).

        Raises:
            MemoryExceeded: it fits into no worker that is up.
        """
        size, free, form = spec.working_size(*picture), memory_of(workers), WHOLE
        devices = {worker.device for worker in workers if worker.device}
        rates = rates_of(workers, spec.precision)
        storage = storage_of(workers, spec.precision)
        if free is not None:
            on_cpu = devices == {"cpu"}
            form = fitting_form(
                model, spec, picture, free, "this server", storage=storage, thrifty=on_cpu
            )
        source_bytes = largest_png(*picture, 4)
        takes = Footprint.of(spec.model_dump(mode="json"), *picture, source_bytes=source_bytes)
        costs = Costs.of(model, spec, size, form, frames=takes.frames, storage=storage)
        pace = Pace.of(known.samples, spec, costs, devices, rates)
        return cls(
            width=size[1],
            height=size[0],
            iterations=spec.iterations,
            frames=takes.frames,
            precision=rates.precision if rates else None,
            seconds=pace.seconds,
            median_error=pace.median_error,
            basis=pace.basis,
            measured_while_busy=pace.measured_while_busy,
            wait_s=known.wait_s(queue, workers),
            memory_bytes=predicted_bytes(model, spec, size, form, storage),
            disk_bytes=takes.bytes,
        )
