"""What version 1 has written is read for good; what a later one has written is refused by name.

`tests/fixtures/version_1` was written by the code of version 1 and is never written again: two
dreams on disk, one ended and one stopped at iteration 2 of 4, and what Redis held of the latter.
"""

import json
import logging
import shutil
from pathlib import Path
from typing import Any

import pytest
import redis

from dream_core.spec import DreamSpec
from jobs.errors import UnknownVersion
from jobs.ledger import Ledger
from jobs.presence import workers
from jobs.queue import lists
from jobs.reaper import Reaper
from jobs.record import VERSION, Status
from jobs.settings import Settings
from jobs.store import Picture, Store
from worker.checkpoint import unpack

WRITTEN = Path(__file__).parents[2] / "fixtures" / "version_1"
RECORD = json.loads((WRITTEN / "record.json").read_text())
STOPPED, ENDED = RECORD["id"], "01M86G4469BZW1V3YJRCX284RJ"
QUEUE = "dreams.interactive"


@pytest.fixture
def disk(store: Store) -> Store:
    """A data folder that version 1 has left."""
    shutil.copytree(WRITTEN / "dreams", store.root)
    for path in store.root.rglob("*"):
        path.touch()  # a clone may be hours old, and what lies there so long is looked at again
    return store


@pytest.fixture
def reaper(client: redis.Redis, ledger: Ledger, store: Store) -> Reaper:
    """A reaper that judges leases at once."""
    return Reaper(client, ledger, store, grace_s=0)


def lines(log: pytest.LogCaptureFixture) -> list[str]:
    """Return what was said of versions."""
    return [said for said in log.messages if "this release knows" in said]


@pytest.mark.usefixtures("disk")
def test_dreams_that_version_1_left_on_disk_are_known_again(ledger: Ledger, reaper: Reaper) -> None:
    """Of `job.json` and `ending.json` with nothing in Redis: a backup of the pictures alone."""
    reaper.sweep()

    done, stopped = ledger.get(ENDED), ledger.get(STOPPED)
    assert (done.status, done.frames.count, done.attempt) == (Status.SUCCEEDED, 2, 1)
    assert (stopped.status, stopped.frames.latest) == (Status.QUEUED, 2)
    assert stopped.spec["layers"] == {"relu2_1": 1000.0}


def test_a_record_that_version_1_left_in_redis_is_read(client: redis.Redis, ledger: Ledger) -> None:
    """An upgrade in place finds the hash as it was."""
    client.hset(f"dream:{STOPPED}", mapping=RECORD["hash"])
    client.zadd(f"dream:{STOPPED}:frames", dict(RECORD["frames"]))

    job = ledger.get(STOPPED)

    assert (job.status, job.attempt) == (Status.RUNNING, 1)
    assert job.seq >= 9
    assert (job.progress.iteration, job.frames.latest) == (2, 2)
    assert job.run is not None
    assert job.run.plan["executor"] == "autograd"


def test_a_record_from_before_records_had_a_version_is_read(
    client: redis.Redis, ledger: Ledger
) -> None:
    """The first ones had none."""
    unnumbered = {name: value for name, value in RECORD["hash"].items() if name != "version"}
    client.hset(f"dream:{STOPPED}", mapping=unnumbered)
    client.zadd("dreams:all", {STOPPED: 0})

    assert ledger.get(STOPPED) in ledger.newest(10)[0]


def test_a_state_that_version_1_saved_is_read() -> None:
    """The picture and both of Adam's moments, at the iteration that its name says."""
    (file,) = (WRITTEN / "dreams" / STOPPED / "checkpoints").iterdir()

    with file.open("rb") as content:
        state = unpack(content)

    assert state["iteration"] == 2
    assert state["picture"].shape[-2:] == (25, 32)


@pytest.mark.usefixtures("add_model")
def test_a_message_of_version_1_starts_its_dream_which_goes_on_from_its_state(
    settings: Settings,
    disk: Store,
    client: redis.Redis,
    reaper: Reaper,
    start,
    until,
) -> None:
    """All four at once, by today's worker: no iteration is done twice, no frame made anew."""
    before = [path.read_bytes() for path in disk.frames(STOPPED).values()]
    reaper.sweep()
    client.delete(*lists("interactive"))
    client.lpush(QUEUE, (WRITTEN / "message.json").read_text())

    with start("worker", settings):
        job = until(STOPPED, lambda job: job.status.terminal)

    assert job.status is Status.SUCCEEDED, job.problem
    events: Any = client.xrange(f"dream:{STOPPED}:events")
    assert [event["type"] for _, event in events].count("progress") == 2
    assert [path.read_bytes() for path in disk.frames(STOPPED).values()][:3] == before


def test_a_record_of_a_later_version_is_refused_by_name_and_left_as_it_is(
    client: redis.Redis,
    ledger: Ledger,
    reaper: Reaper,
    store: Store,
    picture: Picture,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Whoever asks, whatever is due: one sentence in the log, and not a field of it changes."""
    caplog.set_level(logging.WARNING)
    later, ours = (ledger.accept(DreamSpec(), picture).id for _ in range(2))
    claim = ledger.claim(later, "worker")
    assert claim is not None
    client.hset(f"dream:{later}", "version", VERSION + 1)
    client.zadd("dreams:leases", {later: 0})
    before = client.hgetall(f"dream:{later}")

    for _ in range(2):
        reaper.sweep()
    for call in (ledger.get, ledger.cancel, ledger.retry, ledger.delete):
        with pytest.raises(UnknownVersion, match=f"{later} has version 2, this release knows 1"):
            call(later)
    with pytest.raises(UnknownVersion):
        claim.renew()

    assert client.hgetall(f"dream:{later}") == before
    assert store.has(later)
    assert [job.id for job in ledger.newest(10)[0]] == [ours]
    assert len(lines(caplog)) == 2  # by the refill, by the sweeps


@pytest.mark.parametrize("name", ["job.json", "ending.json"])
def test_a_file_of_a_later_version_is_refused_by_name_and_left_as_it_is(
    disk: Store, ledger: Ledger, reaper: Reaper, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    """A downgrade on a folder that a later release has used: the others are all there."""
    file = disk.root / ENDED / name
    told = json.loads(file.read_text()) | {"version": 2, "new": True}
    file.write_text(json.dumps(told))

    for _ in range(2):
        reaper.sweep()

    assert [job.id for job in ledger.newest(10)[0]] == [STOPPED]
    assert json.loads(file.read_text()) == told
    (said,) = lines(caplog)
    assert f"{name} has version 2, this release knows 1; run the release that wrote it" in said


def test_what_a_worker_of_a_later_version_says_of_itself_is_left_out(
    client: redis.Redis, caplog: pytest.LogCaptureFixture
) -> None:
    """While one of two is upgraded, the API still answers."""
    client.sadd("workers", "later:0")
    client.set("worker:later:0", json.dumps({"version": 2, "mood": "fine"}))

    assert [workers(client) for _ in range(3)] == [[]] * 3
    assert len(lines(caplog)) == 1
