"""What a client was told stays true when Valkey is killed and has forgotten it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from dream_core.spec import DreamSpec
from jobs.claim import Claim
from jobs.connection import connect
from jobs.ledger import Ledger
from jobs.reaper import Reaper
from jobs.record import Job, Status
from jobs.settings import Settings
from jobs.store import Picture, Store
from tests.faults.outside import Outside, outside

SPEC = DreamSpec(iterations=100)


@pytest.fixture
def valkey(tmp_path: Path) -> Iterator[Outside]:
    """A server of the test's own, to be killed."""
    with outside(tmp_path / "valkey") as up:
        yield up


@pytest.fixture
def client(valkey: Outside) -> redis.Redis:
    """A connection to it."""
    return connect(Settings(data_dir=valkey.data_dir))


@pytest.fixture
def ledger(client: redis.Redis, tmp_path: Path) -> Ledger:
    """A ledger on it, without a broker."""
    return Ledger(client, Store(tmp_path / "data"), lambda *_, **__: None)


@pytest.fixture
def reaper(client: redis.Redis, ledger: Ledger, tmp_path: Path) -> Reaper:
    """A reaper on it, which has seen no Redis yet."""
    return Reaper(client, ledger, Store(tmp_path / "data"))


def running(ledger: Ledger, picture: Picture) -> Claim:
    """Return a claim of a new job."""
    claim = ledger.claim(ledger.accept(SPEC, picture).id, "worker")
    assert claim is not None
    return claim


def last_event(client: redis.Redis, job_id: str) -> tuple[int, int, int]:
    """Return the id of the last thing that happened to a job, two numbers, and its seq."""
    found: Any = client.xrevrange(f"dream:{job_id}:events", count=1)
    at, event = found[0]
    milliseconds, number = at.split("-")
    return int(milliseconds), int(number), int(event["seq"])


def forget(valkey: Outside, client: redis.Redis, length: int | None) -> None:
    """Kill the server, and start it on the first bytes of what it had written; None: on nothing."""
    client.execute_command("WAITAOF", 1, 0, 10_000)
    valkey.kill()
    if length is None:
        valkey.forget_everything()
    else:
        valkey.forget_after(length)
    valkey.start()


def written(valkey: Outside, client: redis.Redis) -> int:
    """Return how much is written by now of all that was told."""
    client.execute_command("WAITAOF", 1, 0, 10_000)
    return valkey.written()


def test_seq_and_events_of_a_job_go_past_all_that_a_lost_second_had_told(
    valkey: Outside, client: redis.Redis, ledger: Ledger, picture: Picture
) -> None:
    """At the first look already: no client sees a lower seq, or the same for something else."""
    claim = running(ledger, picture)
    length = written(valkey, client)
    for iteration in range(1, 60):
        claim.progress(iteration, {"relu5_1": 1.0})
    told, event = ledger.get(claim.job.id), last_event(client, claim.job.id)

    forget(valkey, client, length)
    now = ledger.get(claim.job.id)
    claim.progress(60, {"relu5_1": 1.0})

    assert now.progress.iteration == 0
    assert now.seq > told.seq
    assert ledger.get(claim.job.id).seq == now.seq + 1
    later = last_event(client, claim.job.id)
    assert later[:2] > event[:2]
    assert later[2] == now.seq + 1


def test_seq_goes_past_that_of_an_ending_that_a_lost_second_had_told(
    valkey: Outside, client: redis.Redis, ledger: Ledger, reaper: Reaper, picture: Picture
) -> None:
    """Between the start and the refill it seems to run once more; then it has ended."""
    claim = running(ledger, picture)
    length = written(valkey, client)
    claim.succeed()
    told = ledger.get(claim.job.id)

    forget(valkey, client, length)
    before = ledger.get(claim.job.id)
    reaper.sweep()
    after = ledger.get(claim.job.id)

    assert (before.status, after.status) == (Status.RUNNING, Status.SUCCEEDED)
    assert told.seq < before.seq < after.seq


@pytest.mark.parametrize("losses", [1, 2])
def test_seq_and_events_go_past_all_that_a_lost_redis_had_told(
    valkey: Outside,
    client: redis.Redis,
    ledger: Ledger,
    reaper: Reaper,
    picture: Picture,
    losses: int,
) -> None:
    """Filled again from the disk, which knows no seq of what has not ended."""
    claim = running(ledger, picture)
    claim.progress(1, {"relu5_1": 1.0})
    done = ledger.cancel(ledger.accept(SPEC, picture).id)

    for _ in range(losses):
        told, event = ledger.get(claim.job.id), last_event(client, claim.job.id)
        forget(valkey, client, None)
        reaper.sweep()

        assert ledger.get(claim.job.id).seq > told.seq
        assert last_event(client, claim.job.id) > event
        assert last_event(client, claim.job.id)[2] > told.seq
        again = ledger.get(done.id)
        assert (again.status, again.finished_at) == (done.status, done.finished_at)
        assert again.seq > done.seq
        done = again


def test_a_restart_that_forgets_nothing_raises_seq_once_and_leaves_endings(
    valkey: Outside, client: redis.Redis, ledger: Ledger, reaper: Reaper, picture: Picture
) -> None:
    """Nobody can tell it from one that did; what has ended is the last there was to know."""
    waiting, done = ledger.accept(SPEC, picture), ledger.accept(SPEC, picture)
    done = ledger.cancel(done.id)

    forget(valkey, client, written(valkey, client))
    first = ledger.get(waiting.id)
    reaper.sweep()

    assert first.seq > waiting.seq
    assert like(first, seq=waiting.seq, queue=waiting.queue) == waiting
    assert ledger.get(waiting.id) == first
    assert ledger.get(done.id) == done


def test_what_was_deleted_in_a_lost_second_does_not_come_back(
    valkey: Outside, client: redis.Redis, ledger: Ledger, reaper: Reaper, picture: Picture
) -> None:
    """Its folder is gone, so it could neither be seen nor run; but where no disk is, none goes."""
    kept, waiting = ledger.accept(SPEC, picture).id, ledger.accept(SPEC, picture).id
    ended = ledger.cancel(ledger.accept(SPEC, picture).id).id
    length = written(valkey, client)
    for job_id in (waiting, ended):
        ledger.delete(job_id)

    forget(valkey, client, length)
    assert {job.id for job in ledger.newest(9)[0]} == {kept, waiting, ended}
    reaper.sweep()

    assert [job.id for job in ledger.newest(9)[0]] == [kept]
    assert client.keys(f"*{waiting}*") == client.keys(f"*{ended}*") == []


def test_a_disk_that_is_not_there_costs_no_record(
    ledger: Ledger, client: redis.Redis, picture: Picture, tmp_path: Path
) -> None:
    """Mounted again, it is found as it was."""
    job_id = ledger.accept(SPEC, picture).id

    Reaper(client, ledger, Store(tmp_path / "unmounted")).sweep()

    assert ledger.get(job_id).id == job_id


def like(job: Job, **changes: Any) -> Job:
    """Return a job but for some fields."""
    return job.model_copy(update=changes)
