"""The probe: which way of running a network pays here is measured, once, and remembered."""

import fcntl
import json
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, astuple
from math import inf
from pathlib import Path
from typing import IO, Any, Literal, NamedTuple, TypeVar, get_args

import torch

from dream_core.costs import Costs
from dream_core.executors.building import ways_here
from dream_core.executors.contest import measure
from dream_core.executors.cpu import cpu_name, sixteen_bit_instructions
from dream_core.executors.way import REFERENCE, Paces, Rated, Way
from dream_core.picture.write import write_bytes
from dream_core.spec import Precision
from dream_core.version import version

log = logging.getLogger(__name__)

FILE_VERSION = 1
PRECISIONS: tuple[Precision, ...] = get_args(Precision)
# What was measured on a busy machine counts for so long: the workers of a host start at once.
BUSY_COUNTS_S = 600.0
_BUSY_AT = "busy_at"  # in the file, beside the ways
# For so long one process waits for another that measures. Each takes 3 s at most: who is not done
# after that is stopped.
PATIENCE_S = 20.0
_ASKS_AGAIN_S = 0.05

Measure = Callable[[torch.device, Sequence[Way]], Paces]
MeasureRates = Callable[[torch.device, Sequence[Way]], Rated]
Machines = dict[str, dict[str, Any]]
Found = TypeVar("Found", Paces, Rated)


class Rate(NamedTuple):
    """The way that a precision is run in here, and the seconds of each kind of its work."""

    way: Way
    costs: Costs
    busy: bool  # other programs had the cores while it was measured


def by_dreams(device: torch.device, ways: Sequence[Way]) -> Rated:
    """Time small dreams in each way."""
    from dream_core.rates import measure_rates  # it dreams, and a dream imports the probe

    return measure_rates(device, ways)


