"""The probe: which way of running a network pays here is measured, once, and remembered."""

import fcntl
import json
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import asdict, astuple
from pathlib import Path
from typing import Any, Literal, NamedTuple, Self, get_args

import torch
from torch import Tensor

from dream_core.architectures.vgg import vgg
from dream_core.costs import Costs
from dream_core.executors.building import build, ways_here
from dream_core.executors.cpu import cpu_name, sixteen_bit_instructions
from dream_core.executors.cuda import CudaStream, multiplying_in_full
from dream_core.executors.rooms import Rooms, lent
from dream_core.executors.way import REFERENCE, Paces, Way
from dream_core.model import Layer
from dream_core.picture.write import write_bytes
from dream_core.spec import Precision
from dream_core.version import version

log = logging.getLogger(__name__)

FILE_VERSION = 1
PRECISIONS: tuple[Precision, ...] = get_args(Precision)
LONGEST_S = 0.4  # for the turns that count; with all else that is measured it stays below 3 s
TURNS = 7
# VGG's own widths and depth, on a picture small enough: on a smaller one filters weigh more than
# they do in a dream, and a GPU is not busy.
BLOCKS, WIDTHS = (2, 1, 2, 2), (64, 128, 256, 512)
SIDE_ON_CPU, SIDE_ON_GPU = 160, 512

Measure = Callable[[torch.device, Sequence[Way]], Paces]
MeasureRates = Callable[[torch.device, Sequence[Way]], Mapping[Way, Costs]]
Machines = dict[str, dict[str, Any]]


def measure(device: torch.device, ways: Sequence[Way]) -> Paces:
    """Time one look forth and back in each way, turn about; the fastest turn of each counts.

    What else the machine does meets all ways alike.
    """
    with multiplying_in_full() if device.type == "cuda" else nullcontext():
        seen = _Seen.on(device)
        return _measured({way: _look(way, seen) for way in ways})


def _measured(looks: Mapping[Way, Callable[[], float]]) -> Paces:
    taken: dict[Way, list[float]] = {way: [] for way in looks}
    for look in looks.values():
        look()  # warms up
    began = time.perf_counter()
    for _ in range(TURNS):
        for way, look in looks.items():
            start = time.perf_counter()
            look()
            taken[way].append(time.perf_counter() - start)
        if time.perf_counter() - began > LONGEST_S:
            break
    return Paces({way: min(seconds) for way, seconds in taken.items()})


class _Seen(NamedTuple):
    """What every way looks at: a random picture, through a small VGG of random weights."""

    layers: Sequence[Layer]
    weights: Mapping[str, Tensor]
    picture: Tensor

    @classmethod
    def on(cls, device: torch.device) -> Self:
        *layers, _last_pool = vgg(BLOCKS, pools_round_up=True, widths=WIDTHS)
        generator = torch.Generator().manual_seed(0)
        weights, inputs = {}, 3
        for layer in layers:
            if layer.kind == "convolution":
                drawn = torch.randn((layer.channels, inputs, *layer.kernel), generator=generator)
                weights[f"{layer.name}.weight"] = (drawn * (2 / (9 * inputs)) ** 0.5).to(device)
                weights[f"{layer.name}.bias"] = torch.zeros(layer.channels, device=device)
                inputs = layer.channels
        side = SIDE_ON_CPU if device.type == "cpu" else SIDE_ON_GPU
        picture = torch.rand((1, 3, side, side), generator=generator).to(device)
        return cls(layers, weights, picture)


def _look(way: Way, seen: _Seen) -> Callable[[], float]:
    """Return what looks in a way, and back."""
    layers, weights, picture = seen
    device, executor = picture.device, build(way, weights, torch.float32)
    found, rooms = torch.zeros((), device=device), Rooms()

    def look() -> None:
        with lent(rooms):
            features, tape = executor.forward(picture, layers, {layers[-1].name})
            found.copy_(tape.backward(features).sum())

    # As a dream runs it: in rooms that are there already, and a GPU that is told each operation by
    # itself is idle in between.
    run = CudaStream(device).capture(look) if device.type == "cuda" else look

    def timed() -> float:
        run()
        return float(found)  # here a GPU is waited for

    return timed


def by_dreams(device: torch.device, ways: Sequence[Way]) -> Mapping[Way, Costs]:
    """Time small dreams in each way."""
    from dream_core.rates import measure_rates  # it dreams, and a dream imports the probe

    return measure_rates(device, ways)


