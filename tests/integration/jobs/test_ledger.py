import json

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from dream_core.spec import DreamSpec
from jobs.errors import FenceLost, LedgerAway, LedgerFull, UnknownDream, UnknownFrame
from jobs.ledger import Ledger
from jobs.presence import Presence, announce
from jobs.record import Problem, Status
from jobs.scripts import Scripts
from jobs.store import Picture, Store

SPEC = DreamSpec(iterations=3)
PROBLEM = Problem(code="internal", title="Something went wrong", detail="it broke")


class Unheard:
    """A broker that is away."""

    def __call__(self, job_id: str, queue: str, *, ahead: bool) -> None:
        raise ConnectionError("no broker")


def test_an_accepted_job_is_on_disk_in_the_ledger_and_in_the_queue(
    ledger: Ledger, store: Store, client: redis.Redis, picture: Picture
) -> None:
    """When accept returns, any one of the three can be lost and the job is still known."""
    job = ledger.accept(SPEC, picture)

    assert store.order(job.id).spec == SPEC.model_dump(mode="json") == job.spec
    assert ledger.get(job.id) == job
    (message,) = client.lrange("dreams.interactive\x06\x163", 0, -1)
    assert job.id in json.loads(message)["headers"]["kwargsrepr"]
    assert (job.status, job.queue.position, job.attempt) == (Status.QUEUED, 1, 0)
    assert (job.source.height, job.source.width) == (picture.height, picture.width)


def test_a_job_is_accepted_although_the_broker_is_away(
    client: redis.Redis, store: Store, picture: Picture
) -> None:
    """The ledger knows that its message is still to be sent."""
    job = Ledger(client, store, Unheard()).accept(SPEC, picture)

    assert client.zrange("dreams:unpublished", 0, -1) == [job.id]
    assert job.status is Status.QUEUED


def test_a_published_job_is_not_to_be_sent_again(
    ledger: Ledger, client: redis.Redis, picture: Picture
) -> None:
    """Else every job would be sent twice."""
    ledger.accept(SPEC, picture)

    assert client.zcard("dreams:unpublished") == 0


def test_what_redis_did_not_take_is_not_left_on_disk(store: Store, picture: Picture) -> None:
    """The user was told no; a folder that nobody knows would stay for ever."""
    nowhere = redis.Redis(unix_socket_path="/nowhere", retry=Retry(NoBackoff(), 0))

    with pytest.raises(LedgerAway):
        Ledger(nowhere, store, Unheard()).accept(SPEC, picture)

    assert list(store.root.iterdir()) == []


def test_a_full_redis_refuses_new_jobs_and_ends_those_it_has(
    ledger: Ledger, client: redis.Redis, picture: Picture
) -> None:
    """A ledger that could not write down endings could never empty."""
    job = ledger.accept(SPEC, picture)
    client.config_set("maxmemory", 1)
    try:
        with pytest.raises(LedgerFull):
            ledger.accept(SPEC, picture)
        claim = ledger.claim(job.id, "worker")
        assert claim is not None
        claim.publish_frame(0, 4, 3, b"png")
        claim.progress(1, {})
        claim.renew()
        assert claim.succeed() is Status.SUCCEEDED
        assert ledger.get(job.id).status is Status.SUCCEEDED
    finally:
        client.config_set("maxmemory", 0)


@pytest.mark.parametrize("job_id", ["", "no", "01KAT3Y5W7ZQH9N4C8RSBV6XEM", "*", "a:b", "ü" * 500])
def test_an_id_of_any_form_is_unknown_and_no_error(ledger: Ledger, job_id: str) -> None:
    """Whatever stands in a URL is looked up, and not found."""
    for ask in (ledger.get, ledger.frames, ledger.source_path, ledger.result_path):
        with pytest.raises(UnknownDream, match="there is no dream"):
            ask(job_id)
    with pytest.raises(UnknownDream):
        ledger.frame_path(job_id, 0)
    assert ledger.claim(job_id, "worker") is None


def test_the_newest_jobs_come_first_and_a_page_begins_where_the_last_one_ended(
    ledger: Ledger, picture: Picture
) -> None:
    """Who lost an id with the terminal finds it, however many there are since."""
    ids = sorted((ledger.accept(SPEC, picture).id for _ in range(5)), reverse=True)

    first, cursor = ledger.newest(2)
    second, cursor = ledger.newest(2, cursor)
    third, end = ledger.newest(2, cursor)

    assert [job.id for job in first + second + third] == ids
    assert end is None
    assert ledger.newest(2, "0") == ([], None)


