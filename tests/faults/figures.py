"""What the faults did: one line a fault, added up over its trials."""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass
class Figures:
    """What was seen of one fault."""

    fault: str
    trials: int = 0
    lost: int = 0  # accepted jobs that never ended, or are unknown
    doubled: int = 0  # jobs with two endings, frames published twice, runs beside each other
    differing: int = 0  # frames whose bytes aren't those of an undisturbed run
    slowest_s: float | None = None  # from the fault until the work goes on

    def recovered(self, seconds: float) -> None:
        """Count a recovery."""
        self.slowest_s = max(seconds, self.slowest_s or 0.0)

    @property
    def cells(self) -> tuple[str, ...]:
        """The line, as text."""
        slowest = "–" if self.slowest_s is None else f"{self.slowest_s:.1f}"
        counts = (self.trials, self.lost, self.doubled, self.differing)
        return (self.fault, *map(str, counts), slowest)


TITLES = ("fault", "trials", "lost", "doubled", "differing bytes", "slowest recovery (s)")


def table(figures: Iterable[Figures]) -> str:
    """Return the figures as a Markdown table, by the number that each fault begins with."""
    ordered = sorted(figures, key=lambda each: int(each.fault.split()[0]))
    rows = [TITLES, tuple("---" for _ in TITLES), *(each.cells for each in ordered)]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)
