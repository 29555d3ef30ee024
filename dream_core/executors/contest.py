"""A contest: which way of running a network is the fastest here, found in about a second anywhere.

Ways look forth and back, turn about, in stages that grow. Whoever is far behind is out: without
instructions for them, 16 bits take twenty times as long as 32. A stage is entered only if there is
time for some turns, as the one before it tells. So a slow machine decides by small looks, and none
is looked at for long.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from itertools import pairwise, zip_longest
from math import prod
from typing import NamedTuple, Self

import torch
from torch import Tensor

from dream_core.architectures.vgg import vgg
from dream_core.executors.building import build
from dream_core.executors.cuda import CudaStream, multiplying_in_full
from dream_core.executors.rooms import Rooms, lent
from dream_core.executors.stopwatch import Stopwatch, Took, busy
from dream_core.executors.way import ALLOWED, REFERENCE, Paces, Way
from dream_core.model import Layer

LONGEST_S = 1.2  # for all of it; with the rates it stays below 3 s
TURNS = 7  # at most, in the last stage; the fastest of each counts
TURNS_BEFORE = 2  # in each stage before: the first look at a new size makes what the next one finds
TURNS_LEFT = 3  # so many there must be time for: that first look takes longer, too
# A way that takes so many times as long as one with no fewer bits is out.
BEATEN = 3.0
CLOSE = 2.0  # in the last stage, so that there's time for those that may win
# At a new size the first look makes what later ones find, so it decides only where it was so bad.
HOPELESS = 8.0
# What a short look takes is mostly what is made once and what each operation's call costs. So a way
# whose next look would be shorter than that isn't out yet: it costs the others little time.
SHORT_S = 0.1
UNKNOWN = 8.0  # so many times the slowest: nobody knows before how slow a way is
# VGG's own widths and depth.
BLOCKS, WIDTHS = (2, 1, 2, 2), (64, 128, 256, 512)
DRAWN = 4099  # a prime: no two filters of a layer are the same

Look = Callable[[], object]


class Stage(NamedTuple):
    """A size of looks: the side of the picture, and which part of VGG's widths a network has."""

    side: int
    narrower: int = 1

    @property
    def work(self) -> float:
        """How much there is to multiply, in no unit."""
        return (self.side / self.narrower) ** 2


# The first one wakes: what is made once for all later looks, and counts nothing. In the last one
# the picture is just small enough: on a smaller one filters weigh more than they do in a dream, and
# a GPU is not busy.
STAGES_ON_CPU = (Stage(16, 4), Stage(32, 4), Stage(64, 4), Stage(64), Stage(160), Stage(256))
STAGES_ON_GPU = (Stage(64), Stage(512))


def measure(device: torch.device, ways: Sequence[Way]) -> Paces:
    """Time looks forth and back in each way; what else the machine does meets all ways alike."""
    if device.type == "cpu":

        def enter(stage: Stage, racing: Sequence[Way]) -> Mapping[Way, Look]:
            return Seen.on(device, stage).looks(racing)

        return contest(ways, STAGES_ON_CPU, enter, Stopwatch.on(device.type, LONGEST_S))
    with multiplying_in_full() if device.type == "cuda" else nullcontext():
        # What is made once on a GPU, graphs and what libraries need, may take longer than all
        # looks: the clock runs behind it.
        made = {stage: Seen.on(device, stage).looks(ways) for stage in STAGES_ON_GPU}
        stopwatch = Stopwatch.on(device.type, LONGEST_S)
        return contest(
            ways,
            STAGES_ON_GPU,
            lambda stage, racing: {way: made[stage][way] for way in racing},
            stopwatch,
        )


def contest(
    ways: Sequence[Way],
    stages: Sequence[Stage],
    enter: Callable[[Stage, Sequence[Way]], Mapping[Way, Look]],
    stopwatch: Stopwatch,
) -> Paces:
    """Return how long a look takes in each way, as far as there is time to find out.

    Whoever is out keeps the distance that it had to the fastest with all bits.

    Args:
        ways: that take part.
        stages: from the smallest on, which only wakes; two or more.
        enter: gives the looks of a stage.
        stopwatch: with the time that there is.
    """
    # Those with all bits first: they are what others are measured against. The reference is last,
    # as it hardly ever wins.
    every = sorted(ways, key=lambda way: (way == REFERENCE, way.precision != "exact"))
    racing = _woken(enter(stages[0], every), stopwatch)
    looks = enter(stages[1], racing)
    taken = _turns(TURNS_BEFORE, looks, {}, stopwatch, {})
    seconds = {way: took.seconds for way, took in taken.items()}  # of a look at the last stage
    for before, stage in pairwise(stages[1:]):
        grows = stage.work / before.work
        last = stage == stages[-1]
        rows = _rows(taken, CLOSE) if last else _rows(taken, BEATEN, SHORT_S / grows)
        racing = [way for rank in zip_longest(*rows) for way in rank if way]
        expected = {way: grows * seconds[way] for way in racing}
        if not stopwatch.allows(TURNS_LEFT * sum(expected[row[0]] for row in rows)):
            break
        looks = enter(stage, racing)
        taken = _turns(TURNS_BEFORE, looks, expected, stopwatch, {})
        scale = taken[racing[0]].seconds / seconds[racing[0]]
        found = {way: took.seconds for way, took in taken.items()}
        seconds = {way: scale * took for way, took in seconds.items()} | found
    close = {way: looks[way] for row in _rows(taken, CLOSE) for way in row}
    taken = _turns(TURNS - TURNS_BEFORE, close, {}, stopwatch, taken)
    seconds |= {way: took.seconds for way, took in taken.items()}
    return Paces({way: seconds[way] for way in ways if way in seconds}, busy(taken.values()))


