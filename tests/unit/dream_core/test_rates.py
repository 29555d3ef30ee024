"""Rates: found by small dreams, in the time that there is, on this machine and on made-up ones."""

from collections.abc import Callable
from dataclasses import asdict, dataclass

import pytest
import torch

from dream_core import rates
from dream_core.architectures import BUILT_IN
from dream_core.costs import TYPICAL, Costs
from dream_core.executors import REFERENCE, Way
from dream_core.executors.contest import LONGEST_S as CONTEST_S
from dream_core.executors.stopwatch import Stopwatch
from dream_core.rates import LONGEST_S, LOOKS, LOOKS_ON_GPU, Look, Looked, measure_rates, rate
from dream_core.spec import DreamSpec

WAYS = (Way("winograd", "exact"), Way("direct", "balanced"), Way("direct", "fast"))


@dataclass
class Machine:
    """A machine that takes so many times as long as two cores of a Xeon."""

    slower: float
    now: float = 0.0
    mine: float = 1.0  # the part of the time in which it computes for us
    others: float = 0.0  # seconds in which it didn't at all

    def stopwatch(self, seconds: float = LONGEST_S) -> Stopwatch:
        """Return one of its time."""
        own = lambda: self.mine * (self.now - self.others)  # noqa: E731
        return Stopwatch(seconds, wall=lambda: self.now, own=own)

    def wait(self, seconds: float) -> None:
        """Let others compute."""
        self.now += seconds
        self.others += seconds

    def took(self, seconds: float) -> None:
        """Let time pass."""
        self.now += self.slower * seconds / self.mine


class Dreams:
    """Dreams of a machine, whose kinds of work compare a little otherwise than usual."""

    def __init__(self, machine: Machine, factor: float = 1.3, beside: float = 0.0) -> None:
        self.machine, self.looked, self.beside = machine, list[Look](), beside
        self.wakes_s = 0.0
        self.true = Costs(**{**asdict(TYPICAL), "elements": factor * TYPICAL.elements})

    def costs(self, look: Look) -> Costs:
        """Return what VGG-19 has to do."""
        spec = DreamSpec(layers={look.layer: 1000.0})
        return Costs.of(BUILT_IN["vgg19"], spec, (look.height, look.width))

    def look(self, look: Look, stopwatch: Stopwatch) -> Looked:
        """Take as long as its work does: once looking only, twice both ways; and what is beside."""
        self.machine.now += self.beside if self.looked else self.beside + self.wakes_s
        self.looked.append(look)
        seconds = self.costs(look).seconds(self.true)
        self.machine.took(1.6 * seconds)
        iteration = stopwatch.time(lambda: self.machine.took(seconds))
        self.machine.took(look.height * look.width * self.true.saved)
        return Looked(iteration, self.machine.slower * self.true.saved)


@pytest.mark.parametrize("ways", [1, 2, 3])
@pytest.mark.parametrize("slower", [0.05, 0.3, 1.0, 3.0, 10.0, 30.0])
def test_it_takes_no_longer_than_it_may(slower: float, ways: int) -> None:
    """From a server of many cores to what is thirty times as slow as two good ones."""
    machine = Machine(slower)
    own = {way: Dreams(machine) for way in WAYS[:ways]}

    found = rate(own, machine.stopwatch())

    assert machine.now < 1.05 * LONGEST_S
    for way, dreams in own.items():
        assert found.costs[way].seconds(TYPICAL) > 0
        known = dreams.costs(Look(512, 384, "relu4_1"))
        expected = slower * known.seconds(dreams.true)
        assert known.seconds(found.costs[way]) == pytest.approx(expected, rel=0.15)


@pytest.mark.parametrize("beside", [0.02, 0.1, 0.3])
@pytest.mark.parametrize("slower", [0.005, 0.05, 0.5])
def test_what_a_look_takes_beside_its_iterations_is_reckoned_with(
    slower: float, beside: float
) -> None:
    """A GPU makes a graph for each look, which may take a hundred times as long as an iteration."""
    machine = Machine(slower)
    own = {way: Dreams(machine, beside=beside) for way in WAYS}

    rate(own, machine.stopwatch(), on_gpu=True)

    assert machine.now < 1.05 * LONGEST_S
    assert all(dreams.looked[0] == LOOKS_ON_GPU[0] for dreams in own.values())


def test_on_a_cpu_what_wakes_the_machine_keeps_no_look_out() -> None:
    """The first look takes long beside its iterations, and says nothing of those that follow."""
    machine = Machine(0.3)
    own = {way: Dreams(machine) for way in WAYS}
    late = {way: Dreams(machine) for way in WAYS}
    rate(own, machine.stopwatch())

    for dreams in late.values():
        dreams.wakes_s = LONGEST_S
    rate(late, machine.stopwatch(LONGEST_S + len(WAYS) * LONGEST_S))

    assert [dreams.looked for dreams in late.values()] == [dreams.looked for dreams in own.values()]


