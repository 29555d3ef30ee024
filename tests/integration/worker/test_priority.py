from collections.abc import Callable
from pathlib import Path

import pytest

from dream_core.spec import DreamSpec
from jobs.ledger import Ledger
from jobs.record import Job
from jobs.settings import Settings
from jobs.store import Picture

pytestmark = pytest.mark.usefixtures("add_model")


def niceness(pid: int) -> list[int]:
    """Return the niceness of a process's threads, those first that have computed most."""
    stats = [
        path.read_text().rpartition(")")[2].split()
        for path in Path(f"/proc/{pid}/task").glob("*/stat")
    ]
    return [int(stat[16]) for stat in sorted(stats, key=lambda stat: -int(stat[11]))]


@pytest.mark.skipif(
    not Path("/proc/self/task").exists(), reason="threads are told of by Linux only"
)
def test_what_dreams_leaves_the_cores_to_the_api(
    settings: Settings,
    ledger: Ledger,
    picture: Picture,
    start: Callable[..., object],
    until: Callable[[str, Callable[[Job], bool]], Job],
) -> None:
    """A worker starts at full speed, then yields: its main thread and the one that dreams."""
    asked = DreamSpec(model="thin", iterations=10_000, save_every=10_000, image_size=64)
    with start("worker", settings) as child:
        job_id = ledger.accept(asked, picture).id
        until(job_id, lambda job: job.progress.iteration > 300)

        assert niceness(child.pid)[:2] == [10, 10]

        ledger.cancel(job_id)
        until(job_id, lambda job: job.status.terminal)
