"""A stopwatch: how long something took, whether others had the cores, and how much time is left."""

import time
from collections.abc import Callable, Iterable
from typing import NamedTuple, Self

Clock = Callable[[], float]

# On an idle machine a thread that computes has a core nearly all the time: while others of its own
# process have yet to finish, it spins. Below that, somebody else's program had it.
ALONE = 0.85


class Took(NamedTuple):
    """How long something took, and for how much of that its thread had a core."""

    seconds: float
    computed: float


class Stopwatch:
    """Seconds that may be spent in all, and what is left of them."""

    def __init__(
        self, seconds: float, *, wall: Clock = time.perf_counter, own: Clock = time.thread_time
    ) -> None:
        """Start.

        Args:
            seconds: that may be spent from now on.
            wall: the clock that they are of.
            own: what this thread has computed; the wall's clock where another device does it.
        """
        self._wall, self._own = wall, own
        self._began = Took(wall(), own())
        self._until = self._began.seconds + seconds

    @classmethod
    def on(cls, device: str, seconds: float) -> Self:
        """Start for a kind of device: whoever waits for a GPU says nothing of how busy that is."""
        return cls(seconds) if device == "cpu" else cls(seconds, own=time.perf_counter)

    @property
    def left(self) -> float:
        """Seconds that are left."""
        return self._until - self._wall()

    def part(self, count: int) -> "Stopwatch":
        """Start another with one of `count` equal parts of what is left."""
        part = Stopwatch(self.left / count, wall=self._wall, own=self._own)
        part._began = self._began
        return part

    def allows(self, seconds: float) -> bool:
        """Whether something fits that would take so long on a machine of our own.

        What is short passes between two turns of other programs, what is long does not.
        """
        passed, computed = self._wall() - self._began.seconds, self._own() - self._began.computed
        return seconds <= self.left * (min(1.0, computed / passed) if passed else 1.0)

    def time(self, call: Callable[[], object]) -> Took:
        """Return what a call took."""
        wall, own = self._wall(), self._own()
        call()
        return Took(self._wall() - wall, self._own() - own)


def busy(taken: Iterable[Took]) -> bool:
    """Whether other programs visibly had the cores meanwhile."""
    seconds, computed = map(sum, zip(*taken, strict=True))
    return computed < ALONE * seconds
