"""The contest of ways, on machines that a clock makes up: who wins, and how long it takes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from mmap import mmap

import numpy as np
import pytest
import torch

from dream_core.executors import REFERENCE, Way, contest, rooms
from dream_core.executors.building import ways_here
from dream_core.executors.contest import (
    LONGEST_S,
    STAGES_ON_CPU,
    STAGES_ON_GPU,
    TURNS,
    TURNS_BEFORE,
    Look,
    Seen,
    Stage,
    measure,
)
from dream_core.executors.stopwatch import Stopwatch
from dream_core.executors.way import WAYS

CPU = torch.device("cpu")
HERE = ways_here(CPU)
WINOGRAD, DIRECT = (
    {word: Way(executor, word) for word in ("exact", "balanced", "fast")}
    for executor in ("winograd", "direct")
)
EVEN: Mapping[Way, float] = {
    **dict.fromkeys(WAYS, 1.0),
    WINOGRAD["exact"]: 0.4,
    REFERENCE: 1.3,
}


@dataclass
class Machine:
    """A machine, by the seconds of a look at the last stage that goes directly.

    One core without 16-bit instructions takes 1.
    """

    pace: float
    factors: Mapping[Way, float]
    mine: float = 1.0  # the part of the time in which it computes for us
    made: Mapping[Way, float] = field(default_factory=dict)  # seconds of the first look at a size
    now: float = 0.0

    def __post_init__(self) -> None:
        """Nothing has been looked at."""
        self.woken: set[Way] = set()
        self.looked: list[tuple[Stage, Way]] = []

    def enter(self, stage: Stage, ways: Sequence[Way]) -> dict[Way, Look]:
        """Draw filters, which takes time too."""
        self.now += 0.05 * self.pace / stage.narrower**2
        return {way: lambda way=way: self._look(stage, way) for way in ways}  # type: ignore[misc]

    def _look(self, stage: Stage, way: Way) -> None:
        if (stage, way) not in self.looked:
            self.now += self.made.get(way, 0.0)
        self.looked.append((stage, way))
        # Filters, what is made once, and what grows with the picture.
        beside = 0.1 / stage.narrower**2 + (0 if way in self.woken else 0.03)
        work = self.factors[way] * stage.work / STAGES_ON_CPU[-1].work
        self.woken.add(way)
        self.now += self.pace * (work + beside) / self.mine

    def measured(
        self, ways: Sequence[Way] = WAYS, stages: Sequence[Stage] = STAGES_ON_CPU
    ) -> contest.Paces:
        """Return what is found there."""
        stopwatch = Stopwatch(LONGEST_S, wall=lambda: self.now, own=lambda: self.mine * self.now)
        return contest.contest(ways, stages, self.enter, stopwatch)


SLOW_IN_16_BIT = {way: took * (1 if way.precision == "exact" else 25) for way, took in EVEN.items()}
FAST_IN_16_BIT = {
    **EVEN,
    WINOGRAD["balanced"]: 0.3,
    WINOGRAD["fast"]: 0.15,
    DIRECT["fast"]: 0.2,
}


@pytest.mark.parametrize("factors", [EVEN, SLOW_IN_16_BIT, FAST_IN_16_BIT])
@pytest.mark.parametrize("pace", [0.001, 0.01, 0.1, 0.3, 1.0, 3.0])
def test_it_takes_no_longer_than_it_may(pace: float, factors: Mapping[Way, float]) -> None:
    """From a large server to what is ten times as slow as two old cores; the best one wins."""
    machine = Machine(pace, factors)

    found = machine.measured()

    assert machine.now < 1.05 * LONGEST_S
    best = min((way for way in WAYS if way.precision == "exact"), key=lambda way: factors[way])
    assert found.way("exact") == best


@pytest.mark.parametrize("pace", [0.001, 0.02, 0.05])
def test_with_time_enough_all_that_pays_is_found(pace: float) -> None:
    """The last stage decides, in turns."""
    machine = Machine(pace, FAST_IN_16_BIT)

    found = machine.measured()

    words = ("exact", "balanced", "fast", "auto")
    assert [found.way(word) for word in words] == [*WINOGRAD.values(), WINOGRAD["fast"]]  # type: ignore[arg-type]
    assert found.seconds[WINOGRAD["exact"]] == pytest.approx((0.4 + 0.1) * pace)


def test_the_last_stage_has_more_turns() -> None:
    """On a GPU it is the only one that counts."""
    machine = Machine(0.0001, EVEN)

    machine.measured(stages=STAGES_ON_GPU)

    assert machine.looked.count((STAGES_ON_GPU[-1], WINOGRAD["exact"])) == TURNS


def test_a_stage_that_there_is_no_time_for_leaves_more_turns_to_the_one_before() -> None:
    """A machine of which a look at the last stage would take most of the time."""
    machine = Machine(0.3, EVEN)

    machine.measured()

    reached = machine.looked[-1][0]
    assert reached in STAGES_ON_CPU[2:-1]
    assert machine.looked.count((reached, WINOGRAD["exact"])) > TURNS_BEFORE


def test_a_way_that_is_far_behind_is_out_and_keeps_its_distance() -> None:
    """16 bit without instructions for it: a look at the last stage would have taken 25 s."""
    machine = Machine(1.0, SLOW_IN_16_BIT)

    found = machine.measured()

    slow = [stage for stage, way in machine.looked if way == DIRECT["fast"]]
    assert slow == [STAGES_ON_CPU[0]] + [STAGES_ON_CPU[1]] * TURNS_BEFORE
    distance = found.seconds[DIRECT["fast"]] / found.seconds[WINOGRAD["exact"]]
    first = 0.1 / 16 + STAGES_ON_CPU[1].work / STAGES_ON_CPU[-1].work * np.array([25.0, 0.4])
    assert distance == pytest.approx(first[0] / first[1])


def test_what_is_made_once_for_a_size_puts_no_way_out() -> None:
    """Convolutions by torch are compiled for each size: eight looks of the kernel's, at first."""
    factors = {**FAST_IN_16_BIT, DIRECT["fast"]: 0.1}
    machine = Machine(0.05, factors, made={DIRECT["fast"]: 0.007})

    assert machine.measured().way("fast") == DIRECT["fast"]


