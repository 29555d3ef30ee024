import io
import json
import os
from collections.abc import Callable

import pytest
import redis
from PIL import Image

from dream_core.spec import DreamSpec
from jobs.claim import Claim
from jobs.errors import FenceLost, UnknownDream
from jobs.ledger import Ledger
from jobs.queue import lists
from jobs.reaper import LOSSES, Reaper
from jobs.record import Problem, Status
from jobs.store import Picture, Store

SPEC = DreamSpec(iterations=3)
PROBLEM = Problem(code="internal", title="Something went wrong", detail="it broke")


@pytest.fixture
def reaper(client: redis.Redis, ledger: Ledger, store: Store) -> Reaper:
    """A reaper that has not seen this Redis yet, as after every start of either."""
    return Reaper(client, ledger, store)


def run(ledger: Ledger, picture: Picture) -> Claim:
    """Accept a job and claim it; its first frame is published."""
    claim = ledger.claim(ledger.accept(SPEC, picture).id, "worker")
    assert claim is not None
    claim.publish_frame(0, 5, 4, PNG)
    return claim


def png() -> bytes:
    """Return a picture, 5 × 4."""
    content = io.BytesIO()
    Image.new("RGB", (5, 4)).save(content, "PNG")
    return content.getvalue()


PNG = png()


def test_a_redis_that_lost_everything_knows_every_job_again(
    ledger: Ledger, reaper: Reaper, client: redis.Redis, picture: Picture
) -> None:
    """Queued jobs wait, ended jobs are as they were, and only the queued ones are sent."""
    done, failed = run(ledger, picture), run(ledger, picture)
    done.progress(3, {"relu5_1": 2.0})
    done.succeed()
    failed.fail(PROBLEM)
    canceled = ledger.cancel(ledger.accept(SPEC, picture).id)
    waiting = ledger.accept(SPEC, picture)
    before = {job.id: job for job in ledger.newest(10)[0]}
    client.flushall()

    reaper.sweep()

    after = {job.id: job for job in ledger.newest(10)[0]}
    assert after.keys() == before.keys()
    for job_id, job in after.items():
        assert job.model_copy(update={"seq": 0}) == before[job_id].model_copy(update={"seq": 0})
        assert job.seq >= before[job_id].seq
    result = ledger.result_path(done.job.id)
    assert result is not None
    assert result.exists()
    assert sum(client.llen(key) for key in lists("interactive")) == 1
    assert ledger.claim(canceled.id, "worker") is None
    assert ledger.claim(waiting.id, "worker") is not None


def go_back(client: redis.Redis, job_id: str, record: dict[str, str], frames: list[str]) -> None:
    """Put a job back to what Redis knew of it a second ago."""
    client.delete(f"dream:{job_id}", f"dream:{job_id}:frames")
    client.hset(f"dream:{job_id}", mapping=record)
    client.zadd(f"dream:{job_id}:frames", {each: json.loads(each)["iteration"] for each in frames})


def run_into_a_lost_second(ledger: Ledger, client: redis.Redis, picture: Picture) -> Claim:
    """Run a job; a Redis that has started anew has forgotten its second and its third frame."""
    claim = run(ledger, picture)
    job_id = claim.job.id
    before = client.hgetall(f"dream:{job_id}"), client.zrange(f"dream:{job_id}:frames", 0, -1)
    for iteration in (1, 2):
        claim.publish_frame(iteration, 5, 4, PNG)
    go_back(client, job_id, *before)
    client.hset(f"dream:{job_id}", "compared", "an earlier life")
    return claim


def test_frames_of_a_lost_second_are_known_again_and_the_dream_goes_on(
    ledger: Ledger, reaper: Reaper, client: redis.Redis, picture: Picture
) -> None:
    """Its worker has them behind it and would never publish them again: a hole for ever."""
    claim = run_into_a_lost_second(ledger, client, picture)
    job_id = claim.job.id

    reaper.sweep()
    claim.publish_frame(3, 5, 4, PNG)

    frames, _ = ledger.frames(job_id)
    assert [frame.iteration for frame in frames] == [0, 1, 2, 3]
    assert claim.succeed() is Status.SUCCEEDED


