"""Redis goes away in the middle of a dream."""

import threading
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


def test_a_job_that_comes_after_an_outage_is_started_without_much_ado(
    alone: Settings, picture: Picture, start, capfd: pytest.CaptureFixture[str]
) -> None:
    """The worker says that the queue is away, and nothing about Celery's own affairs.

    A server that is just reading its file may send it away once more.
    """
    client, ledger = connect(alone), open_ledger(alone)
    asked = DreamSpec(model="thin", iterations=1, image_size=64)
    with start("jobs.valkey", alone) as server:
        wait_until_up(client)
        with start("worker", alone):
            first = ledger.accept(asked, picture).id
            wait(client, ledger, first, lambda job: job.status.terminal)
            server.kill()
            server.wait()
            with start("jobs.valkey", alone):
                wait_until_up(client)
                second = ledger.accept(asked, picture).id
                done = wait(client, ledger, second, lambda job: job.status.terminal)

    assert (done.status, done.attempt) == (Status.SUCCEEDED, 1)
    said = capfd.readouterr().err
    assert said.count("Connection to broker lost") in (1, 2), said
    assert "DeprecationWarning" not in said


def test_a_full_redis_lets_what_it_has_run_to_the_end(
    alone: Settings, picture: Picture, start
) -> None:
    """The job that runs and those that wait are done by the same worker, before room is made."""
    client, ledger = connect(alone), open_ledger(alone)
    asked = DreamSpec(model="thin", iterations=20, save_every=20, image_size=64)
    with start("jobs.valkey", alone):
        wait_until_up(client)
        with start("worker", alone) as worker:
            first, second = (ledger.accept(asked, picture).id for _ in range(2))
            wait(client, ledger, first, lambda job: job.progress.iteration > 0)
            client.config_set("maxmemory", 1)

            jobs = [
                wait(client, ledger, each, lambda job: job.status.terminal)
                for each in (first, second)
            ]

            assert worker.poll() is None
            client.config_set("maxmemory", 0)
            third = ledger.accept(asked, picture).id
            jobs.append(wait(client, ledger, third, lambda job: job.status.terminal))

    assert {job.status for job in jobs} == {Status.SUCCEEDED}


def test_a_worker_that_starts_at_a_full_redis_waits_says_so_and_comes_back(
    alone: Settings, picture: Picture, start, capfd: pytest.CaptureFixture[str]
) -> None:
    """Celery writes when it connects, and a refusal would end the process."""
    client, ledger = connect(alone), open_ledger(alone)
    asked = DreamSpec(model="thin", iterations=3, save_every=3, image_size=64)
    with start("jobs.valkey", alone):
        wait_until_up(client)
        job_id = ledger.accept(asked, picture).id
        client.config_set("maxmemory", 1)
        with start("worker", alone) as worker:
            refused(client)
            assert worker.poll() is None

            client.config_set("maxmemory", 0)
            job = wait(client, ledger, job_id, lambda job: job.status.terminal)

    assert (job.status, job.attempt) == (Status.SUCCEEDED, 1)
    assert capfd.readouterr().err.count("no job is taken until Redis takes writes") == 1


def test_a_worker_that_waits_at_a_full_redis_can_be_stopped(alone: Settings, start) -> None:
    """SIGTERM ends the wait."""
    client = connect(alone)
    with start("jobs.valkey", alone):
        wait_until_up(client)
        client.config_set("maxmemory", 1)
        with start("worker", alone) as worker:
            refused(client)

            worker.terminate()

            assert worker.wait(60) == 0


def refused(client: redis.Redis) -> None:
    """Wait until a full Redis has refused a worker's write twice: it tries again."""
    while True:
        told = client.info("errorstats").get("errorstat_OOM", {"count": 0})
        if told["count"] >= 2:
            return
        threading.Event().wait(0.05)
