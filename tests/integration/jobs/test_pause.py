"""The queue held for maintenance."""

import json
from datetime import UTC, datetime

import redis

from dream_core.spec import DreamSpec
from jobs.ledger import Ledger
from jobs.queue import lists
from jobs.reaper import Reaper
from jobs.record import Status
from jobs.store import Picture, Store

SPEC = DreamSpec(iterations=3)


def sent(client: redis.Redis, queue: str = "interactive") -> list[int]:
    """Return how many messages wait, by priority step."""
    return [client.llen(key) for key in lists(queue)]


def test_nothing_is_started_while_the_queue_is_paused(
    ledger: Ledger, client: redis.Redis, picture: Picture
) -> None:
    """What runs goes on and ends; what waits says why, and is taken afterwards."""
    running = ledger.claim(ledger.accept(SPEC, picture).id, "worker")
    waiting = ledger.accept(SPEC, picture)
    assert running is not None

    state = ledger.pause()

    assert state.paused
    assert state.since is not None
    client.set("dreams:paused", 1000)  # a second after the epoch
    assert ledger.pause().since == datetime.fromtimestamp(1, UTC)
    assert ledger.claim(waiting.id, "worker") is None
    held = ledger.get(waiting.id)
    assert (held.status, held.attempt, held.queue.position) == (Status.QUEUED, 0, 1)
    assert held.queue.waits_for == "the end of a pause: the queue is paused"
    running.progress(1, {})
    assert running.succeed() is Status.SUCCEEDED

    assert not ledger.resume().paused
    assert ledger.claim(waiting.id, "worker") is not None


def test_a_message_that_came_during_a_pause_is_sent_again_at_its_end(
    ledger: Ledger, client: redis.Redis, picture: Picture
) -> None:
    """In the order of the queue, ahead of those whose messages are still there; once."""
    first, second, third = (ledger.accept(SPEC, picture).id for _ in range(3))
    bulk = ledger.accept(SPEC, picture, queue="bulk").id
    ledger.pause()
    for job_id in (second, first, bulk):  # as workers that take turns may look at them
        ledger.claim(job_id, "worker")
        ledger.claim(job_id, "worker")
    before = sent(client), sent(client, "bulk")

    ledger.resume()

    assert before == ([0, 3, 0, 0], [0, 1, 0, 0])
    assert (sent(client), sent(client, "bulk")) == ([2, 3, 0, 0], [1, 1, 0, 0])
    ahead = client.lrange("dreams.interactive", 0, -1)
    told = [json.loads(message)["headers"]["kwargsrepr"] for message in ahead]
    assert second in told[0]
    assert first in told[1]  # a list is taken from its end
    assert client.exists("dreams:held", "dreams:unpublished", "dreams:paused") == 0
    ledger.resume()
    assert sent(client) == [2, 3, 0, 0]
    assert ledger.get(third).queue.position == 3


def test_a_resume_that_dies_half_way_loses_no_message(
    ledger: Ledger, client: redis.Redis, store: Store, picture: Picture
) -> None:
    """The ledger counts them as not sent until they are, and the reaper sends what isn't."""

    def nowhere(*_: object, **__: object) -> None:
        raise ConnectionError

    job_id = ledger.accept(SPEC, picture).id
    for key in lists("interactive"):
        client.delete(key)
    ledger.pause()
    ledger.claim(job_id, "worker")

    Ledger(client, store, nowhere).resume()

    assert client.zrange("dreams:unpublished", 0, -1) == [job_id]
    client.zadd("dreams:unpublished", {job_id: 0})
    Reaper(client, ledger, store).sweep()
    assert sent(client) == [1, 0, 0, 0]


def test_the_reaper_sends_nothing_twice_while_the_queue_is_paused(
    ledger: Ledger, client: redis.Redis, store: Store, picture: Picture
) -> None:
    """All that wait have used up their messages then; that is no loss."""
    job_id = ledger.accept(SPEC, picture).id
    for key in lists("interactive"):
        client.delete(key)
    ledger.pause()
    ledger.claim(job_id, "worker")
    reaper = Reaper(client, ledger, store)

    for _ in range(3):
        reaper.sweep()

    assert sent(client) == [0, 0, 0, 0]


def test_a_job_that_ends_or_goes_during_a_pause_is_not_sent_after_it(
    ledger: Ledger, client: redis.Redis, picture: Picture
) -> None:
    """Canceled or deleted, it is held no more."""
    canceled, deleted = (ledger.accept(SPEC, picture).id for _ in range(2))
    ledger.pause()
    for job_id in (canceled, deleted):
        ledger.claim(job_id, "worker")

    ledger.cancel(canceled)
    ledger.delete(deleted)
    ledger.resume()

    assert sent(client) == [0, 2, 0, 0]
    assert ledger.get(canceled).status is Status.CANCELED


def test_the_queue_tells_what_waits_and_runs(ledger: Ledger, picture: Picture) -> None:
    """By queue, with the age of the oldest; a given-back job is as old as it is."""
    empty = ledger.queue()
    assert (empty.paused, empty.since, empty.queued, empty.running) == (False, None, 0, 0)
    assert empty.queues["bulk"].oldest_at is None
    jobs = [ledger.accept(SPEC, picture) for _ in range(3)]
    ledger.accept(SPEC, picture, queue="bulk")
    claims = [ledger.claim(job.id, "worker") for job in jobs[:2]]
    assert claims[0] is not None
    claims[0].give_back()

    state = ledger.queue()

    assert (state.queued, state.running) == (3, 1)
    assert {name: line.queued for name, line in state.queues.items()} == {
        "interactive": 2,
        "bulk": 1,
    }
    assert state.queues["interactive"].oldest_at == jobs[0].created_at
    assert state.queues["interactive"].oldest_age_s is not None
    assert state.queues["interactive"].oldest_age_s >= 0
    assert state.workers == []
