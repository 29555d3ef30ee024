import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path

import pytest
import redis

from dream_core.spec import DreamSpec
from jobs.claim import Claim
from jobs.errors import StoreFault
from jobs.ledger import Ledger
from jobs.queue import lists
from jobs.reaper import Reaper
from jobs.record import Job, Status
from jobs.retention import Retention
from jobs.scripts import Scripts
from jobs.store import LEFT_AFTER_S, Picture, Store
from tests.states import saved

KEEP_S = 3600.0
SPEC = DreamSpec(iterations=3)
NUMBERS = {"dreams:places", "dreams:starts"}  # of no job: the last place, the pace
Finish = Callable[..., Job]


@pytest.fixture
def retention(client: redis.Redis, ledger: Ledger, store: Store) -> Retention:
    """What keeps finished dreams for an hour."""
    return Retention(Scripts(client), ledger, store, KEEP_S)


@pytest.fixture
def run(ledger: Ledger, picture: Picture) -> Callable[[], Claim]:
    """Accept a job and claim it; its first frame is published."""

    def begin() -> Claim:
        claim = ledger.claim(ledger.accept(SPEC, picture).id, "worker")
        assert claim is not None
        claim.publish_frame(0, 5, 4, b"frame")
        return claim

    return begin


@pytest.fixture
def finish(client: redis.Redis, ledger: Ledger, run: Callable[[], Claim]) -> Finish:
    """Finish a job, so many seconds ago by Redis' clock."""

    def end(ago_s: float = KEEP_S + 1) -> Job:
        claim = run()
        claim.succeed()
        seconds, _ = client.time()
        client.zadd("dreams:finished", {claim.job.id: (seconds - ago_s) * 1000}, xx=True)
        return ledger.get(claim.job.id)

    return end


def aged(path: Path, seconds: float = LEFT_AFTER_S + 1) -> Path:
    """Make a file look as if nobody had touched it for so long."""
    os.utime(path, (time.time() - seconds,) * 2)
    return path


def settle(store: Store, job_id: str) -> None:
    """Make a job's folder look as if no file had come or gone lately."""
    for path in (store.root / job_id, *(store.root / job_id).iterdir()):
        aged(path)


def names(folder: Path) -> list[str]:
    """Return what lies in a folder."""
    return sorted(path.name for path in folder.iterdir())


def test_what_was_kept_long_enough_goes_with_all_that_is_known_of_it(
    client: redis.Redis, store: Store, retention: Retention, finish: Finish
) -> None:
    """As by DELETE: not a file, not a key."""
    finish()

    retention.sweep()

    assert list(store.root.iterdir()) == []
    assert set(client.keys("dream*")) <= {*NUMBERS, *lists("interactive")}


def test_a_dream_is_kept_until_its_time_is_over(
    ledger: Ledger, retention: Retention, finish: Finish
) -> None:
    """Counted from its end: the youngest of them stays to the last minute."""
    finish()
    kept = finish(KEEP_S - 60)

    retention.sweep()

    assert ledger.newest(10)[0] == [kept]


def test_no_dream_goes_that_has_not_ended(
    client: redis.Redis, ledger: Ledger, picture: Picture, retention: Retention, run
) -> None:
    """However old, and whatever an index says: it waits, or runs."""
    jobs = [ledger.accept(SPEC, picture).id, run().job.id]
    client.zadd("dreams:finished", dict.fromkeys(jobs, 0))

    retention.sweep()

    assert {job.id for job in ledger.newest(10)[0]} == set(jobs)
    assert client.exists("dreams:finished") == 0


def test_with_retention_off_all_is_kept(
    client: redis.Redis, ledger: Ledger, store: Store, finish: Finish
) -> None:
    """Until somebody deletes it."""
    kept = finish(10**9)

    Retention(Scripts(client), ledger, store, None).sweep()

    assert ledger.newest(10)[0] == [kept]


def test_every_process_with_a_reaper_does_it(
    client: redis.Redis, ledger: Ledger, store: Store, finish: Finish
) -> None:
    """API and workers: there is no leader that could be away."""
    finish()

    Reaper(client, ledger, store, keep_s=KEEP_S).sweep()

    assert ledger.newest(10)[0] == []


def test_what_ended_before_there_was_a_retention_goes_too(
    client: redis.Redis, ledger: Ledger, store: Store, finish: Finish
) -> None:
    """Its record is as an earlier version left it; the first sweep of a process puts it right."""
    old = finish()
    client.hset(f"dream:{old.id}", "finished_at", 1)
    client.delete("dreams:finished")

    Reaper(client, ledger, store, keep_s=KEEP_S).sweep()

    assert ledger.newest(10)[0] == []


def test_a_redis_that_lost_everything_still_knows_how_old_a_dream_is(
    client: redis.Redis, ledger: Ledger, store: Store, finish: Finish
) -> None:
    """The day it ended is on disk: a restart makes nothing younger, and nothing older."""
    job = finish(0)
    client.flushall()

    Reaper(client, ledger, store, keep_s=KEEP_S).sweep()

    ended_at = ledger.get(job.id).finished_at
    assert ended_at is not None
    assert client.zscore("dreams:finished", job.id) == pytest.approx(ended_at.timestamp() * 1000)


