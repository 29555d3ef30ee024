"""The ledger's Lua scripts: each is one compare-and-set, run by Redis as a whole or not at all."""

import logging
from collections.abc import Callable
from functools import cache
from importlib.resources import files
from threading import Event
from typing import Any, Final

import redis
from redis.commands.core import Script

from jobs.errors import LedgerAway, LedgerFull, UnknownVersion
from jobs.record import MOVES, QUEUES, VERSION

log = logging.getLogger(__name__)

TRIED_AGAIN_AFTER_S = 1.0
PROBE_KEY = "readyz"  # written for a millisecond
EVENTS_KEPT = 10_000  # a job of 10,000 iterations rolls over; an event is about 100 bytes
# Upper bounds of histograms, in seconds. A worker takes a job in 0.3 s when it is free, and a dream
# lasts from seconds (a GPU, 512 pixels) to an hour (a CPU, thousands of iterations).
WAIT_BOUNDS: Final = (0.5, 1, 2, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 14_400)
RUN_BOUNDS: Final = (1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1800, 3600, 14_400)
# Of each queue so many are looked at for the oldest. Only a job that was given back, or that a
# Redis had forgotten, isn't in the order in which it came.
LOOKED_AT: Final = 100
PACES_KEPT: Final = 50  # of each model in each way; the newest

# A full Redis refuses new jobs; those it has go on and end, or it could never empty.
_REFUSED_WHEN_FULL = {"accept"}


@cache
def source(name: str) -> str:
    """Return a whole script: flags, what is told from here, prelude, body.

    A body can have lines that come first of all: those before its line `-- prelude`.
    """
    folder = files("jobs") / "lua"
    first, _, rest = f"\n{(folder / f'{name}.lua').read_text()}".rpartition("\n-- prelude\n")
    moves = ", ".join(
        f"{start} = {{{', '.join(f'{end} = true' for end in sorted(ends))}}}"
        for start, ends in MOVES.items()
    )
    return "\n".join(
        (
            "#!lua" if name in _REFUSED_WHEN_FULL else "#!lua flags=allow-oom",
            first,
            f"local MOVES = {{{moves}}}",
            f"local QUEUES = {{{', '.join(repr(queue) for queue in QUEUES)}}}",
            f"local EVENTS_KEPT, LOOKED_AT = {EVENTS_KEPT}, {LOOKED_AT}",
            f"local PACES_KEPT = {PACES_KEPT}",
            f"local WAIT_BOUNDS = {{{', '.join(map(str, WAIT_BOUNDS))}}}",
            f"local RUN_BOUNDS = {{{', '.join(map(str, RUN_BOUNDS))}}}",
            f"local VERSION = '{VERSION}'",
            (folder / "prelude.lua").read_text(),
            rest,
        )
    )


class Scripts:
    """Runs scripts by name; Redis' errors come out as ours."""

    def __init__(self, client: redis.Redis) -> None:
        """Run them on `client`, which answers in str."""
        self._client = client
        self._scripts: dict[str, Script] = {}

    def run(self, name: str, *args: str | int) -> Any:
        """Run a script; False where it returned false.

        Raises:
            LedgerAway, LedgerFull: it has not run, or nobody knows.
            UnknownVersion: the record is of another release, and it has not run.
        """
        if name not in self._scripts:
            self._scripts[name] = self._client.register_script(source(name))
        return translated(lambda: self._scripts[name](args=list(args)))


class PatientScripts(Scripts):
    """Scripts of a worker in the middle of a dream: a Redis that is away is waited for."""

    def __init__(self, client: redis.Redis, stopping: Event) -> None:
        """Wait as long as it takes, or until `stopping` is set."""
        super().__init__(client)
        self._stopping = stopping

    def run(self, name: str, *args: str | int) -> Any:
        """Run a script when Redis is there.

        Raises:
            LedgerAway: it is not, and the worker stops.
        """
        warned = False
        while True:
            try:
                return super().run(name, *args)
            except LedgerAway as away:
                if not warned:
                    log.warning("%s", away)
                warned = True
                if self._stopping.wait(TRIED_AGAIN_AFTER_S):
                    raise


def check_takes_writes(client: redis.Redis) -> None:
    """Check that Redis takes a write, as an accept is one: not when it is full or a copy.

    Raises:
        LedgerAway, LedgerFull: it doesn't.
    """
    translated(lambda: client.set(PROBE_KEY, "", px=1))


def translated(call: Callable[[], Any]) -> Any:
    """Return what `call` returns; errors of Redis become ours.

    Raises:
        LedgerAway: no connection, or Redis is loading, a replica, or unable to write its disk.
        LedgerFull: Redis is at its maxmemory.
        UnknownVersion: a script met a record of another release.
    """
    try:
        return call()
    except redis.exceptions.OutOfMemoryError as error:
        raise LedgerFull from error
    except (redis.ConnectionError, redis.TimeoutError, redis.exceptions.ReadOnlyError) as error:
        raise LedgerAway(error) from error
    except redis.ResponseError as error:
        if str(error).startswith("UNKNOWNVERSION"):
            _, job_id, found = str(error).split(" ", 2)
            raise UnknownVersion(f"the record of dream {job_id}", found, VERSION) from None
        # MISCONF: the append-only file can't be written; TRYAGAIN, MASTERDOWN: a failover.
        if str(error).split(" ", 1)[0] in ("MISCONF", "TRYAGAIN", "MASTERDOWN", "NOREPLICAS"):
            raise LedgerAway(error) from error
        raise
