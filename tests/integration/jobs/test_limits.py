"""How much is taken on: jobs that wait, and the disk that they may take."""

import pytest
import redis

from dream_core.spec import DreamSpec
from jobs.disk import Footprint
from jobs.errors import DiskFull, LedgerAway, QueueFull
from jobs.ledger import Ledger
from jobs.limits import Limits
from jobs.reaper import Reaper
from jobs.record import Status
from jobs.scripts import Scripts
from jobs.store import Picture, Store

SPEC = DreamSpec(iterations=3, image_size=64)


def silent(*_: object, **__: object) -> None:
    """A broker that takes everything."""


class SmallDisk(Store):
    """A store on a disk whose free bytes a test sets."""

    free = 0

    def free_bytes(self) -> int:
        return self.free


@pytest.fixture
def few(client: redis.Redis, store: Store) -> Ledger:
    """A ledger where two may wait."""
    return Ledger(client, store, silent, limits=Limits(max_queued=2))


def test_more_than_may_wait_are_told_when_to_come_again(
    few: Ledger, store: Store, picture: Picture
) -> None:
    """Both queues count; nothing of the refused one is left."""
    few.accept(SPEC, picture)
    few.accept(SPEC, picture, queue="bulk")

    with pytest.raises(QueueFull, match="2 dreams are waiting, the limit is 2; try again in 30 s"):
        few.accept(SPEC, picture)

    assert len(list(store.root.iterdir())) == 2


def test_a_place_is_free_when_a_job_starts_or_is_canceled(few: Ledger, picture: Picture) -> None:
    """The limit is on what waits; and then the pace is known that tells when to come again."""
    first, second = few.accept(SPEC, picture), few.accept(SPEC, picture)
    few.claim(first.id, "worker")
    few.accept(SPEC, picture)
    with pytest.raises(QueueFull) as full:
        few.accept(SPEC, picture)
    assert full.value.retry_after_s == 1  # the only start was within a second

    few.cancel(second.id)

    assert few.accept(SPEC, picture).status is Status.QUEUED


def test_the_limit_holds_where_two_come_at_once(
    few: Ledger, store: Store, picture: Picture
) -> None:
    """The one who was let in and then wrote a picture is asked once more, with the record."""
    few.accept(SPEC, picture)

    class Slow:
        height, width = picture.height, picture.width

        def save_png(self, target: object) -> None:
            few.accept(SPEC, picture)  # another, in the meantime
            picture.save_png(target)  # type: ignore[arg-type]

    with pytest.raises(QueueFull):
        few.accept(SPEC, Slow())

    assert len(few.newest(9)[0]) == len(list(store.root.iterdir())) == 2


def test_a_given_back_job_always_has_a_place(few: Ledger, picture: Picture) -> None:
    """It was accepted; the limit is for those that come."""
    claim = few.claim(few.accept(SPEC, picture).id, "worker")
    few.accept(SPEC, picture)
    few.accept(SPEC, picture)
    assert claim is not None

    claim.give_back()

    assert few.queue().queued == 3


def test_a_dream_whose_frames_may_not_fit_is_refused_with_those_that_do(
    client: redis.Redis, settings, picture: Picture
) -> None:
    """Known before it is accepted, for frames at their worst; the floor stays free."""
    spec = DreamSpec(iterations=30, image_size=400)
    takes = Footprint.of(spec.model_dump(), picture.height, picture.width)
    disk, floor = SmallDisk(settings.data_dir), takes.bytes
    ledger = Ledger(client, disk, silent, limits=Limits(min_free_disk=floor))
    disk.free = floor + takes.bytes // 2

    with pytest.raises(DiskFull, match="31 frames of 400 × 320 may take"):
        ledger.accept(spec, picture)

    assert not disk.root.exists()  # not a byte was written
    disk.free = floor + takes.bytes + 20_000  # the source's, once more
    assert ledger.accept(spec, picture).status is Status.QUEUED


