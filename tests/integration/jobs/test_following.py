"""Jobs that come from others: retried, continued, and what is kept for them."""

import pytest
import redis

from dream_core.errors import InvalidSpec
from dream_core.spec import DreamSpec
from jobs.claim import Claim
from jobs.errors import NoState, NotFinished, UnknownDream
from jobs.ledger import Ledger
from jobs.reaper import Reaper
from jobs.record import Problem, Status
from jobs.store import Picture, Store
from tests.states import saved

SPEC = DreamSpec(iterations=10, save_every=3)
PROBLEM = Problem(code="internal", title="Something went wrong", detail="it broke")


def claimed(ledger: Ledger, job_id: str) -> Claim:
    """Claim a job that waits."""
    claim = ledger.claim(job_id, "worker")
    assert claim is not None
    return claim


@pytest.fixture
def ended(ledger: Ledger, picture: Picture) -> Claim:
    """A job that has succeeded and left its states at 9 and 10."""
    claim = claimed(ledger, ledger.accept(SPEC, picture, queue="bulk", owner="ada").id)
    claim.publish_frame(0, 4, 3, b"source")
    claim.checkpoint(9, saved(b"nine"))
    claim.publish_frame(10, 4, 3, b"ten")
    claim.checkpoint(10, saved(b"ten"))
    claim.succeed()
    return claim


@pytest.mark.parametrize("end", ["succeed", "fail", "cancel", "expire"])
def test_any_job_that_has_ended_can_be_asked_for_again(
    ledger: Ledger, store: Store, client: redis.Redis, picture: Picture, end: str
) -> None:
    """The same spec and source as a job of its own, which names its parent; that one stays."""
    job_id = ledger.accept(SPEC, picture, queue="bulk", timeout_s=1000).id
    if end == "expire":
        client.hset(f"dream:{job_id}", "expires_at", 1)
        assert ledger.claim(job_id, "worker") is None
    else:
        claim = claimed(ledger, job_id)
        if end == "cancel":
            ledger.cancel(job_id)
        claim.fail(PROBLEM) if end == "fail" else claim.succeed()
    parent = ledger.get(job_id)

    child = ledger.retry(job_id)

    assert (child.status, child.parent, child.attempt) == (Status.QUEUED, job_id, 0)
    assert (child.spec, child.source) == (parent.spec, parent.source)
    assert (child.expires_at, child.frames.count, child.progress.iteration) == (None, 0, 0)
    assert store.read_source(child.id) == store.read_source(job_id)
    assert store.order(child.id).queue == "bulk"
    assert ledger.get(job_id) == parent
    assert ledger.claim(child.id, "worker") is not None


def test_what_has_not_ended_is_neither_retried_nor_continued(
    ledger: Ledger, picture: Picture
) -> None:
    """It would be two of one; the way out is to wait or to cancel."""
    job_id = ledger.accept(SPEC, picture).id
    for status in ("queued", "running"):
        for again in (lambda: ledger.retry(job_id), lambda: ledger.continue_(job_id, 5)):
            with pytest.raises(NotFinished, match=f"is {status}; wait for its end"):
                again()
        ledger.claim(job_id, "worker")


def test_an_id_that_no_job_has_is_followed_by_none(ledger: Ledger) -> None:
    """Unknown, as everywhere."""
    for again in (ledger.retry, lambda job_id: ledger.continue_(job_id, 5)):
        with pytest.raises(UnknownDream):
            again("01KAT3Y5W7ZQH9N4C8RSBV6XEM")


def test_a_job_goes_on_from_the_last_state_of_its_parent(
    ledger: Ledger, store: Store, ended: Claim
) -> None:
    """It counts iterations from the source, and holds the state itself: the parent may go."""
    child = ledger.continue_(ended.job.id, 20, timeout_s=60)
    ledger.delete(ended.job.id)

    assert child.parent == ended.job.id
    assert child.spec == {**ended.job.spec, "iterations": 30}
    assert (child.progress.iteration, child.progress.iterations) == (10, 30)
    assert child.progress.fraction == pytest.approx(1 / 3)
    assert child.expires_at is not None
    assert store.order(child.id).owner == "ada"
    start = store.start(child.id)
    assert start is not None
    assert (start.iteration, start.path.read_bytes()) == (10, b"ten")
    assert store.read_source(child.id)


