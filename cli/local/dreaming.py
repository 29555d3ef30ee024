"""A dream in this process: its network loaded, its steps watched."""

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from cli.progress import Bar, dreaming
from cli.pulling import ensure_weights
from dream_core.catalogue import Catalogue
from dream_core.spec import DreamSpec
from jobs.settings import load as settings_here

if TYPE_CHECKING:  # torch takes seconds to import, and `--help` needs none
    from dream_core.dream import Dream, Step
    from dream_core.executors import Probe
    from dream_core.networks import Network


SHOWN_EVERY_S = 0.1  # who reads losses waits for them, and a GPU makes hundreds a second


def load(spec: DreamSpec, catalogue: Catalogue, device: str) -> "Network":
    """Return the network of a spec on a device; its weights are pulled where they are missing.

    Raises:
        DeviceMissing, WeightsMissing, WeightsCorrupt, ModelRefused: what is wrong with the host.
    """
    from dream_core.executors.cores import limit_threads
    from dream_core.executors.device import resolve_device
    from dream_core.networks import load_network

    limit_threads()
    where = resolve_device(device)
    model = catalogue[spec.model]
    weights = ensure_weights(model, catalogue.folder)
    return load_network(model, weights, pooling=spec.pooling, device=where)


def probe() -> "Probe":
    """Return what knows the fastest way to run a network here, as the settings have it."""
    from dream_core.executors import Probe

    settings = settings_here()
    return Probe(settings.probe_file, executor=settings.executor, precision=settings.precision)


def steps(dream: "Dream", bar: Bar) -> Iterator["Step"]:
    """Step the dream to its end, with a bar that shows loss and time left."""
    began, first = time.monotonic(), dream.iteration
    shown = began
    total = dream.spec.iterations
    bar.at(first, total, dreaming(first, total, {}, None))
    while not dream.finished:
        step = dream.step()
        now = time.monotonic()
        if now - shown >= SHOWN_EVERY_S or dream.finished:
            shown, each_s = now, (now - began) / (step.iteration - first)
            left_s = each_s * (total - step.iteration)
            bar.at(step.iteration, total, dreaming(step.iteration, total, step.losses, left_s))
        yield step
