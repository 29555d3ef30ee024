"""An answer that is sent again without a question: only where Redis would have said otherwise."""

import asyncio
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis
from fastapi import FastAPI
from fastapi.testclient import TestClient
from starlette.types import Message, Receive, Scope, Send

from api.app import create_app
from api.documents import JobDocument
from api.polls import Polls
from jobs import line
from jobs.claim import Claim
from jobs.connection import connect
from jobs.ledger import Ledger
from jobs.line import Line
from jobs.presence import Presence, announce, withdraw
from jobs.scripts import Scripts
from jobs.settings import Settings
from jobs.standing import SCRIPT
from jobs.store import Picture, Store
from tests.faults.outside import Outside, outside
from tests.integration.api.conftest import Post
from tests.integration.api.polling import (
    ROUTE,
    Asked,
    asking,
    asking_for,
    calls,
    relayed,
    running,
    settle,
)

WORKER = Presence(host="host", slot=0, pid=1, state="dreaming")


pytestmark = pytest.mark.usefixtures("no_time_passes")


@pytest.fixture
def asked(settings: Settings) -> Iterator[Asked]:
    """Polls on the session's server."""
    with asking(settings) as up:
        yield up


@pytest.fixture
def valkey(tmp_path: Path) -> Iterator[Outside]:
    """A server of the test's own."""
    with outside(tmp_path / "valkey") as up:
        yield up


def of_ledger(ledger: Ledger, job_id: str) -> object:
    """The document of a dream as its route tells it."""
    return json.loads(JobDocument.of(ledger.get(job_id)).model_dump_json())


@pytest.mark.parametrize("which", ["runs", "waits"])
def test_redis_is_not_asked_where_it_has_said_nothing(
    asked: Asked, dreaming: Claim, post: Post, client: redis.Redis, which: str
) -> None:
    """What runs as well as what waits."""
    waiting = post().json()["id"]
    job_id = dreaming.job.id if which == "runs" else waiting
    first = asked.document(job_id)
    before = calls(client, "evalsha")

    again = [asked.document(job_id) for _ in range(3)]

    assert again == [first] * 3
    assert calls(client, "evalsha") == before


def test_what_is_heard_beside_another_answer_counts(
    asked: Asked, dreaming: Claim, ledger: Ledger, picture: Picture, client: redis.Redis
) -> None:
    """Whose question reads the word of a change isn't who would have asked next."""
    other = running(ledger, picture)
    for job_id in (dreaming.job.id, other.job.id):
        asked.document(job_id)
    dreaming.progress(11, {})
    other.progress(1, {})
    settle(client)

    assert asked.document(other.job.id)["progress"]["iteration"] == 1
    assert asked.document(dreaming.job.id)["progress"]["iteration"] == 11


@pytest.mark.parametrize(
    "change",
    [
        lambda ledger, first, _: ledger.cancel(first),
        lambda ledger, first, _: ledger.claim(first, "host:1"),
        lambda ledger, first, _: ledger.delete(first),
        lambda ledger, *_: ledger.pause(),
        lambda _, __, client: announce(Scripts(client), WORKER.model_copy(update={"slot": 1})),
        lambda _, __, client: withdraw(client, WORKER.name),
    ],
    ids=["canceled", "claimed", "deleted", "paused", "comes", "goes"],
)
def test_what_a_dream_waits_for_is_in_the_very_next_answer(
    asked: Asked,
    post: Post,
    ledger: Ledger,
    client: redis.Redis,
    change: Callable[[Ledger, str, redis.Redis], object],
) -> None:
    """Its place, a pause, the workers: none of them is in its record."""
    announce(Scripts(client), WORKER)
    first, *others = (post().json()["id"] for _ in range(3))
    for job_id in others:
        assert asked.document(job_id) == of_ledger(ledger, job_id)

    change(ledger, first, client)
    settle(client)

    for job_id in others:  # the question on one of them reads what Redis says
        assert asked.document(job_id) == of_ledger(ledger, job_id)


def test_the_end_of_a_pause_is_in_the_very_next_answer(
    asked: Asked, post: Post, ledger: Ledger, client: redis.Redis
) -> None:
    """A key that is gone has changed, too."""
    waiting = post().json()["id"]
    ledger.pause()
    before = asked.document(waiting)
    ledger.resume()
    settle(client)

    assert "paused" in before["queue"]["waits_for"]
    assert "paused" not in asked.document(waiting)["queue"]["waits_for"]


def test_a_word_of_a_worker_that_expires_is_no_word(
    asked: Asked, post: Post, ledger: Ledger, client: redis.Redis
) -> None:
    """Nobody withdraws it: Redis says so itself when it lets it go."""
    announce(Scripts(client), WORKER)
    waiting = post().json()["id"]
    before = asked.document(waiting)
    expired = client.info("stats")["expired_keys"]  # type: ignore[index]
    client.pexpire(f"worker:{WORKER.name}", 1)
    while client.info("stats")["expired_keys"] == expired:  # type: ignore[index]
        pass  # it looks every 100 ms; until then it would still be answered for
    settle(client)

    assert before["queue"]["waits_for"] != (after := asked.document(waiting))["queue"]["waits_for"]
    assert after == of_ledger(ledger, waiting)


async def receive() -> Message:
    """No poll has a body."""
    raise AssertionError("the body was asked for")