class Probe:
    """Which way a dream takes on a device of this machine, by what was measured on it.

    The figures lie in a file for all processes of a user: by CPU or GPU, threads, torch and our
    own version. Where there is no file, or none that can be written, each process measures.
    """

    def __init__(
        self,
        file: Path | None = None,
        *,
        executor: Literal["auto", "autograd", "direct", "winograd"] = "auto",
        precision: Precision = "auto",
        measure: Measure = measure,
        measure_rates: MeasureRates = by_dreams,
    ) -> None:
        """Remember in `file`.

        Args:
            file: where figures are kept; its folder is made.
            executor: take only ways of this one; auto: whichever is fastest.
            precision: what `auto` stands for, whatever pays.
            measure: what looks at the clock for `way`.
            measure_rates: what does for `rates`.
        """
        self._file = file
        self._executor = executor
        self._auto = precision
        self._measure = measure
        self._measure_rates = measure_rates
        self._known: dict[str, Paces] = {}
        self._rates: dict[str, dict[Way, Costs]] = {}

    def way(self, device: torch.device, asked: Precision = "auto") -> Way:
        """Return the way of a dream that asks for that precision; measures where it must."""
        if self._executor == REFERENCE.executor:
            return REFERENCE
        return self.paces(device).way(self._auto if asked == "auto" else asked)

    def paces(self, device: torch.device) -> Paces:
        """Return what was measured on a device with as many threads as torch has now."""
        key = machine(device)
        if key not in self._known:
            with self._locked():
                ways = self._ways(device)
                found = self._read(key, ways)
                if found is None:
                    found = self._measure(device, ways)
                    log.info("measured on %s: %s", key, found)
                    told = {str(way): round(took, 6) for way, took in found.seconds.items()}
                    self._keep("machines", key, told)
            self._known[key] = found
        return self._known[key]

    def rates(self, device: torch.device) -> dict[Precision, tuple[Way, Costs]]:
        """Return the way of each precision, and how long it takes for each kind of work.

        None of a reference that was asked for by name: nothing is measured for it.
        """
        if self._executor == REFERENCE.executor:
            return {}
        ways = {word: self.way(device, word) for word in PRECISIONS}
        key, needed = machine(device), list(dict.fromkeys(ways.values()))
        if not self._rates.get(key, {}).keys() >= set(needed):
            with self._locked():
                found = self._read_rates(key, needed)
                if found is None:
                    found = dict(self._measure_rates(device, needed))
                    told = {str(way): asdict(rates) for way, rates in found.items()}
                    self._keep("rates", key, told)
            self._rates[key] = found
        return {word: (way, self._rates[key][way]) for word, way in ways.items()}

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Let one process measure at a time: two would slow each other, and the next reads."""
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
                fcntl.flock(lock, fcntl.LOCK_EX)
            yield

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
            told = {name: float(took) for name, took in self._all("machines")[key].items()}
            found = Paces({way: told[str(way)] for way in ways})
        except (KeyError, ValueError, TypeError, AttributeError):
            return None
        return found if all(took > 0 for took in found.seconds.values()) else None

    def _read_rates(self, key: str, ways: Sequence[Way]) -> dict[Way, Costs] | None:
        """Return the rates of a machine, if there are some for each of these ways."""
        try:
            told = self._all("rates")[key]
            found = {way: Costs(**told[str(way)]) for way in ways}
            return found if all(_is_pace(rates) for rates in found.values()) else None
        except (KeyError, ValueError, TypeError, AttributeError):
            return None

    def _keep(self, what: str, key: str, told: Mapping[str, Any]) -> None:
        """Write figures of a machine, and leave all others as they are."""
        if self._file is None:
            return
        kept: dict[str, Machines] = {each: self._all(each) for each in ("machines", "rates")}
        kept[what][key] = {**_mapping(kept[what].get(key)), **told}
        content = json.dumps({"version": FILE_VERSION, **kept}, indent=1)
        try:
            write_bytes(self._file, content.encode())
        except OSError as error:
            log.info("%s can't be written, so the next process measures too: %s", self._file, error)


HERE = Probe(precision="exact")
"""Of this process alone: what a dream asks that was given neither a plan nor a probe.

Who steps a `Dream` in Python looks at its numbers: fewer bits are for who asks for them by name.
"""


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