@pytest.mark.parametrize("canceled", [False, True])
@pytest.mark.parametrize("end", [Claim.succeed, Claim.give_back, lambda claim: claim.fail(PROBLEM)])
def test_a_job_that_ends_before_anybody_has_looked_keeps_the_frames_of_a_lost_second(
    end: Callable[[Claim], object],
    canceled: bool,
    ledger: Ledger,
    store: Store,
    client: redis.Redis,
    picture: Picture,
) -> None:
    """What Redis doesn't know of when a job ends goes from the disk."""
    claim = run_into_a_lost_second(ledger, client, picture)
    job_id = claim.job.id
    claim.publish_frame(3, 5, 4, PNG)

    if canceled:
        ledger.cancel(job_id)
    end(claim)
    if not ledger.get(job_id).status.terminal:  # given back; what ends is its next attempt
        again = ledger.claim(job_id, "another")
        assert again is not None
        again.succeed()

    assert ledger.get(job_id).status.terminal
    frames, _ = ledger.frames(job_id)
    assert [frame.iteration for frame in frames] == [0, 1, 2, 3]
    assert list(store.frames(job_id)) == [0, 1, 2, 3]
    ending = store.ending(job_id)
    assert ending is not None
    assert len(ending.frames) == 4


@pytest.fixture
def ways_to_end(
    client: redis.Redis, ledger: Ledger, reaper: Reaper
) -> dict[str, Callable[[str], object]]:
    """How others than its worker end a job that waits, or that runs (its worker was lost)."""
    reaper.sweep()  # Redis starts anew after this look, and its next one comes late

    def overdue(job_id: str) -> None:
        client.hset(f"dream:{job_id}", "expires_at", 1)
        client.zadd("dreams:deadlines", {job_id: 1})

    def lose(job_id: str) -> None:
        client.zadd("dreams:leases", {job_id: 0})
        client.hset("dreams:watch", "judged_from", 0)
        reaper.sweep()

    return {
        "canceled while it waits": ledger.cancel,
        "expired at a claim": lambda job_id: (overdue(job_id), ledger.claim(job_id, "another")),
        "expired while it waits": lambda job_id: (overdue(job_id), reaper.sweep()),
        "canceled, its worker lost": lambda job_id: (ledger.cancel(job_id), lose(job_id)),
        "too late, its worker lost": lambda job_id: (overdue(job_id), lose(job_id)),
        "its last worker lost": lambda job_id: (
            client.hset(f"dream:{job_id}", "lost", LOSSES - 1),
            lose(job_id),
        ),
    }


@pytest.mark.parametrize(
    ("way", "waits", "status"),
    [
        ("canceled while it waits", True, Status.CANCELED),
        ("expired at a claim", True, Status.EXPIRED),
        ("expired while it waits", True, Status.EXPIRED),
        ("canceled, its worker lost", False, Status.CANCELED),
        ("too late, its worker lost", False, Status.FAILED),
        ("its last worker lost", False, Status.FAILED),
    ],
)
def test_whoever_ends_a_job_before_anybody_has_looked_the_frames_of_a_lost_second_stay(
    way: str,
    waits: bool,
    status: Status,
    ways_to_end: dict[str, Callable[[str], object]],
    ledger: Ledger,
    reaper: Reaper,
    store: Store,
    client: redis.Redis,
    picture: Picture,
) -> None:
    """The user, the deadline and the reaper end jobs too."""
    claim = run_into_a_lost_second(ledger, client, picture)
    job_id = claim.job.id
    if waits:
        client.hset(f"dream:{job_id}", mapping={"status": "queued", "fence": ""})
        client.zadd("dreams:queued:interactive", {job_id: 1})
        client.zrem("dreams:leases", job_id)

    ways_to_end[way](job_id)

    assert ledger.get(job_id).status is status
    reaper.sweep()  # what no claim remembers, it does
    frames, _ = ledger.frames(job_id)
    assert [frame.iteration for frame in frames] == [0, 1, 2]
    assert list(store.frames(job_id)) == [0, 1, 2]


def test_a_frame_of_another_attempt_is_no_frame_where_redis_has_forgotten_nothing(
    ledger: Ledger, store: Store, picture: Picture
) -> None:
    """An attempt that was lost has written it, and its worker was told no."""
    claim = run(ledger, picture)
    store.write_frame(claim.job.id, 1, claim.fence, PNG)

    claim.succeed()

    assert list(store.frames(claim.job.id)) == [0]