def test_what_was_accepted_above_the_floor_goes_on_under_it_and_what_goes_makes_room(
    client: redis.Redis, settings, picture: Picture
) -> None:
    """The floor is for new dreams; when a finished one goes, the next is taken again."""
    disk = SmallDisk(settings.data_dir)
    ledger = Ledger(client, disk, silent, limits=Limits(min_free_disk=1_000_000_000))
    disk.free = 2_000_000_000
    done, waiting = (ledger.accept(SPEC, picture).id for _ in range(2))
    disk.free = 400_000_000

    claim = ledger.claim(done, "worker")
    assert claim is not None
    claim.publish_frame(0, 64, 51, b"frame")
    claim.succeed()
    with pytest.raises(DiskFull, match=r"0\.4 GB free, 1 GB are kept free \(DREAM_MIN_FREE_DISK\)"):
        ledger.accept(SPEC, picture)
    with pytest.raises(DiskFull):
        ledger.retry(done)

    assert ledger.get(waiting).status is Status.QUEUED
    assert sorted(disk.ids()) == sorted([done, waiting])
    ledger.delete(done)  # as retention does
    disk.free = 2_000_000_000
    assert ledger.accept(SPEC, picture).status is Status.QUEUED


def test_what_others_may_still_take_is_not_given_away(
    client: redis.Redis, settings, picture: Picture
) -> None:
    """Till they have taken it, or have ended; each frame that is there counts no more."""
    disk = SmallDisk(settings.data_dir)
    ledger = Ledger(client, disk, silent)
    takes = Footprint.of(SPEC.model_dump(), picture.height, picture.width)
    disk.free = int(1.5 * takes.bytes)
    first = ledger.accept(SPEC, picture)
    with pytest.raises(DiskFull):
        ledger.accept(SPEC, picture)
    claim = ledger.claim(first.id, "worker")
    assert claim is not None

    claim.publish_frame(0, 64, 51, b"frame")
    claim.publish_frame(0, 64, 51, b"frame")  # twice is once

    assert int(client.hget("dreams:disk", first.id)) == takes.bytes - takes.frame_bytes
    claim.succeed()
    assert client.exists("dreams:disk") == 0
    assert ledger.accept(SPEC, picture).status is Status.QUEUED


def test_a_refill_knows_what_jobs_may_still_take(
    client: redis.Redis, ledger: Ledger, store: Store, picture: Picture
) -> None:
    """Else a lost Redis would promise the disk twice."""
    job = ledger.accept(SPEC, picture)
    claim = ledger.claim(job.id, "worker")
    assert claim is not None
    store.write_frame(job.id, 0, claim.fence, b"\x89PNG" + bytes(30))
    before = int(client.hget("dreams:disk", job.id))
    client.flushall()

    Reaper(client, ledger, store).sweep()

    takes = Footprint.of(SPEC.model_dump(), picture.height, picture.width)
    assert int(client.hget("dreams:disk", job.id)) == before - takes.frame_bytes


class LostAnswer(Scripts):
    """A Redis that takes a job and whose answer never arrives."""

    def run(self, name: str, *args: str | int) -> object:
        told = super().run(name, *args)
        if name == "accept":
            raise LedgerAway("the connection broke")
        return told


def test_a_job_whose_acceptance_nobody_heard_of_is_gone(
    client: redis.Redis, ledger: Ledger, store: Store, picture: Picture
) -> None:
    """Its user was told no: no record without a picture is left, and none is run."""
    deaf = Ledger(client, store, silent, LostAnswer(client))
    with pytest.raises(LedgerAway):
        deaf.accept(SPEC, picture)
    ((left,), _) = ledger.newest(9)
    reaper = Reaper(client, ledger, store)
    reaper.sweep()
    assert ledger.newest(9)[0] == [left]  # it may be one that is just being accepted

    client.zadd("dreams:unpublished", {left.id: 0}, xx=True)
    reaper.sweep()

    assert ledger.newest(9)[0] == []
    assert list(store.root.iterdir()) == []
    assert set(client.keys("dream*")) == {"dreams:places", "dreams:watch"}
