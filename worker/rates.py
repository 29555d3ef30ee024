"""Rates: what a worker tells of its machine, of which the time of dreams is foretold."""

import torch

from dream_core.executors.building import storage
from dream_core.executors.memory import free_bytes, ran_out
from dream_core.executors.probe import Probe
from jobs.presence import Rates
from worker.errors import NoMemoryToMeasure


def rates(probe: Probe, device: torch.device) -> dict[str, Rates]:
    """Return how a dream of each precision is run here, and how fast; measured where it must be.

    Raises:
        NoMemoryToMeasure: the device has none left for it.
    """
    try:
        measured = probe.rates(device)
    except Exception as error:
        if not ran_out(error):
            raise
        raise NoMemoryToMeasure(str(device), free_bytes(str(device))) from error
    return {
        asked: Rates(
            executor=way.executor,
            precision=way.precision,
            threads=torch.get_num_threads(),
            storage=storage(way, str(device)),
            costs=costs,
            busy=busy,
        )
        for asked, (way, costs, busy) in measured.items()
    }
