import pytest
import redis

from dream_core.spec import DreamSpec
from jobs.claim import Claim
from jobs.errors import FenceLost, StoreFault
from jobs.ledger import Ledger
from jobs.queue import lists
from jobs.reaper import BLIND_S, LOSSES, Reaper
from jobs.record import Run, Status
from jobs.scripts import Scripts
from jobs.store import Picture, Store
from tests.states import saved

SPEC = DreamSpec(iterations=3)


@pytest.fixture
def reaper(client: redis.Redis, ledger: Ledger, store: Store) -> Reaper:
    """A reaper that judges leases at once."""
    return Reaper(client, ledger, store, grace_s=0)


@pytest.fixture
def lose(client: redis.Redis, ledger: Ledger):
    """What claims a job and lets the lease run out, as a worker does that is killed."""

    def lost(job_id: str) -> Claim:
        claim = ledger.claim(job_id, "killed")
        assert claim is not None
        client.zadd("dreams:leases", {job_id: 0})
        return claim

    return lost


def messages(client: redis.Redis, queue: str = "interactive") -> int:
    """Return how many messages wait for a worker."""
    return sum(client.llen(key) for key in lists(queue))


def test_a_job_whose_worker_was_killed_goes_on(
    ledger: Ledger, reaper: Reaper, client: redis.Redis, picture: Picture, lose
) -> None:
    """It waits again, ahead of later ones, with a message of its own; its zombie writes nothing."""
    zombie = lose(ledger.accept(SPEC, picture).id)
    later = ledger.accept(SPEC, picture)
    for key in lists("interactive"):
        client.delete(key)

    reaper.sweep()

    job = ledger.get(zombie.job.id)
    assert (job.status, job.queue.position) == (Status.QUEUED, 1)
    assert ledger.get(later.id).queue.position == 2
    assert client.llen("dreams.interactive") == 1
    with pytest.raises(FenceLost):
        zombie.succeed()


def test_two_reapers_do_what_one_does(
    ledger: Ledger, store: Store, reaper: Reaper, client: redis.Redis, picture: Picture, lose
) -> None:
    """Every process has one; none is the leader."""
    job_id = lose(ledger.accept(SPEC, picture).id).job.id
    before = messages(client)

    reaper.sweep()
    seq = ledger.get(job_id).seq
    Reaper(client, ledger, store, grace_s=0).sweep()

    assert ledger.get(job_id).seq == seq
    assert messages(client) == before + 1