def test_a_few_looks_of_a_gpu_tell_how_long_its_dreams_take() -> None:
    """There is time for two to four in each way; what they don't tell, other machines do."""
    machine = Machine(0.01)
    own = {way: Dreams(machine, beside=0.15) for way in WAYS}

    found = rate(own, machine.stopwatch(), on_gpu=True)

    for way, dreams in own.items():
        assert 2 <= len(dreams.looked) <= 4
        for known in map(dreams.costs, (Look(512, 384, "relu4_1"), Look(1024, 768, "relu5_1"))):
            expected = machine.slower * known.seconds(dreams.true)
            assert known.seconds(found.costs[way]) == pytest.approx(expected, rel=0.15)


def test_what_a_gpu_makes_once_is_not_on_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Libraries and the first graph, 5 s here: else each way would have one look."""
    machine = Machine(0.01)

    class Cold(Dreams):
        def look(self, look: Look, stopwatch: Stopwatch) -> Looked:
            machine.now += 0.0 if self.looked else 5.0
            return super().look(look, stopwatch)

    own = [Cold(machine, beside=0.05) for _ in WAYS]
    waiting = iter(own)
    monkeypatch.setattr(rates, "_network", lambda _: None)
    monkeypatch.setattr(rates, "SmallDreams", lambda *_: next(waiting))
    monkeypatch.setattr(Stopwatch, "on", lambda _device, seconds: machine.stopwatch(seconds))

    measure_rates(torch.device("cuda:0"), WAYS)

    assert machine.now < 3 * 5.0 + 1.1 * LONGEST_S
    assert [dreams.looked[:3] for dreams in own] == [[LOOKS_ON_GPU[0], *LOOKS_ON_GPU[:2]]] * 3


def test_what_others_take_is_reckoned_with() -> None:
    """A short look passed between two of their turns; a long one would last five times as long."""
    machine = Machine(3.0)
    dreams = Dreams(machine)
    stopwatch = machine.stopwatch()
    machine.wait(0.4)

    rate({WAYS[0]: dreams}, stopwatch)
    looked = len(dreams.looked)
    alone = Dreams(Machine(3.0))
    rate({WAYS[0]: alone}, alone.machine.stopwatch(LONGEST_S - 0.4))

    assert looked < len(alone.looked)


def test_ways_and_rates_together_stay_below_three_seconds() -> None:
    """What a worker's first start on a machine costs, and nobody measures again."""
    assert CONTEST_S + LONGEST_S <= 2.9


def test_with_time_enough_everything_is_looked_at() -> None:
    """Once in each way."""
    machine = Machine(0.05)
    dreams = Dreams(machine)

    rate({WAYS[0]: dreams}, machine.stopwatch())

    assert dreams.looked == list(LOOKS)


def test_a_look_that_takes_too_long_makes_room_for_smaller_ones() -> None:
    """The largest picture is left out, not what comes after it."""
    machine = Machine(10.0)
    dreams = Dreams(machine)

    rate({WAYS[0]: dreams}, machine.stopwatch())

    assert Look(384, 512, "relu1_1") not in dreams.looked
    assert Look(192, 256, "relu1_1") in dreams.looked


@pytest.mark.parametrize(("mine", "busy"), [(1.0, False), (0.8, True)])
def test_who_had_the_cores_is_seen(mine: float, busy: bool) -> None:
    """And told with the rates: they may be too slow by all that others took."""
    machine = Machine(1.0, mine=mine)

    assert rate({WAYS[0]: Dreams(machine)}, machine.stopwatch()).busy is busy


def test_each_way_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    """By dreams of its own, by the real clock; what it says is not for a test to know."""
    looks = Look(33, 40, "relu1_1"), Look(33, 40, "relu1_1"), Look(40, 32, "relu3_1")
    monkeypatch.setattr(rates, "LOOKS", looks)
    monkeypatch.setattr(rates, "LONGEST_S", 1e6)
    ways = [REFERENCE, Way("direct", "exact")]

    found = measure_rates(torch.device("cpu"), ways).costs

    assert list(found) == ways
    for each in found.values():
        assert min(asdict(each).values()) >= 0
        assert each.saved > 0


def test_the_first_look_counts_only_where_it_is_the_only_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It wakes what the others find awake; and one look comes whatever it takes."""
    counted: list[list[object]] = []
    known: Callable[..., Costs] = rates.fit
    monkeypatch.setattr(rates, "fit", lambda looks: counted.append(list(looks)) or known(looks))

    def last(slower: float) -> int:
        machine = Machine(slower)
        rate({WAYS[0]: Dreams(machine)}, machine.stopwatch())
        return len(counted[-1])

    assert last(0.01) == len(LOOKS) - 1
    assert last(1000.0) == 1
