"""Redis goes away in the middle of a dream."""

from collections.abc import Callable
from pathlib import Path

import pytest
import redis

from dream_core.spec import DreamSpec
from jobs.connection import connect
from jobs.ledger import Ledger
from jobs.record import Job, Status
from jobs.settings import Settings
from jobs.store import Picture
from jobs.valkey import wait_until_up
from jobs.wiring import open_ledger

pytestmark = pytest.mark.usefixtures("add_model")


@pytest.fixture
def alone(tmp_path: Path) -> Settings:
    """A stack with an embedded server of its own, that may be killed."""
    return Settings(data_dir=tmp_path / "alone", preload="none", log_format="text")


def wait(client: redis.Redis, ledger: Ledger, job_id: str, wanted: Callable[[Job], bool]) -> Job:
    """Return the job when it is as wanted; its events say when to look again."""
    last = "0"
    while not wanted(job := ledger.get(job_id)):
        events = client.xread({f"dream:{job_id}:events": last}, block=60_000, count=1)
        assert events, job
        last = events[0][1][-1][0]
    return job


def test_a_dream_goes_on_when_redis_was_killed_and_is_back(
    alone: Settings, picture: Picture, start
) -> None:
    """The worker waits and keeps its claim; the next job reaches it over a new connection."""
    client, ledger = connect(alone), open_ledger(alone)
    asked = DreamSpec(model="thin", iterations=60, save_every=60, image_size=64)
    with start("jobs.valkey", alone) as server:
        wait_until_up(client)
        with start("worker", alone):
            job_id = ledger.accept(asked, picture).id
            wait(client, ledger, job_id, lambda job: job.progress.iteration > 0)
            client.execute_command("WAITAOF", 1, 0, 10_000)
            server.kill()
            server.wait()

            with start("jobs.valkey", alone):
                wait_until_up(client)
                job = wait(client, ledger, job_id, lambda job: job.status.terminal)
                following = ledger.accept(asked, picture).id
                after = wait(client, ledger, following, lambda job: job.status.terminal)

    assert (job.status, job.attempt, after.status) == (Status.SUCCEEDED, 1, Status.SUCCEEDED)


def test_a_dream_is_done_once_though_redis_lost_everything(
    alone: Settings, picture: Picture, start
) -> None:
    """The claim went with Redis' data; the folder did not, and the job goes on by a new claim."""
    client, ledger = connect(alone), open_ledger(alone)
    asked = DreamSpec(model="thin", iterations=60, save_every=20, image_size=64)
    with start("jobs.valkey", alone) as server:
        wait_until_up(client)
        with start("worker", alone):
            job_id = ledger.accept(asked, picture).id
            wait(client, ledger, job_id, lambda job: job.progress.iteration > 0)
            server.kill()
            server.wait()
            for file in (alone.data_dir / "valkey" / "appendonlydir").iterdir():
                file.unlink()

            with start("jobs.valkey", alone):
                wait_until_up(client)
                refilled = client.xread({f"dream:{job_id}:events": "0"}, block=60_000)
                assert refilled, "nobody filled the ledger again"
                job = wait(client, ledger, job_id, lambda job: job.status.terminal)
                frames, _ = ledger.frames(job_id)

    assert job.status is Status.SUCCEEDED
    assert [frame.iteration for frame in frames] == [0, 20, 40, 60]
