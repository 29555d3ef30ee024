"""Rates: what a worker tells of its machine."""

import pytest
import torch

from dream_core.costs import Costs
from dream_core.executors import Paces, Probe, Rated, Way
from worker.errors import NoMemoryToMeasure
from worker.rates import rates

CPU = torch.device("cpu")


def test_each_precision_has_the_way_that_it_is_run_in_and_its_rates() -> None:
    """With the threads, as a dream by another number of them is another."""
    exact, fast = Way("direct", "exact"), Way("direct", "fast")
    probe = Probe(
        executor="direct",
        measure=lambda _, ways: Paces({way: 0.1 if way == fast else 1.0 for way in ways}),
        measure_rates=lambda _, ways: Rated(
            {way: Costs(elements=1.0 + (way == fast)) for way in ways}, busy=True
        ),
    )

    told = rates(probe, CPU)

    assert list(told) == ["exact", "balanced", "fast", "auto"]
    assert (told["exact"].executor, told["exact"].precision) == exact
    assert told["auto"] == told["fast"]
    assert (told["exact"].costs.elements, told["fast"].costs.elements) == (1.0, 2.0)
    assert told["exact"].busy
    assert told["exact"].threads == torch.get_num_threads()


@pytest.mark.parametrize(
    ("error", "raised", "says"),
    [
        (torch.OutOfMemoryError("out of memory"), NoMemoryToMeasure, "end what else runs there"),
        (RuntimeError("3 axes expected"), RuntimeError, "3 axes expected"),
    ],
    ids=["no memory", "anything else"],
)
def test_a_device_without_memory_for_the_probe_is_named(
    error: Exception, raised: type[Exception], says: str
) -> None:
    """Who starts a worker beside a program that has all of the GPU reads what to do."""

    def fail(*_: object) -> Paces:
        raise error

    with pytest.raises(raised, match=says):
        rates(Probe(measure=fail), CPU)
