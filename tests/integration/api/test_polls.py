"""How a dream stands, asked again and again: no old answer, and what can't be told is passed on."""

import json
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from fastapi.testclient import TestClient

from api import polls
from api.app import create_app
from api.documents import JobDocument
from jobs import line
from jobs.claim import Claim
from jobs.connection import connect
from jobs.ledger import Ledger
from jobs.presence import Presence, announce
from jobs.record import Problem
from jobs.scripts import Scripts
from jobs.settings import Settings
from jobs.store import Picture, Store
from tests.faults.outside import Outside, outside
from tests.integration.api.conftest import Post
from tests.integration.api.polling import Asked, asking, calls, running, settle

PROBLEM = Problem(code="weights-corrupt", title="Weights corrupt", detail="checksum …")
Change = Callable[[Claim, Ledger], object]


pytestmark = pytest.mark.usefixtures("no_time_passes")


@pytest.fixture
def asked(settings: Settings) -> Iterator[Asked]:
    """Polls on the session's server."""
    with asking(settings) as up:
        yield up


@pytest.mark.parametrize("which", ["runs", "waits"])
def test_the_answer_is_that_of_the_route(
    settings: Settings, dreaming: Claim, post: Post, client: redis.Redis, which: str
) -> None:
    """With its headers, HEAD too; `api` was never started, so it has no line."""
    announce(Scripts(client), Presence(host="höst", slot=0, pid=1, state="dreaming"))
    waiting = [post().json()["id"] for _ in range(2)][1]
    here = f"/dreams/{dreaming.job.id if which == 'runs' else waiting}"
    api = TestClient(create_app(settings), "http://testserver")
    with TestClient(create_app(settings), "http://testserver") as served:
        for _ in range(100):  # until it has its line
            read = calls(client, "hgetall")
            served.get(here)
            if calls(client, "hgetall") == read:
                break
        for method in ("GET", "HEAD"):
            kept, told = served.request(method, here), api.request(method, here)

            assert kept.content == told.content
            assert {**kept.headers, "x-request-id": ""} == {**told.headers, "x-request-id": ""}
        assert calls(client, "hgetall") == read + 2  # by `api`


def test_nothing_is_read_where_nothing_has_changed(
    asked: Asked, dreaming: Claim, client: redis.Redis
) -> None:
    """The record is asked for its seq alone, and the same bytes are sent again."""
    first = asked.messages(f"/dreams/{dreaming.job.id}")
    before = calls(client, "hgetall")

    again = [asked.messages(f"/dreams/{dreaming.job.id}") for _ in range(3)]

    assert again == [first] * 3
    assert calls(client, "hgetall") == before


@pytest.mark.parametrize(
    ("change", "part", "value"),
    [
        (lambda claim, _: claim.progress(11, {}), "progress", 11),
        (
            lambda claim, _: claim.publish_frame(20, 9, 9, b"png"),
            "frames",
            {"count": 3, "latest": 20},
        ),
        (lambda claim, ledger: ledger.cancel(claim.job.id), "status", "canceling"),
        (lambda claim, _: claim.succeed(), "status", "succeeded"),
        (lambda claim, _: claim.fail(PROBLEM), "status", "failed"),
    ],
)
def test_a_change_is_in_the_very_next_answer(
    asked: Asked,
    dreaming: Claim,
    ledger: Ledger,
    client: redis.Redis,
    change: Change,
    part: str,
    value: object,
) -> None:
    """Whatever was answered before: what Redis has told of is found."""
    before = asked.document(dreaming.job.id)
    change(dreaming, ledger)
    settle(client)

    now = asked.document(dreaming.job.id)

    assert now["seq"] > before["seq"]
    assert (now[part]["iteration"] if part == "progress" else now[part]) == value
    assert now == json.loads(JobDocument.of(ledger.get(dreaming.job.id)).model_dump_json())


@pytest.mark.parametrize(
    "remove",
    [
        lambda job_id, ledger, _: ledger.delete(job_id),
        lambda _, __, client: client.flushall(),
    ],
    ids=["deleted", "flushed"],
)
def test_a_dream_that_is_gone_is_passed_on(
    asked: Asked,
    dreaming: Claim,
    ledger: Ledger,
    client: redis.Redis,
    remove: Callable[[str, Ledger, redis.Redis], object],
) -> None:
    """Also where there is an answer of before."""
    assert asked.document(dreaming.job.id)

    remove(dreaming.job.id, ledger, client)
    settle(client)

    assert asked.document(dreaming.job.id) is None