class Probe:
    """Which way a dream takes on a device of this machine, by what was measured on it.

    The figures lie in a file for all processes of a user: by CPU or GPU, threads, torch and our
    own version. Where there is no file, or none that can be written, each process measures. What
    was measured while other programs had the cores counts for ten minutes only.
    """

    def __init__(
        self,
        file: Path | None = None,
        *,
        executor: Literal["auto", "autograd", "direct", "winograd"] = "auto",
        precision: Precision = "auto",
        measure: Measure = measure,
        measure_rates: MeasureRates = by_dreams,
        now: Callable[[], float] = time.time,
    ) -> None:
        """Remember in `file`.

        Args:
            file: where figures are kept; its folder is made.
            executor: take only ways of this one; auto: whichever is fastest.
            precision: what `auto` stands for, whatever pays.
            measure: what looks at the clock for `way`.
            measure_rates: what does for `rates`.
            now: seconds since 1970, by which figures age.
        """
        self._file = file
        self._executor = executor
        self._auto = precision
        self._measure = measure
        self._measure_rates = measure_rates
        self._now = now
        self._known: dict[str, tuple[Paces, float]] = {}  # and until when they count
        self._rates: dict[str, tuple[Rated, float]] = {}

    def way(self, device: torch.device, asked: Precision = "auto") -> Way:
        """Return the way of a dream that asks for that precision; measures where it must."""
        if self._executor == REFERENCE.executor:
            return REFERENCE
        word = self._auto if asked == "auto" else asked
        return self.paces(device).way(word, thrifty=device.type == "cpu")

    def paces(self, device: torch.device) -> Paces:
        """Return what was measured on a device with as many threads as torch has now."""
        key, ways = machine(device), self._ways(device)
        known, until = self._known.get(key, (None, 0.0))
        if known is not None and self._now() < until:
            return known
        found = self._read_or_measure(
            lambda: self._read(key, ways), lambda: self._measure_paces(device, key, ways)
        )
        self._known[key] = found, self._until(found.busy)
        return found

    def rates(self, device: torch.device) -> dict[Precision, Rate]:
        """Return the way of each precision, and how long it takes for each kind of work.

        None of a reference that was asked for by name: nothing is measured for it.
        """
        if self._executor == REFERENCE.executor:
            return {}
        ways = {word: self.way(device, word) for word in PRECISIONS}
        rated = self._rated(device, list(dict.fromkeys(ways.values())))
        return {word: Rate(way, rated.costs[way], rated.busy) for word, way in ways.items()}

    def _rated(self, device: torch.device, ways: Sequence[Way]) -> Rated:
        key = machine(device)
        known, until = self._rates.get(key, (None, 0.0))
        if known is not None and known.costs.keys() >= set(ways) and self._now() < until:
            return known
        found = self._read_or_measure(
            lambda: self._read_rates(key, ways), lambda: self._measure_rated(device, key, ways)
        )
        self._rates[key] = found, self._until(found.busy)
        return found

    def _read_or_measure(
        self, read: Callable[[], Found | None], measure: Callable[[], Found]
    ) -> Found:
        """Return what the file holds, whoever has its lock; else measure, one process at a time."""
        found = read()
        if found is None:
            with self._locked():
                found = read() or measure()
        return found

    def _measure_paces(self, device: torch.device, key: str, ways: Sequence[Way]) -> Paces:
        found = self._measure(device, ways)
        log.info("measured on %s: %s", key, found)
        # Null for those that there was no time for: they aren't tried again.
        told = {str(way): _short(found.seconds.get(way)) for way in ways}
        self._keep("machines", key, told, busy=found.busy)
        return found

    def _measure_rated(self, device: torch.device, key: str, ways: Sequence[Way]) -> Rated:
        found = self._measure_rates(device, ways)
        told = {str(way): asdict(costs) for way, costs in found.costs.items()}
        self._keep("rates", key, told, busy=found.busy)
        return found

    def _until(self, busy: bool) -> float:
        """Return until when this process takes what it has just read or measured for true."""
        return self._now() + BUSY_COUNTS_S if busy else inf

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Let one process measure at a time: two would slow each other, and the next reads.

        Who holds the lock for longer than a measurement takes is not waited for.
        """
        try:
            if self._file is None:
                raise OSError("there is no file")
            self._file.parent.mkdir(parents=True, exist_ok=True)
            lock = self._file.with_suffix(".lock").open("a")
        except OSError:
            yield
            return
        with lock:
            with suppress(OSError):  # a network file system without locks
                self._wait_for(lock)
            yield

    def _wait_for(self, lock: IO[str]) -> None:
        patient_until = time.monotonic() + PATIENCE_S
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > patient_until:
                    log.warning("%s is held by a process that measures no more", lock.name)
                    return
                time.sleep(_ASKS_AGAIN_S)
            else:
                return

    def _all(self, what: str) -> Machines:
        """Return what the file holds of a kind; nothing, where it can't be read."""
        try:
            told = json.loads(self._file.read_bytes()) if self._file else {}
            return dict(told.get(what, {})) if told.get("version") == FILE_VERSION else {}
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            return {}

    def _ways(self, device: torch.device) -> list[Way]:
        """Return those that may be taken: all that are here, where the one by name isn't."""
        ways = ways_here(device)
        return [way for way in ways if self._executor in ("auto", way.executor)] or list(ways)

    def _read(self, key: str, ways: Sequence[Way]) -> Paces | None:
        """Return the figures of a machine, if there is one for every way that may be taken."""
        try:
            told = self._all("machines")[key]
            taken = {way: told[str(way)] for way in ways}
            seconds = {way: float(took) for way, took in taken.items() if took is not None}
            found = Paces(seconds, busy=_BUSY_AT in told)
            well = min(seconds.values()) > 0 and any(way.precision == "exact" for way in seconds)
            return found if well and self._counts(told) else None
        except (KeyError, ValueError, TypeError, AttributeError):
            return None

    def _read_rates(self, key: str, ways: Sequence[Way]) -> Rated | None:
        """Return the rates of a machine, if there are some for each of these ways."""
        try:
            told = self._all("rates")[key]
            found = {way: Costs(**told[str(way)]) for way in ways}
            well = all(_is_pace(costs) for costs in found.values()) and self._counts(told)
            return Rated(found, busy=_BUSY_AT in told) if well else None
        except (KeyError, ValueError, TypeError, AttributeError):
            return None

    def _counts(self, told: Mapping[str, Any]) -> bool:
        """Whether figures count: those of a busy machine do only while they are new."""
        return _BUSY_AT not in told or 0 <= self._now() - float(told[_BUSY_AT]) < BUSY_COUNTS_S

    def _keep(self, what: str, key: str, told: Mapping[str, Any], *, busy: bool) -> None:
        """Write figures of a machine, and leave all others as they are."""
        if self._file is None:
            return
        kept: dict[str, Machines] = {each: self._all(each) for each in ("machines", "rates")}
        before = _mapping(kept[what].get(key))
        # Of one machine all were measured while it was busy, or none.
        mixed = {} if busy or _BUSY_AT in before else before
        marked = {_BUSY_AT: self._now()} if busy else {}
        kept[what][key] = {**mixed, **told, **marked}
        content = json.dumps({"version": FILE_VERSION, **kept}, indent=1)
        try:
            write_bytes(self._file, content.encode())
        except OSError as error:
            log.info("%s can't be written, so the next process measures too: %s", self._file, error)


HERE = Probe(precision="exact")
"""Of this process alone: what a dream asks that was given neither a plan nor a probe.

Who steps a `Dream` in Python looks at its numbers: fewer bits are for who asks for them by name.
"""


def _short(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 6)


def _mapping(told: object) -> dict[str, Any]:
    return dict(told) if isinstance(told, dict) else {}


def _is_pace(rates: Costs) -> bool:
    """Whether nothing takes less than no time, and something takes some."""
    seconds: tuple[float, ...] = astuple(rates)
    return min(seconds) >= 0 < max(seconds)


def machine(device: torch.device) -> str:
    """Return all that figures depend on: the device, the threads and the programs' versions."""
    if device.type == "cuda":
        where = torch.cuda.get_device_name(device)
    elif device.type == "cpu":
        capability = torch.backends.cpu.get_cpu_capability()
        where = f"{cpu_name()} {capability} {sixteen_bit_instructions()}".strip()
    else:
        where = f"{device.type} {cpu_name()}"
    threads = torch.get_num_threads()
    return f"{where}, {threads} threads, torch {torch.__version__}, torch-inception {version()}"
