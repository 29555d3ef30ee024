"""A job's deadline: while it waits, while it runs, and while nobody runs it."""

from datetime import timedelta

import pytest
import redis

from dream_core.spec import DreamSpec
from jobs.ledger import Ledger
from jobs.reaper import Reaper
from jobs.record import Status
from jobs.store import Picture, Store

SPEC = DreamSpec(iterations=3)


@pytest.fixture
def reaper(client: redis.Redis, ledger: Ledger, store: Store) -> Reaper:
    """A reaper that judges leases at once."""
    return Reaper(client, ledger, store, grace_s=0)


@pytest.fixture
def pass_deadline(client: redis.Redis):
    """What lets a job's time go by."""

    def passed(job_id: str) -> None:
        client.hset(f"dream:{job_id}", "expires_at", 1)
        client.zadd("dreams:deadlines", {job_id: 1})

    return passed


def test_a_deadline_is_so_long_after_the_job_came(
    ledger: Ledger, store: Store, picture: Picture
) -> None:
    """In the document, and on disk for a ledger that is lost; without one there is none."""
    job = ledger.accept(SPEC, picture, timeout_s=90.5)

    assert job.expires_at == job.created_at + timedelta(seconds=90.5)
    assert store.order(job.id).expires_at == job.expires_at
    assert ledger.accept(SPEC, picture).expires_at is None


def test_a_job_that_waits_past_its_deadline_expires_by_itself(
    ledger: Ledger,
    store: Store,
    reaper: Reaper,
    client: redis.Redis,
    picture: Picture,
    pass_deadline,
) -> None:
    """With no worker up too; its message then finds nothing to do, and its folder says why."""
    late, early = (ledger.accept(SPEC, picture, timeout_s=600).id for _ in range(2))
    pass_deadline(late)

    reaper.sweep()

    job = ledger.get(late)
    assert (job.status, job.problem) == (Status.EXPIRED, None)
    assert job.finished_at is not None
    ending = store.ending(late)
    assert ending is not None
    assert ending.status is Status.EXPIRED
    assert ledger.claim(late, "worker") is None
    assert ledger.get(early).status is Status.QUEUED
    assert client.zrange("dreams:deadlines", 0, -1) == [early]


def test_a_message_of_a_job_past_its_deadline_starts_nothing(
    ledger: Ledger,
    reaper: Reaper,
    client: redis.Redis,
    store: Store,
    picture: Picture,
    pass_deadline,
) -> None:
    """The claim itself looks, whoever sweeps when; the reaper writes the ending down."""
    job_id = ledger.accept(SPEC, picture, timeout_s=600).id
    pass_deadline(job_id)

    assert ledger.claim(job_id, "worker") is None

    assert ledger.get(job_id).status is Status.EXPIRED
    assert store.ending(job_id) is None
    client.zadd("dreams:ended", {job_id: 1}, xx=True)
    reaper.sweep()
    assert store.ending(job_id) is not None
    assert client.exists("dreams:ended") == 0


def test_a_running_job_hears_that_it_is_late(
    ledger: Ledger, reaper: Reaper, picture: Picture, pass_deadline
) -> None:
    """From every write and from its pulse; who ends it is its worker, not the reaper."""
    claim = ledger.claim(ledger.accept(SPEC, picture, timeout_s=600).id, "worker")
    assert claim is not None
    claim.progress(1, {})
    claim.renew()
    assert not claim.late
    pass_deadline(claim.job.id)

    reaper.sweep()
    claim.renew()

    assert claim.late
    assert ledger.get(claim.job.id).status is Status.RUNNING
    claim.late = False
    claim.progress(2, {})
    assert claim.late


def test_a_late_job_that_lost_its_worker_fails(
    ledger: Ledger, reaper: Reaper, client: redis.Redis, picture: Picture, pass_deadline
) -> None:
    """It ran, so it isn't expired; and another attempt could only say the same."""
    claim = ledger.claim(ledger.accept(SPEC, picture, timeout_s=600).id, "killed")
    assert claim is not None
    claim.progress(2, {})
    pass_deadline(claim.job.id)
    client.zadd("dreams:leases", {claim.job.id: 0})

    reaper.sweep()

    job = ledger.get(claim.job.id)
    assert job.status is Status.FAILED
    assert job.problem is not None
    assert job.problem.code == "deadline-passed"
    assert "iteration 2 of 3" in job.problem.detail


def test_a_canceling_job_past_its_deadline_ends_canceled(
    ledger: Ledger, reaper: Reaper, client: redis.Redis, picture: Picture, pass_deadline
) -> None:
    """From canceling only canceled follows."""
    claim = ledger.claim(ledger.accept(SPEC, picture, timeout_s=600).id, "killed")
    assert claim is not None
    ledger.cancel(claim.job.id)
    pass_deadline(claim.job.id)
    client.zadd("dreams:leases", {claim.job.id: 0})

    reaper.sweep()

    assert ledger.get(claim.job.id).status is Status.CANCELED
