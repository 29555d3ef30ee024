"""What can be done to a dream over HTTP: deadline, cancel, retry, continue, delete, the queue."""

import re
from collections.abc import Callable
from typing import Any

import pytest
import redis
from fastapi.testclient import TestClient
from httpx2 import Response

from api.app import create_app
from jobs.claim import Claim
from jobs.ledger import Ledger
from jobs.presence import Presence, announce
from jobs.scripts import Scripts
from jobs.settings import Settings
from jobs.store import Store
from tests.states import saved

Post = Callable[..., Response]
NEVER = "01KAT3Y5W7ZQH9N4C8RSBV6XEM"
MOVES = ("cancel", "retry", "continue")


@pytest.fixture
def ended(dreaming: Claim) -> str:
    """The id of a dream that left a state at iteration 10 and failed."""
    dreaming.checkpoint(10, saved(b"state"))
    dreaming.succeed()
    return dreaming.job.id


def code(answer: Response) -> tuple[int, str]:
    """Status and code of a problem."""
    return answer.status_code, answer.json()["code"]


def test_a_deadline_and_a_queue_are_posted_beside_the_spec(post: Post, ledger: Ledger) -> None:
    """With flat fields or with a spec; neither becomes a part of it."""
    flat = post(timeout_s="600", queue="bulk", iterations="3").json()
    whole = post(timeout_s="600", queue="bulk", spec='{"iterations": 3}').json()

    assert flat["spec"] == whole["spec"]
    assert "timeout_s" not in flat["spec"]
    for job in (ledger.get(flat["id"]), ledger.get(whole["id"])):
        assert job.expires_at is not None
        assert 599 < (job.expires_at - job.created_at).total_seconds() < 601
    assert ledger.queue().queues["bulk"].queued == 2


def test_without_a_deadline_a_dream_never_expires(post: Post) -> None:
    """Null in the form is what JSON calls null."""
    assert post().json()["expires_at"] is None
    assert post(timeout_s="null").json()["expires_at"] is None


@pytest.mark.parametrize(
    "value", ["0", "-1", "nan", "inf", "1e400", "soon", "", "1_000", "2592001", "٣", "9" * 5000]
)
def test_a_deadline_of_any_other_form_is_a_422(value: str, post: Post) -> None:
    """Naming the field, and never a 500."""
    answer = post(timeout_s=value)

    assert code(answer) == (422, "invalid-spec")
    assert answer.json()["errors"][0]["field"] == "timeout_s"


def test_a_queue_of_another_name_lists_both(post: Post) -> None:
    """The way out is in the answer."""
    assert post(queue="fast").json()["errors"][0]["allowed"] == ["interactive", "bulk"]


def test_a_slip_in_a_name_is_told_the_right_one(post: Post) -> None:
    """Of the spec's fields and of those beside it alike."""
    assert post(timeout="5").json()["errors"][0]["allowed"][0] == "timeout_s"
    assert code(post(spec="{}", timeout="5")) == (422, "unknown-field")
    assert post(iteration="5").json()["errors"][0]["allowed"][0] == "iterations"


def test_a_field_beside_the_spec_is_given_once(
    api: TestClient, encode: Callable[..., bytes]
) -> None:
    """As every field."""
    files = [
        ("image", ("a", encode())),
        ("timeout_s", (None, "5")),
        ("timeout_s", (None, "6")),
    ]

    assert "more than once" in api.post("/dreams", files=files).json()["detail"]


def test_a_waiting_dream_is_canceled_at_once_and_twice_is_the_same(
    post: Post, api: TestClient
) -> None:
    """Idempotent: the second answer is the first."""
    here = post().json()["links"]["self"]
    first, second = api.post(f"{here}/cancel"), api.post(f"{here}/cancel")

    assert first.status_code == second.status_code == 200
    assert first.json()["status"] == "canceled"
    assert first.json() == second.json()


def test_a_running_dream_is_canceling_until_its_worker_has_stopped(
    dreaming: Claim, api: TestClient
) -> None:
    """The answer comes at once; the frames there are stay."""
    here = f"/dreams/{dreaming.job.id}"
    answer = api.post(f"{here}/cancel")

    assert answer.json()["status"] == "canceling"
    assert api.get(f"{here}/frames/10").status_code == 200


