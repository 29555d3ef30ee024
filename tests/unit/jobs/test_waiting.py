import pytest

from jobs.presence import Presence, State
from jobs.waiting import waits_for


def worker(state: State, **more: object) -> Presence:
    """Return a worker in that state."""
    return Presence(host="host", slot=0, pid=1, state=state, **more)  # type: ignore[arg-type]


PULLING = worker("pulling", model="vgg19", bytes_done=41_300_000, bytes_total=79_400_000)
UNSIZED = worker("pulling", model="vgg16", bytes_done=7_000_000)


@pytest.mark.parametrize(
    ("position", "workers", "said"),
    [
        (1, [], "a worker; none is up"),
        (3, [worker("stopping")], "a worker; none is up"),
        (1, [worker("starting")], "a worker that is starting"),
        (1, [worker("starting"), PULLING], "the weights of vgg19: 41 of 80 MB"),
        (1, [UNSIZED], "the weights of vgg16: 7 MB"),
        (1, [PULLING, worker("idle")], "an idle worker, which is about to take it"),
        (1, [worker("dreaming")], "the dream that runs"),
        (1, [worker("dreaming"), worker("dreaming")], "one of the 2 dreams that run"),
        (2, [worker("dreaming")], "1 dream ahead"),
        (3, [worker("idle")], "2 dreams ahead"),
    ],
)
def test_a_queued_job_says_what_has_to_happen_first(
    position: int, workers: list[Presence], said: str
) -> None:
    """A worker that can dream decides; only where there is none, what the others do."""
    assert waits_for(position, workers) == said
