"""Pace: how long an iteration takes, reckoned from how long earlier ones took."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from math import log
from statistics import median
from typing import Self

from pydantic import BaseModel, ConfigDict

from dream_core.spec import DreamSpec

# Time isn't quite proportional to work: small pictures cost more for each multiply-add. So only
# samples of about the same work are asked, and several, as a busy machine spoils some.
NEAREST = 5


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
    multiply_adds: float  # of an iteration
    seconds_per_iteration: float
    iterations: int

    @property
    def kind(self) -> str:
        """The kind of device: cpu, cuda, mps."""
        return self.device.partition(":")[0]

    @property
    def way(self) -> tuple[str | int, ...]:
        """What makes two dreams alike, whatever their models and sizes."""
        return self.kind, self.executor, self.precision, self.threads, self.optimizer

    @property
    def seconds(self) -> float:
        """How long the whole dream took."""
        return self.iterations * self.seconds_per_iteration


@dataclass(frozen=True)
class Pace:
    """What earlier dreams say of a new one."""

    seconds_per_iteration: float | None
    median_error: float | None  # a fraction: of each sample, foretold by the others
    basis: str

    @classmethod
    def of(
        cls,
        samples: Iterable[Sample],
        spec: DreamSpec,
        multiply_adds: float,
        devices: Collection[str] = (),
    ) -> Self:
        """Return the pace of a dream.

        Args:
            samples: of earlier dreams, in any order.
            spec: what is dreamed.
            multiply_adds: of one of its iterations.
            devices: where it can run; none where no worker is up.
        """
        kinds = {device.partition(":")[0] for device in devices}
        alike = _alike(samples, spec, kinds)
        where = " or ".join(sorted(kinds)) or "any device"
        if not alike:
            what = f"by {spec.optimizer} in precision {spec.precision}"
            return cls(None, None, f"no dream {what} has ended on {where} yet; the first will tell")
        own = [sample for sample in alike if sample.model == spec.model]
        told = own or alike
        errors = [
            abs(_foretold(others, sample.multiply_adds) / sample.seconds_per_iteration - 1)
            for sample in told
            if (others := [each for each in told if _apart(each, sample, same_model=bool(own))])
        ]
        error = median(errors) if errors else None
        return cls(_foretold(told, multiply_adds), error, _basis(told, bool(own), error))


def _alike(samples: Iterable[Sample], spec: DreamSpec, kinds: Collection[str]) -> list[Sample]:
    """Return the samples that were run as the newest one of this optimizer and precision was."""
    fit = [
        sample
        for sample in sorted(samples, key=lambda sample: -sample.at)
        if sample.optimizer == spec.optimizer
        and spec.precision in (sample.asked, sample.precision)
        and (not kinds or sample.kind in kinds)
    ]
    return [sample for sample in fit if sample.way == fit[0].way]


def _apart(other: Sample, sample: Sample, *, same_model: bool) -> bool:
    """Whether one may foretell the other as if that were new: of the same model, or of others."""
    return other is not sample if same_model else other.model != sample.model


def _foretold(samples: Sequence[Sample], multiply_adds: float) -> float:
    """Return the seconds of an iteration, by the samples nearest in work."""
    nearest = sorted(samples, key=lambda sample: abs(log(sample.multiply_adds / multiply_adds)))
    rates = [each.seconds_per_iteration / each.multiply_adds for each in nearest[:NEAREST]]
    return multiply_adds * median(rates)


def _basis(told: Sequence[Sample], own: bool, error: float | None) -> str:
    dreams = f"{len(told)} earlier {'dreams' if len(told) > 1 else 'dream'}"
    of = "" if own else " of other models"
    known = "error not known yet" if error is None else f"median error {error * 100:.0f} %"
    return f"from {dreams}{of} on {told[0].kind}, {known}"