def test_a_dream_that_has_ended_stays_as_it_ended(ended: str, api: TestClient) -> None:
    """To cancel it is no fault: it is as the caller wants it, over."""
    assert api.post(f"/dreams/{ended}/cancel").json()["status"] == "succeeded"


def test_a_retry_is_a_new_dream_of_the_same(ended: str, api: TestClient) -> None:
    """202 and its address; the same spec and source, and it names its parent."""
    before = api.get(f"/dreams/{ended}").json()
    answer = api.post(f"/dreams/{ended}/retry", data={"timeout_s": "60"})
    job = answer.json()

    assert answer.status_code == 202
    assert answer.headers["location"] == job["links"]["self"] != before["links"]["self"]
    assert (job["parent"], job["spec"], job["source"]) == (ended, before["spec"], before["source"])
    assert job["status"] == "queued"
    assert job["expires_at"] is not None


@pytest.mark.parametrize("how", ["multipart", "urlencoded"])
def test_a_dream_goes_on_for_so_many_iterations_more(how: str, ended: str, api: TestClient) -> None:
    """It counts on from its parent's last state; both kinds of form are read."""
    here = f"/dreams/{ended}/continue"
    if how == "multipart":
        answer = api.post(here, files={"iterations": (None, "7")})
    else:
        answer = api.post(here, data={"iterations": "7"})
    job = answer.json()

    assert answer.status_code == 202
    assert answer.headers["location"] == f"/dreams/{job['id']}"
    assert job["parent"] == ended
    assert job["progress"]["iterations"] == job["spec"]["iterations"] == 17
    assert job["progress"]["iteration"] == 10


@pytest.mark.parametrize(
    "value", ["0", "-1", "1.5", "many", "", "1e9", "10000", "9" * 5000, "null", "1_0"]
)
def test_more_of_any_other_form_is_a_422(value: str, ended: str, api: TestClient) -> None:
    """Also what is too many in all."""
    answer = api.post(f"/dreams/{ended}/continue", data={"iterations": value})

    assert code(answer) == (422, "invalid-spec")


def test_how_many_more_has_to_be_said(ended: str, api: TestClient) -> None:
    """There is no default that everybody would mean."""
    answer = api.post(f"/dreams/{ended}/continue")

    assert code(answer) == (422, "invalid-spec")
    assert answer.json()["detail"] == "iterations is missing; give it, like iterations=10"


def test_what_has_not_ended_is_neither_retried_nor_continued(
    dreaming: Claim, api: TestClient
) -> None:
    """409 with the ways out."""
    here = f"/dreams/{dreaming.job.id}"
    for answer in (
        api.post(f"{here}/retry"),
        api.post(f"{here}/continue", data={"iterations": "1"}),
    ):
        assert code(answer) == (409, "not-finished")
        assert f"{here}/cancel" in answer.json()["detail"]


def test_what_left_no_state_is_retried_and_not_continued(post: Post, api: TestClient) -> None:
    """It was canceled before it began."""
    here = post().json()["links"]["self"]
    api.post(f"{here}/cancel")

    assert code(api.post(f"{here}/continue", data={"iterations": "1"})) == (409, "no-state")
    assert api.post(f"{here}/retry").status_code == 202


@pytest.mark.parametrize(("move", "fields"), [("retry", {}), ("continue", {"iterations": "1"})])
def test_what_fits_no_more_is_not_dreamed_again(
    move: str,
    fields: dict[str, str],
    ended: str,
    api: TestClient,
    client: redis.Redis,
    ledger: Ledger,
) -> None:
    """As what is posted: refused by the memory there is now, before it waits for nothing."""
    here, scripts = f"/dreams/{ended}/{move}", Scripts(client)
    worker = Presence(host="here", slot=0, pid=1, memory_bytes=1_000_000)

    announce(scripts, worker)
    refused = api.post(here, data=fields)
    waiting = ledger.queue().queues["interactive"].queued
    announce(scripts, worker.model_copy(update={"memory_bytes": 10**10}))
    taken = api.post(here, data=fields)

    assert code(refused) == (422, "memory-exceeded")
    assert "this server has 0.00 GB for it" in refused.json()["detail"]
    assert waiting == 0
    assert taken.status_code == 202