def test_a_place_in_the_queue_counts_down_as_others_start(ledger: Ledger, picture: Picture) -> None:
    """Position 1 is the next, and each queue has places of its own."""
    first, second, third = (ledger.accept(SPEC, picture).id for _ in range(3))
    bulk = ledger.accept(SPEC, picture, queue="bulk").id

    assert [ledger.get(job).queue.position for job in (first, second, third, bulk)] == [1, 2, 3, 1]
    ledger.claim(first, "worker")
    assert [ledger.get(job).queue.position for job in (first, second, third)] == [None, 1, 2]


def test_a_job_given_back_stands_ahead_of_those_that_came_later(
    ledger: Ledger, client: redis.Redis, picture: Picture
) -> None:
    """It has waited once, and its message is asked for before theirs."""
    first, second = (ledger.accept(SPEC, picture).id for _ in range(2))
    claim = ledger.claim(first, "worker")
    assert claim is not None

    claim.give_back()

    assert [ledger.get(job).queue.position for job in (first, second)] == [1, 2]
    assert client.llen("dreams.interactive") == 1  # kombu's list of priority 0
    assert ledger.get(first).status is Status.QUEUED


def test_a_queued_job_says_what_its_worker_is_doing(
    ledger: Ledger, client: redis.Redis, picture: Picture
) -> None:
    """Whoever waits for a pull of weights is told so, in megabytes."""
    pulling = Presence(
        host="h", slot=0, pid=1, state="pulling", model="vgg19", bytes_done=1, bytes_total=80000000
    )
    announce(Scripts(client), pulling)

    job = ledger.accept(SPEC, picture)

    assert job.queue.waits_for == "the weights of vgg19: 0 of 80 MB"


def test_a_claim_told_twice_is_one_attempt(ledger: Ledger, picture: Picture) -> None:
    """A message that Celery delivers twice runs once."""
    job = ledger.accept(SPEC, picture)

    assert ledger.claim(job.id, "one") is not None
    assert ledger.claim(job.id, "other") is None
    assert ledger.get(job.id).attempt == 1


def test_a_lost_answer_does_not_lose_the_claim(
    ledger: Ledger, client: redis.Redis, picture: Picture
) -> None:
    """redis-py asks again when an answer is lost; the same call gets the same answer."""
    job = ledger.accept(SPEC, picture)
    scripts = Scripts(client)

    first = scripts.run("claim", job.id, "token", "worker", 15000)

    assert first == ["1-token", "interactive", "", 0]
    assert scripts.run("claim", job.id, "token", "worker", 15000) == first
    assert scripts.run("finish", job.id, "1-token", "succeeded", "") == "succeeded"
    assert scripts.run("finish", job.id, "1-token", "succeeded", "") == "succeeded"
    assert ledger.get(job.id).seq == 3


def test_nothing_can_be_written_once_the_fence_is_another(ledger: Ledger, picture: Picture) -> None:
    """A worker that slept through its lease changes nothing when it wakes, on disk or in Redis."""
    job = ledger.accept(SPEC, picture)
    zombie = ledger.claim(job.id, "zombie")
    assert zombie is not None
    zombie.give_back()
    current = ledger.claim(job.id, "current")
    assert current is not None
    before = ledger.get(job.id)

    for write in (
        lambda: zombie.progress(1, {"relu5_1": 1.0}),
        lambda: zombie.publish_frame(0, 4, 3, b"late"),
        lambda: zombie.fail(PROBLEM),
        zombie.succeed,
        zombie.give_back,
        zombie.renew,
    ):
        with pytest.raises(FenceLost):
            write()

    assert ledger.get(job.id) == before
    assert ledger.frames(job.id) == ([], None)
    assert list(ledger.source_path(job.id).parent.glob("frames/*")) == []


def test_a_frame_is_published_once(ledger: Ledger, picture: Picture) -> None:
    """A later attempt's picture of it is dropped; who has fetched it has fetched the one."""
    job = ledger.accept(SPEC, picture)
    first = ledger.claim(job.id, "one")
    assert first is not None
    first.publish_frame(0, 4, 3, b"first")
    first.give_back()
    second = ledger.claim(job.id, "two")
    assert second is not None

    second.publish_frame(0, 4, 3, b"second")
    second.publish_frame(1, 4, 3, b"another")

    assert ledger.frame_path(job.id, 0).read_bytes() == b"first"
    assert ledger.frame_path(job.id, 1).read_bytes() == b"another"
    assert len(list(ledger.source_path(job.id).parent.glob("frames/*"))) == 2
    with pytest.raises(UnknownFrame, match="no frame '2'; the latest is 1"):
        ledger.frame_path(job.id, 2)