@pytest.mark.parametrize(
    ("path", "asks"),
    [
        ("/dreams/{}", {"query": b"x=1"}),
        ("/dreams/{}", {"method": "DELETE"}),
        ("/dreams/{}/", {}),
        ("/dreams/{}/frames", {}),
        ("/dreams", {}),
        ("/dreams/01KAT3Y5W7ZQH9N4C8RSBV6XEM", {}),
        ("/dreams/*", {}),
    ],
)
def test_all_else_is_passed_on(
    asked: Asked, dreaming: Claim, path: str, asks: dict[str, Any]
) -> None:
    """Checked, counted and answered where it always was."""
    assert asked.messages(path.format(dreaming.job.id), **asks) == []


def test_only_so_many_answers_are_kept(
    asked: Asked,
    ledger: Ledger,
    picture: Picture,
    client: redis.Redis,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Those that were made last; another is read once more."""
    monkeypatch.setattr(polls, "KEPT", 2)
    ids = [running(ledger, picture).job.id for _ in range(3)]
    for job_id in ids:
        asked.document(job_id)
    before = calls(client, "hgetall")

    kept = [asked.document(job_id)["id"] for job_id in ids[1:]]
    between = calls(client, "hgetall")
    asked.document(ids[0])

    assert kept == ids[1:]
    assert (between, calls(client, "hgetall")) == (before, before + 1)


def test_scripts_that_redis_was_told_to_forget_are_told_again(
    asked: Asked, dreaming: Claim, client: redis.Redis
) -> None:
    """By the line itself: the application isn't asked."""
    assert asked.document(dreaming.job.id)
    client.script_flush()

    assert asked.document(dreaming.job.id)["status"] == "running"


@pytest.fixture
def valkey(tmp_path: Path) -> Iterator[Outside]:
    """A server of the test's own, to be killed."""
    with outside(tmp_path / "valkey") as up:
        yield up


@pytest.mark.parametrize("over", ["its socket", "TCP"])
def test_a_password_and_a_database_lead_to_the_same_redis(
    valkey: Outside, tmp_path: Path, picture: Picture, over: str
) -> None:
    """The line reads the URL as the ledger does."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    told = connect(Settings(data_dir=valkey.data_dir))
    told.config_set("port", port)
    told.config_set("requirepass", "sword/fish")
    url = f"{valkey.url}?db=3" if over == "its socket" else f"redis://127.0.0.1:{port}/3"
    settings = Settings(redis_url=url, redis_password="sword/fish")  # type: ignore[arg-type]
    ledger = Ledger(connect(settings), Store(tmp_path / "data"), lambda *_, **__: None)
    claim = running(ledger, picture)

    with asking(settings) as asked:
        assert asked.document(claim.job.id)["status"] == "running"


@pytest.mark.parametrize("lost", ["nothing", "its last second", "everything"])
def test_a_redis_that_started_anew_is_never_answered_for_from_before(
    valkey: Outside, tmp_path: Path, picture: Picture, lost: str
) -> None:
    """Its seq may have been told already for something else; the next one goes past all of them."""
    settings = Settings(data_dir=valkey.data_dir)
    client = connect(settings)
    ledger = Ledger(client, Store(tmp_path / "data"), lambda *_, **__: None)
    claim = running(ledger, picture)
    client.execute_command("WAITAOF", 1, 0, 10_000)
    length = valkey.written()
    claim.progress(1, {})
    with asking(settings) as asked:
        before = asked.document(claim.job.id)
        client.execute_command("WAITAOF", 1, 0, 10_000)
        valkey.kill()
        while_away = asked.document(claim.job.id)
        if lost == "its last second":
            valkey.forget_after(length)
        elif lost == "everything":
            valkey.forget_everything()
        valkey.start()
        asked.connect()
        after = asked.document(claim.job.id)

    assert while_away is None
    if lost == "everything":
        assert after is None
    else:
        assert after["seq"] > before["seq"] + 1
        assert after["progress"]["iteration"] == (lost == "nothing")


def test_a_redis_that_says_nothing_is_left_to_the_ledger(
    valkey: Outside, tmp_path: Path, picture: Picture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which knows how long to wait, and what to say; once it talks again, so does the line."""
    settings = Settings(data_dir=valkey.data_dir)
    ledger = Ledger(connect(settings), Store(tmp_path / "data"), lambda *_, **__: None)
    claim = running(ledger, picture)
    with asking(settings) as asked:
        before = asked.document(claim.job.id)
        valkey.stop()
        monkeypatch.setattr(line, "TRUST_S", 0)
        silent = [asked.document(claim.job.id) for _ in range(2)]
        valkey.go_on()
        claim.progress(1, {})
        asked.connect()

        assert before["progress"]["iteration"] == 0
        assert silent == [None, None]
        assert asked.document(claim.job.id)["progress"]["iteration"] == 1
