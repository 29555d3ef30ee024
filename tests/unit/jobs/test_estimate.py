"""How long a dream would wait: what runs, what waits, and who is there."""

import pytest

from jobs.estimate import Known
from jobs.pace import Sample
from jobs.presence import Presence, State
from jobs.record import QueueName


def worker(state: State = "dreaming", slot: int = 0) -> Presence:
    """Return a worker that says so."""
    return Presence(host="h", slot=slot, pid=1, state=state, device="cpu")


TEN_SECONDS = Sample(
    at=1,
    model="vgg19",
    asked="auto",
    precision="exact",
    executor="direct",
    device="cpu",
    threads=2,
    optimizer="adam",
    seconds_per_iteration=0.4,
    iterations=20,
    seconds=10,
)


@pytest.mark.parametrize(
    ("running", "interactive", "bulk", "workers", "wait_s"),
    [
        ((), 0, 0, [worker("idle")], 0),
        ((7.0,), 0, 0, [worker(), worker("idle", 1)], 0),
        ((7.0,), 0, 0, [worker()], 7),
        ((7.0, 4.0), 0, 0, [worker(), worker(slot=1)], 4),
        ((7.0,), 2, 0, [worker()], 27),
        ((7.0, 4.0), 2, 0, [worker(), worker(slot=1)], 14),  # 4 → 14, 7 → 17
        ((None,), 0, 0, [worker()], 10),
        ((7.0,), 1, 100, [worker()], 37),  # one of its queue, two of the other
        ((), 0, 0, [], None),
        ((), 0, 0, [worker("starting")], None),
    ],
)
def test_a_dream_waits_for_those_before_it(
    running: tuple[float | None, ...],
    interactive: int,
    bulk: int,
    workers: list[Presence],
    wait_s: float | None,
) -> None:
    """What runs ends as it says; what waits, or hasn't said yet, takes 10 s as earlier ones did."""
    queued = {"interactive": interactive, "bulk": bulk}
    known = Known(paused=False, queued=queued, running=running, samples=(TEN_SECONDS,))

    assert known.wait_s("interactive", workers) == wait_s


@pytest.mark.parametrize(("running", "queued"), [((None,), 0), ((7.0,), 1)])
def test_nobody_knows_how_long_the_first_dreams_take(
    running: tuple[float | None, ...], queued: int
) -> None:
    """Where no dream has ended yet a guess would be no better than none."""
    waiting: dict[str, int] = {"interactive": queued, "bulk": 0}
    known = Known(paused=False, queued=waiting, running=running, samples=())

    assert known.wait_s("interactive", [worker()]) is None


@pytest.mark.parametrize("queue", ["interactive", "bulk"])
def test_nobody_knows_when_a_pause_ends(queue: QueueName) -> None:
    """Idle workers or not."""
    waiting = {"interactive": 0, "bulk": 0}
    known = Known(paused=True, queued=waiting, running=(), samples=(TEN_SECONDS,))

    assert known.wait_s(queue, [worker("idle")]) is None
