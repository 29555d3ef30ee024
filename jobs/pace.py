"""Pace: how long a dream takes, reckoned from what was measured and how long earlier ones took."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from math import log
from statistics import median
from typing import Self

import numpy as np
from pydantic import BaseModel, ConfigDict

from dream_core.costs import TYPICAL, Costs
from dream_core.spec import DreamSpec
from jobs.presence import Rates

# Only dreams that did about the same are asked, and several, as a busy machine spoils some.
NEAREST = 5
VOICES = 2  # of what was measured, beside one for each of those dreams
SIZE_COUNTS = 0.25  # four times the work is as far as a third of the work being of another kind
# Beside its iterations: it looks at the source once, not back; the first one also lays out what
# the others find; picture, state and record are read and written.
EXTRA_ITERATIONS = 0.7
START_S = 0.1


class Sample(BaseModel):
    """How fast one dream went, as the ledger's scripts keep it when it ends."""

    model_config = ConfigDict(frozen=True)

    at: int  # milliseconds: when it ended
    model: str
    asked: str  # the precision of its spec
    precision: str  # in which it was run
    executor: str
    device: str
    threads: int
    optimizer: str
    costs: Costs | None = None  # of an iteration; None where an older release kept it
    seconds_per_iteration: float
    iterations: int
    seconds: float | None = None  # of all of it; None where it was taken up again

    @property
    def kind(self) -> str:
        """The kind of device: cpu, cuda, mps."""
        return self.device.partition(":")[0]

    @property
    def way(self) -> tuple[str | int, ...]:
        """What makes two dreams alike, whatever their models and sizes."""
        return self.kind, self.executor, self.precision, self.threads, self.optimizer

    @property
    def took_s(self) -> float:
        """How long the whole dream took; reckoned where nobody saw it whole."""
        return self.seconds or whole(self.seconds_per_iteration, self.iterations)

    @property
    def start_s(self) -> float | None:
        """How long it took beside its iterations; None where nobody knows."""
        if self.seconds is None:
            return None
        return self.seconds - (self.iterations + EXTRA_ITERATIONS) * self.seconds_per_iteration


def whole(pace: float, iterations: int, start_s: float = START_S) -> float:
    """Return the seconds of a dream, from those of an iteration."""
    return pace * (iterations + EXTRA_ITERATIONS) + start_s


@dataclass(frozen=True)
class Pace:
    """What the machine and earlier dreams say of a new one."""

    seconds: float | None
    median_error: float | None  # a fraction: of each sample, foretold as if it were new
    basis: str

    @classmethod
    def of(
        cls,
        samples: Iterable[Sample],
        spec: DreamSpec,
        costs: Costs,
        devices: Collection[str] = (),
        rates: Rates | None = None,
    ) -> Self:
        """Return the pace of a dream.

        Args:
            samples: of earlier dreams, in any order.
            spec: what is dreamed.
            costs: of one of its iterations.
            devices: where it can run; none where no worker is up.
            rates: that were measured where it would run.
        """
        kinds = {device.partition(":")[0] for device in devices}
        alike = _alike(samples, spec, kinds, rates)
        where = " or ".join(sorted(kinds)) or "any device"
        measured = rates.costs if rates and spec.optimizer == "adam" else None
        own = [sample for sample in alike if sample.model == spec.model]
        told, foretell = own or alike, _Foretelling(measured)
        if not told and not measured:
            what = f"by {spec.optimizer} in precision {spec.precision}"
            return cls(None, None, f"no dream {what} has ended on {where} yet; the first will tell")
        errors = []
        for sample in told:
            others = [each for each in told if _apart(each, sample, same_model=bool(own))]
            if sample.costs and (others or measured):
                foretold = foretell(others, sample.costs, sample.iterations)
                errors.append(abs(foretold / sample.took_s - 1))
        error = median(errors) if errors else None
        seconds = foretell(told, costs, spec.iterations)
        return cls(seconds, error, _basis(told, where, bool(own), measured is not None, error))


class _Foretelling:
    """How long a dream takes: by what was measured, and by how far dreams like it were off that."""

    def __init__(self, measured: Costs | None) -> None:
        self._measured = measured is not None
        self._rates = measured or TYPICAL

    def __call__(self, samples: Sequence[Sample], costs: Costs, iterations: int) -> float:
        """Return the seconds of a dream; without samples, by what was measured alone."""
        nearest = sorted(samples, key=lambda sample: self._distance(sample, costs))[:NEAREST]
        ratios = [self._ratio(sample) for sample in nearest]
        if self._measured:
            ratios += [1.0] * VOICES
        each = median(ratios) * costs.seconds(self._rates)
        starts = [sample.start_s for sample in samples if sample.start_s is not None]
        start = median(starts) if starts else START_S
        return max(whole(each, iterations, start), each * iterations)

    def _ratio(self, sample: Sample) -> float:
        return sample.seconds_per_iteration / (sample.costs or TYPICAL).seconds(self._rates)

    def _distance(self, sample: Sample, costs: Costs) -> float:
        """Return how unlike two dreams are, in what they do and in how much."""
        did = sample.costs or TYPICAL
        unlike = float(np.abs(did.parts(self._rates) - costs.parts(self._rates)).sum())
        larger = abs(log(did.seconds(self._rates) / costs.seconds(self._rates)))
        return unlike + SIZE_COUNTS * larger


def _alike(
    samples: Iterable[Sample], spec: DreamSpec, kinds: Collection[str], rates: Rates | None
) -> list[Sample]:
    """Return the samples that were run as this dream would be; if unknown, as the newest was."""
    fit = [
        sample
        for sample in sorted(samples, key=lambda sample: -sample.at)
        if sample.costs
        and sample.optimizer == spec.optimizer
        and spec.precision in (sample.asked, sample.precision)
        and (not kinds or sample.kind in kinds)
        and (rates is None or _run_at(sample, rates))
    ]
    return [sample for sample in fit if sample.way == fit[0].way]


def _run_at(sample: Sample, rates: Rates) -> bool:
    """Whether a dream was run in the way that rates are of."""
    way = sample.executor, sample.precision, sample.threads
    return way == (rates.executor, rates.precision, rates.threads)


def _apart(other: Sample, sample: Sample, *, same_model: bool) -> bool:
    """Whether one may foretell the other as if that were new: of the same model, or of others."""
    return other is not sample if same_model else other.model != sample.model


def _basis(
    told: Sequence[Sample], where: str, own: bool, measured: bool, error: float | None
) -> str:
    known = "error not known yet" if error is None else f"median error {error * 100:.0f} %"
    if not told:
        return f"from what was measured on {where}, {known}"
    dreams = f"{len(told)} earlier {'dreams' if len(told) > 1 else 'dream'}"
    of = "" if own else " of other models"
    first = "what was measured and " if measured else ""
    return f"from {first}{dreams}{of} on {told[0].kind}, {known}"
