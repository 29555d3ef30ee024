"""Ways of running a network, how fast each is here, and which one a word asks for."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

from dream_core.costs import Costs
from dream_core.spec import Precision

ExecutorName = Literal["autograd", "direct", "winograd"]
Resolved = Literal["exact", "balanced", "fast"]

# Fewer bits have to be worth it.
FAST_GAINS, BALANCED_GAINS = 1.5, 1.15
# On a CPU the reference needs most memory, up to twice as much, and on a busy host a measurement is
# off by a quarter: there it runs where it is that much faster than all others. On a GPU plans
# reckon with its memory whatever runs, and a busy host is hardly seen.
REFERENCE_GAINS = 1.3

# What a word allows: no fewer bits than it says, and more where fewer don't pay.
ALLOWED: Mapping[Resolved, tuple[Resolved, ...]] = {
    "exact": ("exact",),
    "balanced": ("exact", "balanced"),
    "fast": ("exact", "balanced", "fast"),
}


class Way(NamedTuple):
    """An executor, and the bits that it computes in.

    autograd: the reference. direct: a way back by hand, in torch's operators. winograd: that, with
    the native kernel for 3 × 3 convolutions.
    exact: the picture's bits throughout; balanced: 16 on the way back, on a GPU TF32; fast: 16 both
    ways.
    """

    executor: ExecutorName
    precision: Resolved

    def __str__(self) -> str:
        """Return it in words."""
        return f"{self.executor} {self.precision}"


REFERENCE = Way("autograd", "exact")
WAYS: tuple[Way, ...] = (
    Way("winograd", "exact"),
    Way("winograd", "balanced"),
    Way("winograd", "fast"),
    Way("direct", "exact"),
    Way("direct", "balanced"),
    Way("direct", "fast"),
    REFERENCE,
)


class Rated(NamedTuple):
    """Seconds that one of each kind of work takes in each way, measured on one machine."""

    costs: Mapping[Way, Costs]
    busy: bool = False  # other programs had the cores meanwhile


@dataclass(frozen=True)
class Paces:
    """Seconds that one look forth and back took in each way, measured on one machine."""

    seconds: Mapping[Way, float]
    busy: bool = False  # other programs had the cores meanwhile

    def way(self, asked: Precision, *, thrifty: bool = True) -> Way:
        """Return the fastest way that keeps what is asked.

        `auto` is fast where that gains 1.5 × over balanced, else balanced where that gains 1.15 ×
        over exact, else exact.

        Args:
            asked: in what precision.
            thrifty: take the reference only where it gains 1.3 ×, as on a CPU.
        """
        if asked != "auto":
            return self._best(asked, thrifty)
        exact, balanced, fast = (self._best(word, thrifty) for word in ALLOWED)
        if self.seconds[balanced] >= FAST_GAINS * self.seconds[fast]:
            return fast
        if self.seconds[exact] >= BALANCED_GAINS * self.seconds[balanced]:
            return balanced
        return exact

    def _best(self, word: Resolved, thrifty: bool) -> Way:
        weights = {REFERENCE: REFERENCE_GAINS} if thrifty else {}
        allowed = [way for way in self.seconds if way.precision in ALLOWED[word]]
        return min(allowed, key=lambda way: self.seconds[way] * weights.get(way, 1))

    def __str__(self) -> str:
        """Return each way's speed, in multiples of the slowest, or of the reference if it ran."""
        plain = self.seconds.get(REFERENCE, max(self.seconds.values()))
        return ", ".join(f"{way} {plain / took:.1f}" for way, took in self.seconds.items())
