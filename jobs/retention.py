"""Retention: finished dreams that were kept long enough go, and files that belong to nobody.

It runs where the reaper runs, a little at each of its sweeps, and needs no leader: what two of them
remove at once is removed once.
"""

import logging
import time
from collections.abc import Callable, Iterator

from jobs.errors import StoreFault, UnknownDream, UnknownVersion
from jobs.ledger import Ledger
from jobs.refill import take_in
from jobs.scripts import Scripts
from jobs.store import LEFT_AFTER_S, Store

log = logging.getLogger(__name__)

AT_MOST_S = 0.2  # of each sweep of the reaper: a dream that lost its worker waits so much longer
OUTLIVED_AT_ONCE = 100  # ids that are asked for; far more than can be removed in that time
ALL_LOOKED_AT_EVERY_S = 3600.0


class Retention:
    """Removes what nobody needs any more."""

    def __init__(
        self,
        scripts: Scripts,
        ledger: Ledger,
        store: Store,
        keep_s: float | None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Keep a finished dream for `keep_s` after its end, by Redis' clock; None: for good."""
        self._scripts = scripts
        self._ledger = ledger
        self._store = store
        self._keep_s = keep_s
        self._clock = clock
        self._round = self._look_at_all()
        self._due_at = clock() + ALL_LOOKED_AT_EVERY_S
        self._tidied: dict[str, float] = {}  # dreams, and when their folders had last changed

    def sweep(self) -> None:
        """Do a part of what there is to do, in bounded time.

        Raises:
            LedgerAway: Redis doesn't answer.
            StoreFault: the disk refuses; what could be removed is.
        """
        until = self._clock() + AT_MOST_S
        self._remove_outlived(until)
        for _ in self._round:
            if self._clock() > until:
                return
        if self._clock() > self._due_at:
            self._due_at = self._clock() + ALL_LOOKED_AT_EVERY_S
            self._round = self._look_at_all()

    def _remove_outlived(self, until: float) -> None:
        """Delete the dreams whose time is over, the oldest first, as DELETE does."""
        if self._keep_s is None:
            return
        refused = None
        age_ms = round(self._keep_s * 1000)
        for job_id in self._scripts.run("outlived", "", age_ms, OUTLIVED_AT_ONCE):
            try:
                self._ledger.delete(job_id)
            except StoreFault as fault:  # one folder that can't be removed keeps no other
                refused = fault
            else:
                log.info("dream %s ended more than %g s ago and is gone", job_id, self._keep_s)
            if self._clock() > until:
                break
        if refused:
            raise refused

    def _look_at_all(self) -> Iterator[str]:
        """Go through what lies on the disk, a folder a step."""
        self._store.clear_leftovers()
        if self._keep_s is not None:
            self._store.clear_set_aside(self._keep_s)
        for job_id in self._store.ids():
            yield job_id
            try:
                self._look_at(job_id)
            except StoreFault as fault:
                log.warning("%s", fault)
            except UnknownVersion:  # the reaper and the refill have said so
                continue

    def _look_at(self, job_id: str) -> None:
        """Tidy up after a finished dream; take in, or set aside, what no ledger knows."""
        changed_at = self._store.changed_at(job_id)
        if changed_at is None or time.time() - changed_at < LEFT_AFTER_S:
            return  # deleted, or somebody is at it
        try:
            job = self._ledger.get(job_id)
        except UnknownDream:
            take_in(job_id, self._ledger, self._store, self._scripts)
            return
        if job.status.terminal and self._tidied.get(job_id) != changed_at:
            self._ledger.tidy(job_id)
            self._tidied[job_id] = changed_at