def test_what_redis_has_said_counts_before_the_loop_comes_to_it(
    settings: Settings, dreaming: Claim, ledger: Ledger, client: redis.Redis
) -> None:
    """Who is told of a change asks at once, and a busy loop may read that first."""
    found: list[Message] = []

    async def send(message: Message) -> None:
        found.append(message)

    async def play() -> None:
        of = Line(settings, SCRIPT)
        polls = Polls(FastAPI(), of, ROUTE)
        async with of.held():
            for _ in range(2):  # the first one connects
                await polls(asking_for(f"/dreams/{dreaming.job.id}"), receive, send)
            ledger.cancel(dreaming.job.id)  # the loop stands still meanwhile
            settle(client)
            await polls(asking_for(f"/dreams/{dreaming.job.id}"), receive, send)

    asyncio.run(play())

    statuses = [json.loads(each["body"])["status"] for each in found[1::2]]
    assert statuses == ["running", "running", "canceling"]


def test_who_is_answered_that_something_changed_has_redis_asked(
    settings: Settings, dreaming: Claim, client: redis.Redis
) -> None:
    """Redis may send its word of it a moment after its answer."""
    path = f"/dreams/{dreaming.job.id}"
    asked = []

    async def change(_: Scope, __: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def count(_: Message) -> None:
        asked.append(calls(client, "evalsha"))

    async def answered(_: Message) -> None:
        await polls(asking_for(path), receive, count)

    async def play() -> None:
        async with of.held():
            for _ in range(3):
                await polls(asking_for(path), receive, count)
            await polls(asking_for(f"{path}/cancel", "POST"), receive, answered)

    of = Line(settings, SCRIPT)
    polls = Polls(change, of, ROUTE)
    asyncio.run(play())

    *_, before, after, _ = asked
    assert after == before + 1


def test_a_question_from_before_a_change_is_asked_again(
    valkey: Outside, tmp_path: Path, picture: Picture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its answer may be from before, though it comes after who changed it was told."""
    monkeypatch.setattr(line, "SILENCE_S", 60)
    settings = Settings(data_dir=valkey.data_dir)
    client = connect(settings)
    ledger = Ledger(client, Store(tmp_path / "data"), lambda *_, **__: None)
    path = f"/dreams/{running(ledger, picture).job.id}"
    with asking(settings) as asked:
        valkey.stop()
        first = asked.begin(path)
        asked.messages(path, "POST")
        valkey.go_on()
        assert first.result()
        before = calls(client, "evalsha")
        asked.messages(path)

        assert calls(client, "evalsha") == before + 1


@pytest.mark.parametrize("how", ["ended", "reset"])
def test_a_line_that_broke_is_believed_no_longer(
    dreaming: Claim, client: redis.Redis, how: str
) -> None:
    """Not for one answer: Redis could not have said anything."""
    there = client.connection_pool.connection_kwargs["path"]
    with relayed(there) as relay, asking(Settings(redis_url=relay.url)) as asked:  # type: ignore[arg-type]
        before = asked.document(dreaming.job.id)
        relay.cut(reset=how == "reset")
        asked.turn()  # the loop lets go of a socket that was reset, and its number is another's
        others = [each for _ in range(4) for each in os.pipe()]
        dreaming.progress(11, {})
        broken = [asked.document(dreaming.job.id) for _ in range(2)]
        for each in others:
            os.close(each)
        asked.connect()

        assert before["progress"]["iteration"] == 10
        assert broken == [None, None]
        assert asked.document(dreaming.job.id)["progress"]["iteration"] == 11


def test_a_redis_that_hangs_is_believed_for_so_long_and_no_longer(
    valkey: Outside, tmp_path: Path, picture: Picture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By what it said last it can't be told from one that has nothing to say."""
    settings = Settings(data_dir=valkey.data_dir)
    ledger = Ledger(connect(settings), Store(tmp_path / "data"), lambda *_, **__: None)
    claim = running(ledger, picture)
    with asking(settings) as asked:
        before = asked.document(claim.job.id)
        valkey.stop()
        at_once = asked.document(claim.job.id)
        monkeypatch.setattr(line, "TRUST_S", 0)
        later = asked.document(claim.job.id)

        assert at_once == before
        assert later is None


def test_where_redis_may_not_say_it_it_is_asked(
    valkey: Outside, tmp_path: Path, picture: Picture
) -> None:
    """Some deployers' Redis lets nobody follow keys."""
    settings = Settings(data_dir=valkey.data_dir)
    client = connect(settings)
    client.execute_command("ACL", "SETUSER", "default", "-client|tracking")
    ledger = Ledger(client, Store(tmp_path / "data"), lambda *_, **__: None)
    claim = running(ledger, picture)
    with asking(settings) as asked:
        before = asked.document(claim.job.id)
        claim.progress(1, {})

        assert before["progress"]["iteration"] == 0
        assert asked.document(claim.job.id)["progress"]["iteration"] == 1


@pytest.mark.parametrize("ended", ["cancel", "delete"])
def test_by_http_a_change_is_in_the_very_next_answer(
    settings: Settings, dreaming: Claim, ended: str
) -> None:
    """Through all of the application: canceled is canceling, and deleted is 404."""
    here = f"/dreams/{dreaming.job.id}"
    with TestClient(create_app(settings), "http://testserver") as served:
        for _ in range(3):
            assert served.get(here).json()["status"] == "running"
        if ended == "cancel":
            served.post(f"{here}/cancel")
            assert served.get(here).json()["status"] == "canceling"
        else:
            served.delete(here)
            assert served.get(here).status_code == 404
