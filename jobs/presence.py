"""What each worker says about itself: a key of its own that expires when the worker is gone."""

import json
import logging
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Literal, cast

import redis
from pydantic import BaseModel, ConfigDict

from dream_core.costs import Costs
from dream_core.forms.storage import REFERENCE, Storage
from jobs.errors import UnknownVersion
from jobs.record import VERSION
from jobs.scripts import Scripts, translated

log = logging.getLogger(__name__)

EXPIRES_S = 15
RENEWED_EVERY_S = 5
_NAMES = "workers"  # a set, as asking for keys by pattern walks through all of Redis

State = Literal["starting", "pulling", "idle", "dreaming", "disk-full", "stopping"]


class Memory(BaseModel):
    """What a worker's process takes, and what its host and its GPU have; null where unknown."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    process_bytes: int | None = None
    host_free_bytes: int | None = None
    host_total_bytes: int | None = None
    gpu_free_bytes: int | None = None
    gpu_total_bytes: int | None = None


class Rates(BaseModel):
    """How a dream of some precision would be run, and the seconds of each kind of its work."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    executor: str
    precision: str
    threads: int
    storage: Storage  # what it keeps in memory
    costs: Costs
    busy: bool = False  # other programs had the cores while that was measured


class Presence(BaseModel):
    """One worker as it is now."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[1] = 1
    host: str
    slot: int
    pid: int
    state: State = "starting"
    device: str | None = None
    memory_bytes: int | None = None  # free on its device when last it had no dream
    model: str | None = None  # being pulled, or dreaming
    bytes_done: int | None = None
    bytes_total: int | None = None
    job: str | None = None
    problem: str | None = None  # why the weights could not be had
    versions: dict[str, str] = {}
    memory: Memory = Memory()
    rates: dict[str, Rates] = {}  # by the precision asked; none where nothing was measured

    @property
    def name(self) -> str:
        """HOST:SLOT, as the worker is called everywhere."""
        return f"{self.host}:{self.slot}"


def memory_of(workers: Sequence[Presence]) -> int | None:
    """Return the most memory that a worker has for a dream; None while any has yet to tell."""
    told = [worker.memory_bytes for worker in workers]
    return max((room for room in told if room), default=None) if all(told) else None


def rates_of(workers: Sequence[Presence], precision: str) -> Rates | None:
    """Return how fast a worker is in a precision; None where none has told."""
    return next((each.rates[precision] for each in workers if precision in each.rates), None)


def storage_of(workers: Sequence[Presence], precision: str) -> Storage:
    """Return what a dream keeps in memory here; untold, the reference's, which is most."""
    rates = rates_of(workers, precision)
    return rates.storage if rates else REFERENCE


def announce(scripts: Scripts, presence: Presence) -> None:
    """Say what a worker is doing; forgotten after 15 s."""
    scripts.run("announce", presence.name, presence.model_dump_json(), EXPIRES_S)


def withdraw(client: redis.Redis, name: str) -> None:
    """Say that a worker is gone."""
    translated(lambda: client.delete(f"worker:{name}"))


def workers(client: redis.Redis) -> list[Presence]:
    """Return all workers that are up, by name.

    Raises:
        LedgerAway: Redis doesn't answer.
    """
    names = list(cast("set[str]", translated(lambda: client.smembers(_NAMES))))
    if not names:
        return []
    keys = [f"worker:{name}" for name in names]
    found = dict(zip(names, translated(lambda: client.mget(keys)), strict=True))
    gone = [name for name, told in found.items() if told is None]
    if gone:
        translated(lambda: client.srem(_NAMES, *gone))
    return read({name: said for name, said in found.items() if said is not None})


def read(cards: Mapping[str, str]) -> list[Presence]:
    """Return workers, by name, from what each says; who is of another release is left out."""
    told = {name: json.loads(said) for name, said in sorted(cards.items())}
    return [Presence(**said) for name, said in told.items() if _known(name, said.get("version"))]


@cache
def _known(name: str, version: object) -> bool:
    """Whether we know what a worker says; where not it is said, once."""
    if version != VERSION:
        log.error("%s", UnknownVersion(f"the word of worker {name}", version, VERSION))
    return version == VERSION