def test_a_folder_that_cannot_be_read_keeps_nobody_from_looking_at_the_next(
    ledger: Ledger,
    reaper: Reaper,
    store: Store,
    client: redis.Redis,
    picture: Picture,
    lose,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its job ends when the disk gives the frames that Redis may have forgotten."""
    reaper.sweep()  # Redis starts anew after this look
    jobs = [lose(ledger.accept(SPEC, picture).id).job.id for _ in range(2)]
    for job_id in jobs:
        ledger.cancel(job_id)
        client.hset(f"dream:{job_id}", "compared", "an earlier life")
    broken, found = jobs[0], store.found

    def read(job_id: str) -> list[tuple[int, str]]:
        if job_id == broken:
            raise StoreFault(store.root / job_id, "Input/output error")
        return found(job_id)

    monkeypatch.setattr(store, "found", read)
    reaper.sweep()

    assert [ledger.get(job_id).status for job_id in jobs] == [Status.CANCELING, Status.CANCELED]
    monkeypatch.undo()
    reaper.sweep()
    assert ledger.get(broken).status is Status.CANCELED


def test_a_lease_that_is_kept_is_left_alone(
    ledger: Ledger, reaper: Reaper, picture: Picture
) -> None:
    """A dream far longer than any timeout runs once."""
    claim = ledger.claim(ledger.accept(SPEC, picture).id, "worker")
    assert claim is not None

    reaper.sweep()

    assert ledger.get(claim.job.id).status is Status.RUNNING


def test_no_lease_is_judged_by_a_redis_that_has_just_come_up(
    ledger: Ledger, store: Store, client: redis.Redis, picture: Picture, lose
) -> None:
    """While it was away nobody could renew; all of them would be lost at once."""
    job_id = lose(ledger.accept(SPEC, picture).id).job.id

    Reaper(client, ledger, store, grace_s=1e9).sweep()

    assert ledger.get(job_id).status is Status.RUNNING


def hang(client: redis.Redis, seconds: float) -> None:
    """Let nobody have looked at the leases for so long, as when Redis hung."""
    client.hincrby("dreams:watch", "at", -round(seconds * 1000))


def test_no_lease_is_judged_by_a_redis_that_hung(
    ledger: Ledger, store: Store, client: redis.Redis, picture: Picture, lose
) -> None:
    """Nobody could renew one, and every reaper there is hears so, whoever asks first."""
    one, other = (Reaper(client, ledger, store, grace_s=3600) for _ in range(2))
    Reaper(client, ledger, store, grace_s=0).sweep()
    hang(client, BLIND_S + 1)
    claim = lose(ledger.accept(SPEC, picture).id)

    for reaper in (one, other):
        reaper.sweep()

    assert ledger.get(claim.job.id).status is Status.RUNNING
    claim.renew()


def test_leases_are_judged_by_a_reaper_that_slept_while_another_looked(
    ledger: Ledger, store: Store, client: redis.Redis, picture: Picture, lose
) -> None:
    """It was the process that stood still, not Redis: workers could renew all the time."""
    slept, awake = Reaper(client, ledger, store, grace_s=0), Reaper(client, ledger, store)
    slept.sweep()
    hang(client, BLIND_S - 1)
    awake.sweep()
    hang(client, BLIND_S - 1)
    job_id = lose(ledger.accept(SPEC, picture).id).job.id

    slept.sweep()

    assert ledger.get(job_id).status is Status.QUEUED


@pytest.mark.parametrize("change", [{"at": 0}, {"life": "earlier"}])
def test_a_judgement_that_redis_held_back_while_it_hung_is_none(
    ledger: Ledger,
    client: redis.Redis,
    picture: Picture,
    lose,
    change: dict[str, str | int],
) -> None:
    """It hung or started anew between the reaper's look and its move."""
    job_id = lose(ledger.accept(SPEC, picture).id).job.id
    client.delete("dreams:unpublished")
    assert Scripts(client).run("overdue", "", 0, 1000, 0)[1] == [job_id]
    client.hset("dreams:watch", mapping=change)

    assert not Scripts(client).run("reap", job_id, LOSSES, "", "")

    assert ledger.get(job_id).status is Status.RUNNING


def test_a_grace_ends_though_the_clock_was_set_back(
    ledger: Ledger, reaper: Reaper, client: redis.Redis, picture: Picture, lose
) -> None:
    """Else a step of an hour would be an hour in which no lost job goes on."""
    job_id = lose(ledger.accept(SPEC, picture).id).job.id
    reaper.sweep()
    lose(job_id)
    client.hincrby("dreams:watch", "judged_from", 3_600_000)

    reaper.sweep()

    assert ledger.get(job_id).status is Status.QUEUED


def test_a_job_that_ends_three_workers_in_a_row_is_poison(
    ledger: Ledger, reaper: Reaper, picture: Picture, lose
) -> None:
    """It stops with the reason kept, and the next job runs."""
    job_id = ledger.accept(SPEC, picture).id
    for _ in range(LOSSES):
        lose(job_id)
        reaper.sweep()

    job = ledger.get(job_id)
    assert (job.status, job.attempt) == (Status.FAILED, LOSSES)
    assert job.problem is not None
    assert job.problem.code == "poison"
    assert "a smaller image_size may fit" in job.problem.detail


def test_poison_names_the_size_asked_and_the_memory_there_was(
    ledger: Ledger, reaper: Reaper, picture: Picture, lose
) -> None:
    """A system that ran out of memory kills without a word: the record was written before."""
    job_id = ledger.accept(SPEC, picture).id
    for _ in range(LOSSES):
        lose(job_id).begin(
            Run(
                width=4096,
                height=2730,
                device="cpu",
                plan={},
                versions={},
                predicted_bytes=12_300_000_000,
                free_bytes=7_900_000_000,
            )
        )
        reaper.sweep()

    problem = ledger.get(job_id).problem
    assert problem is not None
    assert "vgg19 at 4096 × 2730 needs about 12.3 GB, cpu had 7.9 GB free" in problem.detail


def test_an_ending_that_no_worker_lived_to_write_down_is_written_down(
    ledger: Ledger, store: Store, reaper: Reaper, client: redis.Redis, picture: Picture
) -> None:
    """Killed after the last move, or the disk was full: a lost Redis would run it again."""
    claim = ledger.claim(ledger.accept(SPEC, picture).id, "killed")
    assert claim is not None
    claim.publish_frame(3, 4, 3, b"frame")
    assert Scripts(client).run("finish", claim.job.id, claim.fence, "succeeded", "") == "succeeded"
    reaper.sweep()
    assert store.ending(claim.job.id) is None  # its worker may be about to

    client.zadd("dreams:ended", {claim.job.id: 0}, xx=True)
    reaper.sweep()

    ending = store.ending(claim.job.id)
    assert ending is not None
    assert (ending.status, len(ending.frames)) == (Status.SUCCEEDED, 1)
    assert client.exists("dreams:ended") == 0


def test_a_job_that_gets_on_outlives_any_number_of_kills(
    ledger: Ledger, reaper: Reaper, picture: Picture, lose
) -> None:
    """A checkpoint forgives the losses before it; so does no deploy count as one."""
    job_id = ledger.accept(SPEC, picture).id
    for iteration in range(3 * LOSSES):
        claim = ledger.claim(job_id, "worker")
        assert claim is not None
        claim.give_back()
        lose(job_id).checkpoint(iteration, saved(b"state"))
        reaper.sweep()

    assert ledger.get(job_id).status is Status.QUEUED
    assert ledger.get(job_id).attempt == 6 * LOSSES


def test_a_cancelled_job_whose_worker_was_killed_ends_cancelled(
    ledger: Ledger, reaper: Reaper, picture: Picture, lose
) -> None:
    """From canceling only canceled follows, with no worker alive too."""
    job_id = lose(ledger.accept(SPEC, picture).id).job.id
    ledger.cancel(job_id)

    reaper.sweep()

    assert ledger.get(job_id).status is Status.CANCELED


def test_a_job_accepted_and_never_sent_is_sent(
    client: redis.Redis, store: Store, reaper: Reaper, picture: Picture
) -> None:
    """The API died between the record and the message."""

    def nowhere(*_: object, **__: object) -> None:
        raise ConnectionError

    job = Ledger(client, store, nowhere).accept(SPEC, picture)
    reaper.sweep()
    assert messages(client) == 0  # it may be on its way

    client.zadd("dreams:unpublished", {job.id: 0}, xx=True)
    reaper.sweep()

    assert messages(client) == 1
    assert client.zcard("dreams:unpublished") == 0


def test_a_message_that_was_swallowed_is_sent_again(
    ledger: Ledger, reaper: Reaper, client: redis.Redis, picture: Picture
) -> None:
    """Queued for two sweeps while the broker holds nothing: no worker has heard of it."""
    job = ledger.accept(SPEC, picture)
    for key in lists("interactive"):
        client.delete(key)

    reaper.sweep()
    assert messages(client) == 0  # a worker may be about to claim it
    reaper.sweep()

    assert messages(client) == 1
    assert ledger.get(job.id).status is Status.QUEUED


def test_a_job_that_was_overtaken_is_sent_again_though_others_have_messages(
    ledger: Ledger, reaper: Reaper, client: redis.Redis, picture: Picture
) -> None:
    """The first in its queue waits while a later one was started: its message must be gone."""
    first, *others = (ledger.accept(SPEC, picture).id for _ in range(4))
    ledger.claim(others[0], "worker")
    reaper.sweep()
    before = messages(client)  # two workers may have taken two messages at the same time

    client.zadd("dreams:overtaken", {first: 0}, xx=True)
    reaper.sweep()
    reaper.sweep()

    assert messages(client) == before + 1
    assert client.llen("dreams.interactive") == 1
    assert ledger.claim(first, "worker") is not None
    ledger.claim(others[1], "worker")
    assert client.exists("dreams:overtaken") == 0


def test_two_workers_that_take_turns_overtake_nobody_for_long(
    ledger: Ledger, client: redis.Redis, picture: Picture
) -> None:
    """Started, canceled or deleted, a job is behind nobody any more."""
    first, second, third, last = (ledger.accept(SPEC, picture).id for _ in range(4))
    ledger.claim(last, "worker")
    ledger.claim(first, "worker")
    assert client.exists("dreams:overtaken") == 0
    ledger.claim(third, "worker")
    assert client.zrange("dreams:overtaken", 0, -1) == [second]

    ledger.delete(second)

    assert client.exists("dreams:overtaken") == 0