def _woken(looks: Mapping[Way, Look], stopwatch: Stopwatch) -> list[Way]:
    """Look once in each way, in at most half of the time; return those that there was time for."""
    half, slowest = stopwatch.left / 2, 0.0
    woken: list[Way] = []
    for way, look in looks.items():
        if not woken or stopwatch.left - slowest > half:
            slowest = max(slowest, stopwatch.time(look).seconds)
            woken.append(way)
    return woken


def _turns(
    turns: int,
    looks: Mapping[Way, Look],
    expected: Mapping[Way, float],
    stopwatch: Stopwatch,
    before: Mapping[Way, Took],
) -> dict[Way, Took]:
    """Return the fastest look of each way, with those before; the very first is always taken."""
    best = dict(before)
    for _ in range(turns):
        for way, look in looks.items():
            if best:
                slowest = max(best.values()).seconds
                expects = best[way].seconds if way in best else expected.get(way, UNKNOWN * slowest)
                if not stopwatch.allows(expects) or _beaten(way, best, HOPELESS, SHORT_S):
                    continue
            took = stopwatch.time(look)
            best[way] = min(took, best.get(way, took))
    return best


def _beaten(way: Way, taken: Mapping[Way, Took], times: float, short: float) -> bool:
    """Whether a way with no fewer bits is so much faster that nobody will ask for this one."""
    others = [taken[other].seconds for other in taken if other.precision in ALLOWED[way.precision]]
    return way in taken and taken[way].seconds > max(short, times * min(others))


def _rows(taken: Mapping[Way, Took], times: float, short: float = 0.0) -> list[list[Way]]:
    """Return those that aren't beaten, by precision, all bits first; in each row the best first."""
    rows = [
        sorted((way for way in taken if way.precision == word), key=taken.__getitem__)
        for word in ALLOWED
    ]
    left = [[way for way in row if not _beaten(way, taken, times, short)] for row in rows]
    return [row for row in left if row]


def filters(layer: Layer, inputs: int, generator: torch.Generator) -> Tensor:
    """Return filters of a convolution, normal; repeated, as drawing them would take longest."""
    shape = layer.channels, inputs, *layer.kernel
    few = torch.randn(DRAWN, generator=generator)
    return few.repeat(-(-prod(shape) // DRAWN))[: prod(shape)].view(shape)


class Seen(NamedTuple):
    """What every way looks at: a random picture, through a small VGG of random weights."""

    layers: Sequence[Layer]
    weights: Mapping[str, Tensor]
    picture: Tensor

    @classmethod
    def on(cls, device: torch.device, stage: Stage) -> Self:
        """Draw it on a device."""
        widths = [width // stage.narrower for width in WIDTHS]
        *layers, _last_pool = vgg(BLOCKS, pools_round_up=True, widths=widths)
        generator = torch.Generator().manual_seed(0)
        weights, inputs = {}, 3
        for layer in layers:
            if layer.kind == "convolution":
                drawn = filters(layer, inputs, generator) * (2 / (9 * inputs)) ** 0.5
                weights[f"{layer.name}.weight"] = drawn.to(device)
                weights[f"{layer.name}.bias"] = torch.zeros(layer.channels, device=device)
                inputs = layer.channels
        picture = torch.rand((1, 3, stage.side, stage.side), generator=generator).to(device)
        return cls(layers, weights, picture)

    def looks(self, ways: Sequence[Way]) -> dict[Way, Look]:
        """Return what looks in each way, and back."""
        return {way: self.look(way) for way in ways}

    def look(self, way: Way) -> Look:
        """Return what looks in a way, and back."""
        layers, weights, picture = self
        device, executor = picture.device, build(way, weights, torch.float32)
        found, rooms = torch.zeros((), device=device), Rooms()

        def look() -> None:
            with lent(rooms):
                features, tape = executor.forward(picture, layers, {layers[-1].name})
                found.copy_(tape.backward(features).sum())

        # As a dream runs it: in rooms that are there already, and a GPU that is told each
        # operation by itself is idle in between.
        run = CudaStream(device).capture(look) if device.type == "cuda" else look

        def timed() -> float:
            run()
            return float(found)  # here a GPU is waited for

        return timed
