"""Rates: how long this machine takes for each kind of work, found by dreams on small pictures."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple, Protocol

import numpy as np
import torch

from dream_core.architectures import BUILT_IN
from dream_core.costs import Costs, fit
from dream_core.dream import Dream
from dream_core.executors.contest import filters
from dream_core.executors.plan import Plan
from dream_core.executors.stopwatch import Stopwatch, Took, busy
from dream_core.executors.way import Rated, Way
from dream_core.networks import Network, load_network
from dream_core.picture.write import encode_png
from dream_core.spec import DreamSpec

LONGEST_S = 1.6  # for all ways; with what the contest of ways takes it stays below 3 s
# A look is a new dream of two iterations, the first of which lays out what the second finds: in
# seconds of the second.
TAKES = 2.5


class Look(NamedTuple):
    """What is dreamed."""

    height: int
    width: int
    layer: str


# Deep and shallow, small and large, so that kinds of work can be told apart: the second is mostly
# weights, features of the largest are larger than an allocator keeps. The first one only wakes the
# machine and says how slow it is, unless there is time for no other.
LOOKS = (
    Look(48, 64, "relu3_1"),
    Look(96, 128, "relu5_1"),
    Look(192, 256, "relu5_1"),
    Look(192, 256, "relu1_1"),
    Look(384, 512, "relu1_1"),
    Look(384, 512, "relu2_1"),
    Look(192, 256, "relu2_1"),
)
# A GPU is idle through small ones, and its looks cost most of their time beside them: so the first
# is of the size of dreams, and few have to tell all.
LOOKS_ON_GPU = (
    Look(192, 256, "relu5_1"),
    Look(384, 512, "relu5_1"),
    Look(768, 1024, "relu1_1"),
    Look(384, 512, "relu2_1"),
    Look(768, 1024, "relu3_1"),
    Look(384, 512, "relu1_1"),
)


class Looked(NamedTuple):
    """What a look took."""

    iteration: Took
    saved: float  # seconds of a pixel, to be encoded


class Dreams(Protocol):
    """What dreams in one way."""

    def costs(self, look: Look) -> Costs:
        """Return what an iteration will have to do."""

    def look(self, look: Look, stopwatch: Stopwatch) -> Looked:
        """Dream, and time the second iteration."""


def measure_rates(device: torch.device, ways: Sequence[Way]) -> Rated:
    """Return the seconds that one of each kind takes in each way."""
    network = _network(device)
    dreams = {way: SmallDreams(network, way) for way in ways}
    if device.type == "cpu":
        return rate(dreams, Stopwatch.on(device.type, LONGEST_S))
    # What is made once on a GPU, the first graphs and what libraries need, may take longer than all
    # looks: as in the contest, the clock runs behind it.
    for own in dreams.values():
        own.look(LOOKS_ON_GPU[0], Stopwatch.on(device.type, LONGEST_S))
    return rate(dreams, Stopwatch.on(device.type, LONGEST_S), on_gpu=True)


def rate(dreams: Mapping[Way, Dreams], stopwatch: Stopwatch, *, on_gpu: bool = False) -> Rated:
    """Let each way have the same share of the time that there is."""
    costs, iterations = {}, []
    for done, (way, own) in enumerate(dreams.items()):
        costs[way], taken = _rates(own, stopwatch.part(len(dreams) - done), on_gpu=on_gpu)
        iterations += taken
    return Rated(costs, busy(iterations))


def _rates(dreams: Dreams, stopwatch: Stopwatch, *, on_gpu: bool) -> tuple[Costs, list[Took]]:
    """Look as often as there is time: what looks have told says how long the next will take."""
    looks: list[tuple[Costs, Looked]] = []
    # What the last one took more than its iterations say: on a GPU a graph is made for each. On a
    # CPU the first one's, which wakes the machine, would keep later ones out that tell the most.
    beside = 0.0
    for look in LOOKS_ON_GPU if on_gpu else LOOKS:
        costs = dreams.costs(look)
        if looks and not stopwatch.allows(beside + TAKES * costs.seconds(_fitted(looks))):
            continue
        before = stopwatch.left
        looked = dreams.look(look, stopwatch)
        if on_gpu:
            beside = max(0.0, before - stopwatch.left - TAKES * looked.iteration.seconds)
        looks.append((costs, looked))
    told = looks[1:] or looks
    return _fitted(told), [looked.iteration for _, looked in told]


def _fitted(looks: Sequence[tuple[Costs, Looked]]) -> Costs:
    """Return the rates that explain looks, and what the last one says of frames."""
    taken = [(costs, looked.iteration.seconds) for costs, looked in looks]
    return replace(fit(taken), saved=looks[-1][1].saved)


class SmallDreams:
    """Dreams in one way, which are thrown away."""

    def __init__(self, network: Network, way: Way) -> None:
        """Dream through `network`."""
        self._network = network
        self._new = Plan.make(network.device, torch.float32, way)

    def costs(self, look: Look) -> Costs:
        """Return what an iteration will have to do, in the form that it would have."""
        spec, plan = self._planned(look)
        return Costs.of(
            self._network.model, spec, (look.height, look.width), plan.form, storage=plan.storage
        )

    def look(self, look: Look, stopwatch: Stopwatch) -> Looked:
        """Dream, and time the second iteration."""
        shape = (3, look.height, look.width)
        source = torch.rand(shape, generator=torch.Generator().manual_seed(1))
        spec, plan = self._planned(look)
        dream = Dream(source, spec, network=self._network, plan=plan)
        dream.load_state_dict(dream.state_dict())  # or its first step wouldn't look
        dream.step()  # lays out what the next one finds
        dream.picture()  # a GPU still has it to do, and the host a place to make for pictures
        pictures: list[torch.Tensor] = []

        def iterate() -> None:
            dream.step()
            pictures.append(dream.picture())  # here a GPU is waited for

        iteration = stopwatch.time(iterate)
        saved = stopwatch.time(lambda: encode_png(np.asarray(pictures[0])))
        return Looked(iteration, saved.seconds / (look.height * look.width))

    def _planned(self, look: Look) -> tuple[DreamSpec, Plan]:
        spec = DreamSpec(layers={look.layer: 1000.0})
        return spec, self._new.fitted(self._network.model, spec, (look.height, look.width))


def _network(device: torch.device) -> Network:
    """Return a VGG-19 to relu5_1 with random weights that keep features from growing or fading."""
    whole = BUILT_IN["vgg19"]
    model = whole.model_copy(update={"layers": whole.needed_for(["relu5_1"])})
    generator, weights, inputs = torch.Generator().manual_seed(0), {}, 3
    for layer in model.layers:
        if layer.kind == "convolution":
            spread = (2 / (inputs * 9)) ** 0.5
            weights[f"{layer.name}.weight"] = filters(layer, inputs, generator) * spread
            weights[f"{layer.name}.bias"] = torch.zeros(layer.channels)
            inputs = layer.channels
    return load_network(model, weights, pooling="max", device=device)