def test_what_was_continued_can_be_retried_and_continued(
    ledger: Ledger, store: Store, ended: Claim
) -> None:
    """Retried it begins where it began; continued without a state of its own, too."""
    child = ledger.continue_(ended.job.id, 20)
    ledger.cancel(child.id)

    again, further = ledger.retry(child.id), ledger.continue_(child.id, 5)

    assert (again.spec["iterations"], further.spec["iterations"]) == (30, 15)
    for job in (again, further):
        start = store.start(job.id)
        assert start is not None
        assert (start.iteration, start.path.read_bytes()) == (10, b"ten")


def test_a_job_that_never_came_to_a_state_can_not_be_continued(
    ledger: Ledger, picture: Picture
) -> None:
    """Canceled while it waited, say: the way out is to retry it."""
    job_id = ledger.accept(SPEC, picture).id
    ledger.cancel(job_id)

    with pytest.raises(NoState, match=f"POST /dreams/{job_id}/retry"):
        ledger.continue_(job_id, 5)


@pytest.mark.parametrize(
    ("more", "said"), [(0, "1 or more"), (-3, "1 or more"), (9991, "the limit is 10000; ask for 1")]
)
def test_a_dream_is_continued_within_the_limits_of_one(
    ledger: Ledger, ended: Claim, more: int, said: str
) -> None:
    """Else continuing would be the way round them."""
    with pytest.raises(InvalidSpec, match=said):
        ledger.continue_(ended.job.id, more)

    assert ledger.continue_(ended.job.id, 9990).spec["iterations"] == 10_000


def test_a_lost_redis_learns_from_the_folder_where_a_job_goes_on(
    ledger: Ledger, store: Store, client: redis.Redis, ended: Claim
) -> None:
    """Accepted means on disk for these jobs too."""
    child = ledger.continue_(ended.job.id, 20, timeout_s=600)
    client.flushall()

    Reaper(client, ledger, store).sweep()

    assert ledger.get(child.id).model_copy(update={"seq": 0, "queue": child.queue}) == (
        child.model_copy(update={"seq": 0})
    )
    assert client.zscore("dreams:deadlines", child.id) is not None


def test_a_job_that_ended_keeps_its_last_state_and_no_file_that_nobody_needs(
    ledger: Ledger, store: Store, picture: Picture
) -> None:
    """A worker killed between a frame's file and its publication leaves one that none removes."""
    job_id = ledger.accept(SPEC, picture).id
    first = claimed(ledger, job_id)
    first.publish_frame(0, 4, 3, b"source")
    for iteration in (1, 2, 3):
        first.checkpoint(iteration, saved(b"state"))
    store.write_frame(job_id, 3, first.fence, b"never published")
    for half in ("frames/.4.1-aa.png.part", "checkpoints/.4.1-aa.part"):
        (store.root / job_id / half).write_bytes(b"half")
    first.give_back()
    second = claimed(ledger, job_id)
    second.publish_frame(3, 4, 3, b"three")
    second.checkpoint(5, saved(b"five"))

    second.fail(PROBLEM)

    folder = store.root / job_id
    names = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    assert names == [
        f"checkpoints/5.{second.fence}",
        "ending.json",
        f"frames/0.{first.fence}.png",
        f"frames/3.{second.fence}.png",
        "job.json",
        "source.png",
    ]


def test_a_state_written_without_the_fence_is_taken_back(
    ledger: Ledger, store: Store, picture: Picture
) -> None:
    """A zombie leaves no file behind in a job that has ended."""
    job_id = ledger.accept(SPEC, picture).id
    zombie = claimed(ledger, job_id)
    zombie.give_back()
    ledger.cancel(job_id)

    with pytest.raises(Exception, match="no longer current"):
        zombie.checkpoint(1, saved(b"state"))

    assert store.checkpoints(job_id) == []
