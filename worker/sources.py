"""The pictures that dreams begin with: decoded at their start, or while the dream before runs."""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dream_core.catalogue import Catalogue
from dream_core.errors import DreamError
from dream_core.executors.memory import free_bytes
from dream_core.picture.read import read
from dream_core.picture.scale import Planes
from dream_core.picture.source import working_source
from dream_core.spec import DreamSpec
from jobs.store import Store
from worker.frames import step_back

log = logging.getLogger(__name__)

LOOKED_EVERY_S = 1.0
# Beside a dream that has planned with what was free before: its file and itself decoded, a plane as
# floats; and no more of what is free now than this part of it.
BYTES_A_PIXEL, PART_OF_FREE = 12, 0.1


class WorkingSource(NamedTuple):
    """A picture at the size it is dreamed at."""

    rgb: Planes
    alpha: NDArray[np.float32] | None


class Sources:
    """Working sources by job. Those of the next jobs are kept until they start, or come later."""

    def __init__(
        self,
        store: Store,
        following: Callable[[], Sequence[str]] = tuple,
        *,
        free: Callable[[], int | None] = lambda: free_bytes("cpu"),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Read from `store`; `following` tells the ids of the jobs that start next."""
        self._store = store
        self._following = following
        self._free = free
        self._clock = clock
        self._foreseen: dict[str, Future[WorkingSource]] = {}
        self._lock = threading.Lock()
        self._due_at = clock()
        self._wanted = threading.Event()
        # A process that stops doesn't wait for a picture.
        self._thread = threading.Thread(target=self._look_on, daemon=True, name="foresight")

    def take(self, job_id: str, spec: DreamSpec) -> WorkingSource:
        """Return the source of a job that starts.

        Raises:
            NothingToSee, PictureRefused, StoreFault: there is no picture to dream on.
        """
        with self._lock:
            foreseen = self._foreseen.pop(job_id, None)
        # One that fails now fails for everybody: who takes it hears why.
        if foreseen and not foreseen.cancel() and not foreseen.exception():
            return foreseen.result()
        return self._decode(job_id, spec)

    def foresee(self) -> None:
        """Have a look at what comes next, once a second at most; returns at once."""
        if self._clock() < self._due_at:
            return
        self._due_at = self._clock() + LOOKED_EVERY_S
        if self._thread.ident is None:
            self._thread.start()
        self._wanted.set()

    def _look_on(self) -> None:
        step_back()
        while True:
            self._wanted.wait()
            self._wanted.clear()
            try:
                self._look()
            except DreamError as error:  # the dream itself will say it, if it is still so then
                log.debug("nothing is foreseen: %s", error)

    def _look(self) -> None:
        """Decode what comes next and is not here yet; forget what comes next no more."""
        following = self._following()
        with self._lock:
            kept = {job_id: self._foreseen.get(job_id) or Future() for job_id in following}
            new = {id_: future for id_, future in kept.items() if id_ not in self._foreseen}
            self._foreseen = kept
        for job_id, future in new.items():
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(self._decode_ahead(job_id))
                except Exception as error:
                    log.debug("the picture of %s is not foreseen: %s", job_id, error)
                    future.set_exception(error)

    def _decode_ahead(self, job_id: str) -> WorkingSource:
        order = self._store.order(job_id)
        assert order.source is not None  # noqa: S101 - `order` has looked
        needed = order.source.width * order.source.height * BYTES_A_PIXEL
        free = self._free()
        if free is not None and needed > free * PART_OF_FREE:
            raise MemoryError(f"it takes {needed / 1e6:.0f} MB, {free / 1e6:.0f} MB are free")
        return self._decode(job_id, DreamSpec.parse(order.spec, Catalogue.load()))

    def _decode(self, job_id: str, spec: DreamSpec) -> WorkingSource:
        picture = read(self._store.read_source(job_id))
        size = spec.working_size(picture.height, picture.width)
        return WorkingSource(*working_source(picture, size, spec.resampler))
