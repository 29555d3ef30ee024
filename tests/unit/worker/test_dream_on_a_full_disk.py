"""What becomes of a dream whose disk takes no more."""

import itertools

import pytest

from jobs.errors import StoreFault
from tests.unit.worker.stand_ins import Engine, Quick, claim, dream, problem

FULL = StoreFault("frames/1", "No space left on device", 28)


def test_a_full_disk_is_waited_for_and_nothing_is_lost() -> None:
    """The frame is published when there is room, before anything promises it; all this is said."""
    waiting = claim(iterations=1)
    waiting.disk = iter([FULL, FULL])

    told = dream(waiting, Engine(1))

    assert [what[:2] for what in told] == [
        ("begin",),
        ("held_up", True),
        ("frame", 0),
        ("held_up", False),
        ("frame", 1),
        ("progress", 1),
        ("checkpoint", 1),
        ("succeed",),
    ]


@pytest.mark.parametrize(
    ("reason", "end"), [("stopping", "give_back"), ("canceling", "canceled"), ("late", "fail")]
)
def test_whoever_waits_for_a_disk_can_be_stopped(reason: str, end: str) -> None:
    """A frame is missing, so no state and no progress promises it."""
    stopping, waiting = Quick(), claim(iterations=3)
    waiting.disk = itertools.chain([None], itertools.repeat(FULL))
    if reason == "stopping":
        waiting.on_renew = stopping.set
    else:
        waiting.on_renew = lambda: setattr(waiting, reason, True)

    told = dream(waiting, Engine(3), stopping)

    assert [what[0] for what in told] == ["begin", "frame", "held_up", end]


def test_a_disk_that_is_broken_fails_the_job() -> None:
    """What no room and no access will mend is told, not waited for."""
    broken = claim(iterations=3)
    broken.disk = iter([StoreFault("frames/0", "Input/output error", 5)])

    assert problem(dream(broken, Engine(3))).code == "store-fault"


def test_a_disk_that_takes_no_checkpoint_stops_no_dream() -> None:
    """An older state has to do; the frames are what was asked for."""
    unsaved = claim(iterations=3)

    def refuse(*_: object) -> None:
        raise FULL

    unsaved.checkpoint = refuse  # type: ignore[method-assign]

    assert dream(unsaved, Engine(3))[-1] == ("succeed",)