@pytest.mark.parametrize("everything", [False, True])
def test_a_cancel_of_a_lost_second_is_heard_again(
    ledger: Ledger, reaper: Reaper, client: redis.Redis, picture: Picture, everything: bool
) -> None:
    """Who was told that a dream is canceled never sees it run on, whatever Redis remembers."""
    job_id = run(ledger, picture).job.id
    before = client.hgetall(f"dream:{job_id}"), client.zrange(f"dream:{job_id}:frames", 0, -1)
    ledger.cancel(job_id)
    if everything:
        client.flushall()
    else:
        go_back(client, job_id, *before)

    reaper.sweep()

    expected = Status.CANCELED if everything else Status.CANCELING
    assert ledger.get(job_id).status is expected
    assert ledger.claim(job_id, "worker") is None


def test_a_cancel_leaves_nothing_on_disk_when_the_job_has_ended(
    ledger: Ledger, picture: Picture, store: Store
) -> None:
    """The ending says it by then."""
    claim = run(ledger, picture)
    ledger.cancel(claim.job.id)
    assert store.asked_to_cancel(claim.job.id)

    assert claim.succeed() is Status.CANCELED

    assert not store.asked_to_cancel(claim.job.id)


def test_a_frame_that_the_disk_has_told_of_is_not_taken_away(
    ledger: Ledger, reaper: Reaper, client: redis.Redis, picture: Picture, store: Store
) -> None:
    """Written, and told of by a refill before its own worker came to: the worker lost its fence."""
    claim = run(ledger, picture)
    job_id = claim.job.id
    store.write_frame(job_id, 1, claim.fence, PNG)
    client.flushall()
    reaper.sweep()

    claim.publish_frame(1, 5, 4, PNG)
    with pytest.raises(FenceLost):
        claim.publish_frame(2, 5, 4, PNG)

    assert [frame.iteration for frame in ledger.frames(job_id)[0]] == [0, 1]
    assert ledger.frame_path(job_id, 1).read_bytes() == PNG


def test_a_job_that_ended_in_a_lost_second_is_not_run_again(
    ledger: Ledger, reaper: Reaper, client: redis.Redis, picture: Picture
) -> None:
    """Redis went back to before the end; the disk knows better, and the old fence is void."""
    claim = run(ledger, picture)
    record = client.hgetall(f"dream:{claim.job.id}")
    claim.succeed()
    client.delete(f"dream:{claim.job.id}")
    client.hset(f"dream:{claim.job.id}", mapping=record)
    client.zadd("dreams:leases", {claim.job.id: 0})
    assert ledger.get(claim.job.id).status is Status.RUNNING

    reaper.sweep()

    assert ledger.get(claim.job.id).status is Status.SUCCEEDED
    assert client.exists("dreams:leases") == 0
    with pytest.raises(FenceLost):
        claim.renew()


def test_frames_of_a_job_that_was_running_are_known_again(
    ledger: Ledger, reaper: Reaper, client: redis.Redis, picture: Picture
) -> None:
    """The next attempt goes on from a checkpoint and won't make them again."""
    claim = run(ledger, picture)
    frames = ledger.frames(claim.job.id)
    client.flushall()

    reaper.sweep()

    assert ledger.get(claim.job.id).status is Status.QUEUED
    assert ledger.frames(claim.job.id) == frames
    assert ledger.frame_path(claim.job.id, 0).exists()


def test_what_redis_knows_is_not_changed_by_a_refill(
    ledger: Ledger, reaper: Reaper, picture: Picture
) -> None:
    """Every start of every process refills; a healthy ledger doesn't notice."""
    running = run(ledger, picture)
    done = run(ledger, picture)
    done.succeed()
    ledger.accept(SPEC, picture)
    before = ledger.newest(10)

    reaper.sweep()

    assert ledger.newest(10) == before
    running.renew()


def test_a_deleted_job_leaves_nothing_and_stays_deleted(
    ledger: Ledger, reaper: Reaper, store: Store, client: redis.Redis, picture: Picture
) -> None:
    """In Redis, on disk, after a refill and for its worker; twice is as good as once."""
    empty = set(client.keys("dream*"))
    queued, running = ledger.accept(SPEC, picture), run(ledger, picture)
    done = run(ledger, picture)
    done.succeed()

    for job_id in (queued.id, running.job.id, done.job.id, done.job.id):
        ledger.delete(job_id)
    with pytest.raises(FenceLost):
        running.progress(1, {})
    reaper.sweep()

    # Of no job: the last place, the pace, when a reaper last looked.
    numbers = {"dreams:places", "dreams:starts", "dreams:watch"}
    assert set(client.keys("dream*")) - empty <= {*numbers, *lists("interactive")}
    assert list(store.root.iterdir()) == []
    with pytest.raises(UnknownDream):
        ledger.get(queued.id)
    assert ledger.claim(queued.id, "worker") is None


