"""Rates: how long this machine takes for each kind of work, found by dreams on small pictures."""

import time
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from dream_core.architectures import BUILT_IN
from dream_core.costs import Costs, fit
from dream_core.dream import Dream
from dream_core.executors.plan import Plan
from dream_core.executors.way import Way
from dream_core.networks import Network, load_network
from dream_core.picture.write import encode_png
from dream_core.spec import DreamSpec

# Height, width and layer. Deep and shallow, small and large, so that kinds of work can be told
# apart: the first is mostly weights, features of the last two are larger than an allocator keeps.
LOOKS = (
    (96, 128, "relu5_1"),
    (384, 512, "relu1_1"),
    (192, 256, "relu5_1"),
    (192, 256, "relu1_1"),
    (384, 512, "relu2_1"),
    (192, 256, "relu2_1"),
)
LONGEST_S = 0.5  # of one way: what was not looked at by then is reckoned from the rest


def measure_rates(device: torch.device, ways: Sequence[Way]) -> dict[Way, Costs]:
    """Return the seconds that one of each kind takes in each way."""
    network = _network(device)
    return {way: _rates(network, way) for way in ways}


def _rates(network: Network, way: Way) -> Costs:
    """Time the second iteration of a dream for each look, as long as there is time."""
    new = Plan.make(network.device, torch.float32, way)
    looks: list[tuple[Costs, float]] = []
    began = time.perf_counter()
    for height, width, layer in LOOKS:
        source = torch.rand((3, height, width), generator=torch.Generator().manual_seed(1))
        size, spec = (height, width), DreamSpec(layers={layer: 1000.0})
        plan = new.fitted(network.model, spec, size)  # in the form that it would have
        dream = Dream(source, spec, network=network, plan=plan)
        dream.step()  # lays out what the next one finds
        start = time.perf_counter()
        dream.step()
        picture = dream.picture()  # here a GPU is waited for
        stepped = time.perf_counter()
        encode_png(np.asarray(picture))
        ended = time.perf_counter()
        looks.append(
            (Costs.of(network.model, spec, size, plan.form, storage=plan.storage), stepped - start)
        )
        if ended - began > LONGEST_S:
            break
    return replace(fit(looks), saved=(ended - stepped) / (height * width))


def _network(device: torch.device) -> Network:
    """Return a VGG-19 to relu5_1 with random weights that keep features from growing or fading."""
    whole = BUILT_IN["vgg19"]
    model = whole.model_copy(update={"layers": whole.needed_for(["relu5_1"])})
    generator, weights, inputs = torch.Generator().manual_seed(0), {}, 3
    for layer in model.layers:
        if layer.kind == "convolution":
            spread = (6 / (inputs * 9)) ** 0.5
            drawn = torch.rand((layer.channels, inputs, *layer.kernel), generator=generator)
            weights[f"{layer.name}.weight"] = (2 * drawn - 1) * spread
            weights[f"{layer.name}.bias"] = torch.zeros(layer.channels)
            inputs = layer.channels
    return load_network(model, weights, pooling="max", device=device)