def test_a_way_of_fewer_bits_beats_none_of_more() -> None:
    """Who asks for exact gets the best that is, however far behind."""
    factors = {way: took * (50 if way.precision == "exact" else 1) for way, took in EVEN.items()}
    machine = Machine(0.001, factors)

    machine.measured()

    assert (STAGES_ON_CPU[-1], WINOGRAD["exact"]) in machine.looked


def test_without_time_the_first_with_all_bits_is_taken() -> None:
    """Nobody knows of the others: they have no figure."""
    machine = Machine(100.0, EVEN)

    found = machine.measured([DIRECT["fast"], WINOGRAD["exact"], REFERENCE])

    assert found.seconds.keys() == {WINOGRAD["exact"]}
    assert found.way("fast") == WINOGRAD["exact"]


@pytest.mark.parametrize(("mine", "busy"), [(1.0, False), (0.9, False), (0.8, True), (0.3, True)])
def test_who_had_the_cores_is_seen(mine: float, busy: bool) -> None:
    """A thread that looks computes nearly all the time, unless it is another's turn."""
    assert Machine(0.01, EVEN, mine).measured().busy is busy


def test_every_way_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    """On this very machine, by the real clock; what it says is not for a test to know."""
    monkeypatch.setattr(contest, "LONGEST_S", 1e6)
    monkeypatch.setattr(contest, "STAGES_ON_CPU", (Stage(16, narrower=4), Stage(24, narrower=4)))

    found = measure(CPU, HERE)

    assert list(found.seconds) == list(HERE)
    assert all(took > 0 for took in found.seconds.values())


def test_what_a_gpu_makes_once_is_no_part_of_the_time_there_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Contexts, plans and graphs take seconds; else only the first way would ever be looked at."""
    gpu, now = torch.device("cuda"), [0.0]

    class Slow:
        def looks(self, ways: Sequence[Way]) -> dict[Way, Look]:
            now[0] += 100
            return dict.fromkeys(ways, self.look)

        def look(self) -> None:
            now[0] += 0.01

    monkeypatch.setattr(Seen, "on", lambda *_: Slow())
    monkeypatch.setattr(
        Stopwatch, "on", lambda _, s: Stopwatch(s, wall=lambda: now[0], own=lambda: now[0])
    )

    found = measure(gpu, WAYS)

    assert list(found.seconds) == list(WAYS)


@pytest.mark.skipif("winograd" not in {way.executor for way in HERE}, reason="no native kernel")
def test_a_way_is_measured_in_rooms_that_are_there_already(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As a dream has them from its second step on; fresh pages cost the kernel half its lead."""
    made: list[int] = []

    def taken(size: int) -> mmap:
        made.append(size)
        return mmap(-1, size)

    monkeypatch.setattr(rooms, "_addresses", taken)
    look = Seen.on(CPU, STAGES_ON_CPU[-1]).look(Way("winograd", "exact"))
    look()
    first = len(made)
    look()

    assert len(made) == first > 0
