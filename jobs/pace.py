"""Pace: how long a dream takes, reckoned from what was measured and how long earlier ones took."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Self

from pydantic import BaseModel, ConfigDict

from dream_core.costs import TYPICAL, Costs, fit
from dream_core.spec import DreamSpec
from jobs.presence import Rates

LAST = 30  # dreams are asked: a machine may become a busier one
# What was measured counts as so many dreams do, or one on a busy machine would spoil the next.
VOICES = 2
DOUBTED = (
    2.0  # no longer where it is off by such a factor: another program ran while it was measured
)
TRUST = 0.6  # in how kinds of work compare, by what was measured
# Beside its iterations: the first one also lays out what the others find; picture, state and record
# are read and written.
EXTRA_ITERATIONS = 0.3
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
    measured_while_busy: bool = False

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
        measured = rates if rates and spec.optimizer == "adam" else None
        own = [sample for sample in alike if sample.model == spec.model]
        told, foretell = (own or alike)[:LAST], _Foretelling(measured)
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
        busy = measured is not None and measured.busy and not told
        return cls(seconds, error, _basis(told, where, bool(own), measured, error), busy)


class _Foretelling:
    """How long a dream takes: by what was measured, put right by what earlier dreams took."""

    def __init__(self, measured: Rates | None) -> None:
        self._measured = measured.costs if measured else None
        # Of a busy machine any dream knows more.
        self._voices = 0 if measured and measured.busy else VOICES

    def __call__(self, samples: Sequence[Sample], costs: Costs, iterations: int) -> float:
        """Return the seconds of a dream; without samples, by what was measured alone."""
        known = self._measured or TYPICAL
        looks = [(each.costs, each.seconds_per_iteration) for each in samples if each.costs]
        if self._measured and _believed(self._measured, looks):
            looks += [(costs, costs.seconds(known))] * (self._voices if looks else VOICES)
        pace = costs.seconds(fit(looks, known, TRUST))
        starts = [each.start_s for each in samples if each.start_s is not None]
        start = median(starts) if starts else START_S
        return max(whole(pace, iterations, start), pace * iterations)


def _believed(measured: Costs, looks: Sequence[tuple[Costs, float]]) -> bool:
    """Whether dreams agree with what was measured, where there are two or more."""
    if len(looks) < 2:
        return True
    off = median(took / costs.seconds(measured) for costs, took in looks)
    return 1 / DOUBTED < off < DOUBTED


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
    told: Sequence[Sample], where: str, own: bool, measured: Rates | None, error: float | None
) -> str:
    known = "error not known yet" if error is None else f"median error {error * 100:.0f} %"
    if not told:
        busy = " while other programs were busy there" if measured and measured.busy else ""
        return f"from what was measured on {where}{busy}, {known}"
    dreams = f"{len(told)} earlier {'dreams' if len(told) > 1 else 'dream'}"
    of = "" if own else " of other models"
    first = "what was measured and " if measured and not measured.busy else ""
    return f"from {first}{dreams}{of} on {told[0].kind}, {known}"
