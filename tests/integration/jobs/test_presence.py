import redis

from jobs.presence import EXPIRES_S, Presence, announce, withdraw, workers
from jobs.scripts import Scripts


def worker(slot: int, **more: object) -> Presence:
    """Return a worker of this host."""
    return Presence(host="host", slot=slot, pid=slot + 1, **more)  # type: ignore[arg-type]


def test_a_worker_is_seen_as_it_last_said(client: redis.Redis) -> None:
    """One key a worker: the last word counts, and others don't touch it."""
    announce(Scripts(client), worker(1))
    announce(Scripts(client), worker(0, state="starting"))
    announce(Scripts(client), worker(0, state="idle", device="cpu"))

    assert workers(client) == [worker(0, state="idle", device="cpu"), worker(1)]


def test_a_worker_that_is_silent_is_forgotten(client: redis.Redis) -> None:
    """Its key runs out, and its name goes with the next look."""
    announce(Scripts(client), worker(0))
    assert 0 < client.ttl("worker:host:0") <= EXPIRES_S

    client.persist("worker:host:0")
    client.delete("worker:host:0")  # as Redis does when it runs out

    assert workers(client) == []
    assert client.exists("workers") == 0


def test_a_worker_that_leaves_is_gone_at_once(client: redis.Redis) -> None:
    """Nobody waits 15 s for a worker that said goodbye."""
    announce(Scripts(client), worker(0))

    withdraw(client, "host:0")

    assert workers(client) == []