def test_frames_are_listed_by_iteration_a_page_at_a_time(ledger: Ledger, picture: Picture) -> None:
    """Ten is after nine, and a page says where the next one begins."""
    claim = ledger.claim(ledger.accept(SPEC, picture).id, "worker")
    assert claim is not None
    for iteration in (0, 9, 10):
        claim.publish_frame(iteration, 4, 3, b"x" * iteration)

    first, after = ledger.frames(claim.job.id, limit=2)
    second, end = ledger.frames(claim.job.id, after, limit=2)

    assert [(frame.iteration, frame.bytes) for frame in first + second] == [
        (0, 0),
        (9, 9),
        (10, 10),
    ]
    assert (after, end) == (9, None)
    shown = ledger.get(claim.job.id).frames
    assert (shown.count, shown.latest) == (3, 10)


def test_the_result_is_the_last_frame_of_a_job_that_succeeded(
    ledger: Ledger, picture: Picture
) -> None:
    """Before the end there is none, whatever frames there are."""
    claim = ledger.claim(ledger.accept(SPEC, picture).id, "worker")
    assert claim is not None
    claim.publish_frame(0, 4, 3, b"source")
    claim.publish_frame(3, 4, 3, b"dream")
    assert ledger.result_path(claim.job.id) is None

    claim.succeed()

    path = ledger.result_path(claim.job.id)
    assert path is not None
    assert path.read_bytes() == b"dream"


def test_a_failed_job_tells_why(ledger: Ledger, picture: Picture) -> None:
    """The problem stays with the job, with the time of its end."""
    claim = ledger.claim(ledger.accept(SPEC, picture).id, "worker")
    assert claim is not None

    claim.fail(PROBLEM)

    job = ledger.get(claim.job.id)
    assert (job.status, job.problem) == (Status.FAILED, PROBLEM)
    assert job.finished_at is not None
    assert job.started_at is not None
    assert job.created_at <= job.started_at <= job.finished_at


@pytest.mark.parametrize("end", ["succeed", "fail", "give_back"])
def test_whatever_its_worker_does_a_cancelled_job_ends_cancelled(
    ledger: Ledger, picture: Picture, end: str
) -> None:
    """Cancel came first: no success, no problem and no later run follow, and twice is once."""
    claim = ledger.claim(ledger.accept(SPEC, picture).id, "worker")
    assert claim is not None
    canceling = ledger.cancel(claim.job.id)
    assert canceling.status is Status.CANCELING
    assert ledger.cancel(claim.job.id) == canceling
    claim.progress(1, {})
    assert claim.canceling

    getattr(claim, end)(*([PROBLEM] if end == "fail" else []))

    job = ledger.get(claim.job.id)
    assert (job.status, job.problem) == (Status.CANCELED, None)
    assert ledger.cancel(claim.job.id) == job


@pytest.mark.parametrize("end", ["succeed", "give_back", "cancel"])
def test_only_a_dream_that_runs_has_a_time_to_go(
    ledger: Ledger, picture: Picture, end: str
) -> None:
    """What has ended, or waits again, keeps the rest of what was last told of it."""
    claim = ledger.claim(ledger.accept(SPEC, picture).id, "worker")
    assert claim is not None
    claim.progress(2, {"relu5_1": 0.5}, octave=1, seconds_per_iteration=2.0, eta_s=2.0)
    running = ledger.get(claim.job.id).progress
    assert running.eta_s == 2.0

    if end == "cancel":
        ledger.cancel(claim.job.id)
    else:
        getattr(claim, end)()

    assert ledger.get(claim.job.id).progress == running.model_copy(update={"eta_s": None})


def test_a_loss_that_is_no_number_is_null(ledger: Ledger, picture: Picture) -> None:
    """JSON has no infinity, and a document that breaks its reader is worse than a gap."""
    claim = ledger.claim(ledger.accept(SPEC, picture).id, "worker")
    assert claim is not None

    claim.progress(1, {"relu5_1": float("inf"), "relu4_1": 2.5})

    progress = ledger.get(claim.job.id).progress
    assert progress.losses == {"relu5_1": None, "relu4_1": 2.5}
    assert progress.fraction == 1 / 3


def test_a_job_that_ended_is_in_no_list_of_work(
    ledger: Ledger, client: redis.Redis, picture: Picture
) -> None:
    """A thousand small jobs leave no key that grows."""
    claim = ledger.claim(ledger.accept(SPEC, picture).id, "worker")
    assert claim is not None

    claim.succeed()

    for key in ("dreams:queued:interactive", "dreams:unpublished", "dreams:leases"):
        assert client.exists(key) == 0, key