def test_a_sweep_takes_no_longer_than_its_share(
    client: redis.Redis, ledger: Ledger, store: Store, finish: Finish
) -> None:
    """Lost workers are looked for in the same thread: ten thousand old dreams hold up nobody."""
    for _ in range(3):
        finish()
    ticks = count()
    slow = Retention(Scripts(client), ledger, store, KEEP_S, clock=lambda: float(next(ticks)))

    left = []
    for _ in range(3):
        slow.sweep()
        left.append(len(store.ids()))

    assert left == [2, 1, 0]


def test_two_at_once_do_what_one_does(
    client: redis.Redis, ledger: Ledger, store: Store, finish: Finish
) -> None:
    """The same dream, removed by both: neither trips over the other."""
    for _ in range(20):
        finish()
    both = [Retention(Scripts(client), ledger, store, KEEP_S, clock=lambda: 0.0) for _ in range(2)]

    with ThreadPoolExecutor() as at_once:
        for swept in [at_once.submit(each.sweep) for each in both]:
            swept.result()

    assert list(store.root.iterdir()) == []
    assert client.keys("dream:*") == []


def test_a_folder_that_can_not_be_removed_keeps_no_other(
    client: redis.Redis, ledger: Ledger, store: Store, finish: Finish
) -> None:
    """It is said, and tried again at the next sweep."""
    stuck, *others = (finish().id for _ in range(3))

    class Stuck(Ledger):
        def delete(self, job_id: str) -> None:
            if job_id == stuck:
                raise StoreFault("folder", "Operation not permitted", 1)
            ledger.delete(job_id)

    client.zadd("dreams:finished", {stuck: 0}, xx=True)  # the first in line
    swept = Retention(Scripts(client), Stuck(client, store, ledger.deliver), store, KEEP_S)

    with pytest.raises(StoreFault):
        swept.sweep()

    assert [job.id for job in ledger.newest(10)[0]] == [stuck]
    assert others


@pytest.fixture
def strays(store: Store, finish: Finish) -> tuple[Job, list[Path]]:
    """What killed processes may leave beside, and in, a finished dream."""
    job = finish(0)
    home = store.root / job.id
    files = [
        home / ".ending.json.part",
        home / "frames" / ".2.1-dead.png.part",
        home / "frames" / "2.1-dead.png",
        home / "checkpoints" / "1.1-dead",
        home / "checkpoints" / ".3.1-dead.part",
    ]
    folders = [
        store.root / ".01KAT3Y5W7ZQH9N4C8RSBV6XEM.gone",
        store.root / ".01KAT3Y5W7ZQH9N4C8RSBV6XEN.new",
        store.aside / "01KAT3Y5W7ZQH9N4C8RSBV6XEP.1",
    ]
    store.write_checkpoint(job.id, 3, "2-last", saved(b"state"))
    for file in files:
        file.write_bytes(b"half")
    for folder in folders:
        folder.mkdir(parents=True)
        aged(folder)
    settle(store, job.id)
    return job, [*files, *folders]


def test_files_of_nobody_go_and_those_of_a_dream_stay(
    store: Store, ledger: Ledger, retention: Retention, strays: tuple[Job, list[Path]]
) -> None:
    """Halves, frames of dead fences, older states, what was set aside and kept long enough."""
    job, files = strays

    retention.sweep()

    assert [path for path in files if path.exists()] == []
    assert names(store.root / job.id) == [
        "checkpoints",
        "ending.json",
        "frames",
        "job.json",
        "source.png",
    ]
    assert ledger.frame_path(job.id, 0).read_bytes() == b"frame"
    assert [path.name for path in store.checkpoints(job.id)] == ["3.2-last"]


def test_what_somebody_is_just_making_stays(store: Store, retention: Retention, run) -> None:
    """An API's new folder, a worker's frame that isn't published yet, a dream that runs."""
    claim = run()
    running = store.write_frame(claim.job.id, 1, claim.fence, b"not yet published")
    settle(store, claim.job.id)
    made = store.root / ".01KAT3Y5W7ZQH9N4C8RSBV6XEN.new"
    made.mkdir()
    unknown = store.root / "01KAT3Y5W7ZQH9N4C8RSBV6XEM"  # accepted a moment ago
    unknown.mkdir()

    retention.sweep()

    assert all(path.exists() for path in (running, made, unknown))


def test_a_folder_that_no_ledger_knows_is_taken_in(
    client: redis.Redis, store: Store, ledger: Ledger, picture: Picture, retention: Retention
) -> None:
    """Its record went without a restart of Redis: what is on disk was accepted."""
    job = ledger.accept(SPEC, picture)
    client.delete(f"dream:{job.id}")
    settle(store, job.id)

    retention.sweep()

    assert ledger.get(job.id).status is Status.QUEUED


def test_a_round_begins_anew_when_it_is_due(
    client: redis.Redis, store: Store, ledger: Ledger, finish: Finish
) -> None:
    """And not before: a ledger of ten thousand dreams is looked through once an hour."""
    now = [0.0]
    hourly = Retention(Scripts(client), ledger, store, KEEP_S, clock=lambda: now[0])
    job = finish(0)
    hourly.sweep()
    hourly.sweep()
    dead = store.write_frame(job.id, 2, "1-dead", b"zombie")
    settle(store, job.id)

    hourly.sweep()
    early = dead.exists()
    now[0] = 4000.0
    hourly.sweep()
    hourly.sweep()

    assert early
    assert not dead.exists()