def test_what_runs_is_told_so_before_the_memory_it_would_need(
    dreaming: Claim, api: TestClient, client: redis.Redis
) -> None:
    """To wait for its end is a way out; a smaller picture is none."""
    announce(Scripts(client), Presence(host="here", slot=0, pid=1, memory_bytes=1_000_000))

    answer = api.post(f"/dreams/{dreaming.job.id}/retry")

    assert code(answer) == (409, "not-finished")


def test_a_deleted_dream_is_gone_from_disk_and_redis_and_twice_is_the_same(
    dreaming: Claim, api: TestClient, client: redis.Redis, store: Store
) -> None:
    """204 each time; nothing is left, whatever it was doing."""
    here = f"/dreams/{dreaming.job.id}"
    answers = [api.delete(here) for _ in range(2)]

    assert [(answer.status_code, answer.content) for answer in answers] == [(204, b"")] * 2
    assert code(api.get(here)) == (404, "unknown-dream")
    assert list(store.root.iterdir()) == []
    assert not [key for key in client.scan_iter() if dreaming.job.id in key]
    assert api.get("/dreams").json()["dreams"] == []


@pytest.mark.parametrize("dream", ["1", "%00", "%ff", "☃", "a" * 5000, "..%2f..", NEVER.lower()])
@pytest.mark.parametrize("move", [*MOVES, "DELETE"])
def test_what_no_dream_could_be_called_is_404(dream: str, move: str, api: TestClient) -> None:
    """An id is looked up, never made a path."""
    if move == "DELETE":
        answer = api.delete(f"/dreams/{dream}")
    else:
        answer = api.post(
            f"/dreams/{dream}/{move}", data={"iterations": "1"} if move == "continue" else {}
        )

    assert answer.status_code == 404


def test_a_dream_that_never_was_is_gone_as_one_that_was_deleted(api: TestClient) -> None:
    """After a DELETE nobody can tell; nothing can be moved that isn't there."""
    assert api.delete(f"/dreams/{NEVER}").status_code == 204
    for move in MOVES:
        answer = api.post(
            f"/dreams/{NEVER}/{move}", data={"iterations": "1"} if move == "continue" else {}
        )
        assert code(answer) == (404, "unknown-dream")


def sent(content: bytes, kind: str | None) -> dict[str, Any]:
    """A body of that kind."""
    return {"content": content, "headers": {"Content-Type": kind} if kind else {}}


MULTIPART = "multipart/form-data; boundary=x"


@pytest.mark.parametrize(
    ("body", "wanted"),
    [
        (sent(b"force=1", "application/x-www-form-urlencoded"), (422, "unknown-field")),
        (sent(b"\xff=%ff", "application/x-www-form-urlencoded"), (400, "malformed-form")),
        (sent(b"a=%ff", "application/x-www-form-urlencoded"), (400, "malformed-form")),
        (sent(b"a&" * 1000, "application/x-www-form-urlencoded"), (400, "malformed-form")),
        (sent(b"x" * 70_000, "application/x-www-form-urlencoded"), (400, "malformed-form")),
        (sent(b"{}", "application/json"), (415, "unsupported-media-type")),
        (sent(b"x", None), (415, "unsupported-media-type")),
        (sent(b"--x\r\n", MULTIPART), (400, "malformed-form")),
        (sent(b"--x--\r\n", "multipart/form-data"), (400, "malformed-form")),
        (
            sent(
                b'--x\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\nP\r\n'
                b"--x--\r\n",
                MULTIPART,
            ),
            (422, "unknown-field"),
        ),
    ],
)
@pytest.mark.parametrize("move", ["cancel", "retry", "pause"])
def test_a_body_that_is_not_taken_is_refused(
    move: str, body: dict[str, Any], wanted: tuple[int, str], ended: str, api: TestClient
) -> None:
    """Nothing is silently ignored, and nothing is a 500."""
    address = "/queue/pause" if move == "pause" else f"/dreams/{ended}/{move}"

    assert code(api.post(address, **body)) == wanted
    assert not api.get("/queue").json()["paused"]