@pytest.mark.parametrize("left", ['{"version": 1, "id', "", "[]", "{}", "\0" * 300, None])
def test_a_folder_that_can_not_be_read_is_set_aside_and_keeps_no_other_job_away(
    ledger: Ledger,
    reaper: Reaper,
    store: Store,
    client: redis.Redis,
    picture: Picture,
    caplog: pytest.LogCaptureFixture,
    left: str | None,
) -> None:
    """Half a job.json, zeros, none: one job lost, with its pictures kept where the log says."""
    broken, whole = ledger.accept(SPEC, picture), ledger.accept(SPEC, picture)
    order = store.root / broken.id / "job.json"
    order.unlink() if left is None else order.write_text(left)
    client.flushall()

    reaper.sweep()

    assert [job.id for job in ledger.newest(10)[0]] == [whole.id]
    (kept,) = store.aside.iterdir()
    assert (kept / "source.png").exists()
    assert f"dream {broken.id} is lost; its folder is kept as {kept}" in caplog.text


def test_what_redis_knows_stays_where_its_order_can_not_be_read(
    ledger: Ledger, reaper: Reaper, store: Store, picture: Picture
) -> None:
    """All that was in it is in the record too: the dream goes on."""
    job = ledger.accept(SPEC, picture)
    (store.root / job.id / "job.json").write_text("{")

    reaper.sweep()

    assert ledger.claim(job.id, "worker") is not None
    assert not store.aside.exists()


def test_a_job_whose_ending_can_not_be_read_is_not_run_again(
    ledger: Ledger, reaper: Reaper, store: Store, client: redis.Redis, picture: Picture
) -> None:
    """How it ended nobody knows; its frames are there, and the way to ask once more is said."""
    claim = run(ledger, picture)
    claim.succeed()
    (store.root / claim.job.id / "ending.json").write_text('{"version": 1, "sta')
    client.flushall()

    reaper.sweep()
    client.flushall()
    Reaper(client, ledger, store).sweep()

    job = ledger.get(claim.job.id)
    assert job.status is Status.FAILED
    assert job.problem is not None
    assert job.problem.code == "ending-lost"
    assert ledger.frame_path(job.id, 0).read_bytes() == PNG
    assert ledger.retry(job.id).status is Status.QUEUED


def test_a_frame_that_can_not_be_read_keeps_no_job_away(
    ledger: Ledger, reaper: Reaper, store: Store, client: redis.Redis, picture: Picture
) -> None:
    """A disk that rots costs that frame; the next attempt makes it again."""
    claim, other = run(ledger, picture), ledger.accept(SPEC, picture)
    rotten = store.write_frame(claim.job.id, 1, claim.fence, b"no PNG")
    client.flushall()

    reaper.sweep()

    assert {job.id for job in ledger.newest(10)[0]} == {claim.job.id, other.id}
    assert [frame.iteration for frame in ledger.frames(claim.job.id)[0]] == [0]
    assert rotten.exists()


def test_a_job_deleted_while_redis_is_filled_stays_deleted(
    ledger: Ledger, client: redis.Redis, store: Store, picture: Picture
) -> None:
    """One process reads its folder, another deletes it, the first then tells Redis: no ghost."""
    job_id = ledger.accept(SPEC, picture).id

    class Late(Store):
        def ending(self, job_id: str) -> None:
            ledger.delete(job_id)

    Reaper(client, ledger, Late(store.root.parent)).sweep()

    with pytest.raises(UnknownDream):
        ledger.get(job_id)
    assert client.keys(f"*{job_id}*") == []


def test_what_a_killed_process_left_half_done_is_cleared(
    reaper: Reaper, store: Store, ledger: Ledger, picture: Picture
) -> None:
    """Half a removal goes at once, half a picture when nobody can be writing it any more."""
    kept = ledger.accept(SPEC, picture).id
    for name in ("gone", "new", "old.new"):
        folder = store.root / f".01KAT3Y5W7ZQH9N4C8RSBV6XEM.{name}"
        folder.mkdir()
        (folder / "source.png").write_bytes(b"half")
    os.utime(store.root / ".01KAT3Y5W7ZQH9N4C8RSBV6XEM.old.new", (1, 1))

    reaper.sweep()

    assert sorted(path.name for path in store.root.iterdir()) == [
        ".01KAT3Y5W7ZQH9N4C8RSBV6XEM.new",
        kept,
    ]
