"""What a worker's pulse says of the memory that there is for a dream."""

from contextlib import ExitStack
from dataclasses import dataclass

import redis

from dream_core.spec import DreamSpec
from jobs.ledger import Ledger
from jobs.presence import Memory, Presence, workers
from jobs.store import Picture
from worker.heartbeat import Heartbeat


@dataclass
class Host:
    """A host whose free memory a test sets."""

    free_bytes: int

    def measure(self, device: str | None) -> Memory:
        """Tell it as a worker's own measure does."""
        return Memory(host_free_bytes=self.free_bytes if device else None)


def test_an_idle_worker_tells_the_memory_there_is_and_a_dreaming_one_what_there_was(
    client: redis.Redis, ledger: Ledger, picture: Picture
) -> None:
    """By it a dream is refused before it waits; what another dream takes comes free."""
    host = Host(9_000)
    pulse = Heartbeat(client, Presence(host="host", slot=0, pid=1), measure=host.measure)
    claim = ledger.claim(ledger.accept(DreamSpec(), picture).id, "host:0")
    assert claim is not None

    def told(free_bytes: int) -> int | None:
        host.free_bytes = free_bytes
        pulse.beat()
        return workers(client)[0].memory_bytes

    pulse.beat()
    assert workers(client)[0].memory_bytes is None
    pulse.tell(device="cpu", memory_bytes=8_000)
    assert told(2_000) == 8_000  # while it measures its machine
    pulse.idle()
    assert told(7_000) == 7_000
    assert told(5_000) == 5_000
    with pulse.dreaming(claim):
        assert told(1_000) == 5_000
        host.free_bytes = 6_000
    assert workers(client)[0].memory_bytes == 6_000


def test_what_a_dream_takes_while_it_is_measured_counts_as_free(
    client: redis.Redis, ledger: Ledger, picture: Picture
) -> None:
    """The pulse is a thread of its own: a dream begins at any moment of it."""
    claim = ledger.claim(ledger.accept(DreamSpec(), picture).id, "host:0")
    assert claim is not None
    host, dreams = Host(9_000), ExitStack()
    begin: list[Heartbeat] = []

    def measure(device: str | None) -> Memory:
        if begin:
            dreams.enter_context(begin.pop().dreaming(claim))
            host.free_bytes = 1_000
        return host.measure(device)

    pulse = Heartbeat(client, Presence(host="host", slot=0, pid=1), measure=measure)
    pulse.tell(device="cpu")
    pulse.idle()
    with dreams:
        begin.append(pulse)
        pulse.beat()
        pulse.beat()

        (told,) = workers(client)
        assert (told.state, told.memory_bytes) == ("dreaming", 9_000)