@pytest.mark.parametrize("address", ["cancel", "retry", "continue"])
def test_a_query_is_not_taken_for_a_form(address: str, ended: str, api: TestClient) -> None:
    """Where a field was meant, the answer says so."""
    answer = api.post(f"/dreams/{ended}/{address}?iterations=5")

    assert code(answer) == (422, "unknown-parameter")


def test_dreams_are_listed_by_how_they_stand(post: Post, api: TestClient, ledger: Ledger) -> None:
    """Page by page, none twice and none left out."""
    ids = [post().json()["id"] for _ in range(5)]
    for job_id in ids[1::2]:
        ledger.cancel(job_id)
    pages, address = [], "/dreams?limit=2&status=queued"
    while address:
        page = api.get(address).json()
        pages.append([job["id"] for job in page["dreams"]])
        address = page["next"]

    assert pages == [[ids[4], ids[2]], [ids[0]]]
    canceled = api.get("/dreams?status=canceled").json()
    assert [job["id"] for job in canceled["dreams"]] == [ids[3], ids[1]]
    assert canceled["next"] is None
    assert code(api.get("/dreams?status=lost")) == (422, "invalid-parameter")


def test_the_queue_tells_what_waits(post: Post, dreaming: Claim, api: TestClient) -> None:
    """How many in each queue, how many run, who is there."""
    _ = dreaming
    post(queue="bulk")
    state = api.get("/queue").json()

    assert (state["queued"], state["running"], state["paused"]) == (1, 1, False)
    assert state["queues"]["bulk"]["queued"] == 1
    assert state["queues"]["interactive"] == {
        "queued": 0,
        "oldest_at": None,
        "oldest_age_s": None,
    }
    assert state["workers"] == []


def test_a_paused_queue_takes_dreams_and_starts_none(
    post: Post, api: TestClient, ledger: Ledger
) -> None:
    """Paused twice is paused once; a waiting dream says for what it waits."""
    first, second = api.post("/queue/pause").json(), api.post("/queue/pause").json()
    job = post().json()

    assert first["paused"]
    assert first["since"] == second["since"] is not None
    assert "paused" in job["queue"]["waits_for"]
    assert ledger.claim(job["id"], "host:0") is None
    assert not api.post("/queue/resume").json()["paused"]
    assert api.post("/queue/resume").json()["since"] is None
    assert ledger.claim(job["id"], "host:0") is not None


def test_a_full_queue_says_when_to_come_again(
    settings: Settings, encode: Callable[..., bytes]
) -> None:
    """429 with Retry-After, for a post and for a retry; what is there goes on."""
    full = settings.model_copy(update={"max_queued": 1})
    api = TestClient(create_app(full), raise_server_exceptions=False)
    files = {"image": ("a", encode())}
    job = api.post("/dreams", files=files).json()
    refused = api.post("/dreams", files=files)
    api.post(f"{job['links']['self']}/cancel")
    taken = api.post("/dreams", files=files)
    again = api.post(f"{job['links']['self']}/retry")

    assert code(refused) == code(again) == (429, "queue-full")
    assert int(refused.headers["retry-after"]) > 0
    assert "the limit is 1" in refused.json()["detail"]
    assert taken.status_code == 202


def test_under_the_floor_of_free_disk_new_dreams_are_refused_with_both_figures(
    settings: Settings, encode: Callable[..., bytes], store: Store
) -> None:
    """507 with the way out; nothing of it stays on the disk."""
    floor = settings.model_copy(update={"min_free_disk": 10**18})
    api = TestClient(create_app(floor), raise_server_exceptions=False)
    answer = api.post("/dreams", files={"image": ("a", encode())})

    assert code(answer) == (507, "disk-full")
    assert int(answer.headers["retry-after"]) > 0
    said = answer.json()["detail"]
    assert re.fullmatch(
        r"the disk has \S+ GB free, 1,000,000,000 GB are kept free \(DREAM_MIN_FREE_DISK\); "
        "delete dreams, free space, or lower it",
        said,
    )
    assert not store.root.exists() or list(store.root.iterdir()) == []
