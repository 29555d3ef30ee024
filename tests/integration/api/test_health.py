"""Alive and ready: two questions with two answers."""

import errno
import os
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
import redis
from fastapi.testclient import TestClient

from api.app import create_app
from dream_core.catalogue import Catalogue
from jobs.connection import PROBE, REQUEST, connect
from jobs.ledger import Ledger
from jobs.presence import Presence, announce
from jobs.scripts import Scripts
from jobs.settings import Settings
from jobs.valkey import wait_until_up

Announce = Callable[..., None]
Encode = Callable[..., bytes]
Start = Callable[..., AbstractContextManager["subprocess.Popen[str]"]]


@pytest.fixture
def worker(client: redis.Redis) -> Announce:
    """Let a worker say what it does."""
    scripts = Scripts(client)

    def say(**fields: object) -> None:
        announce(scripts, Presence(host="host", slot=0, pid=1, **fields))  # type: ignore[arg-type]

    return say


@pytest.fixture
def api19(settings: Settings) -> TestClient:
    """The API of a stack whose workers fetch VGG-19 before their first job."""
    app = create_app(settings.model_copy(update={"preload": "vgg19"}))
    return TestClient(app, raise_server_exceptions=False)


def reasons(api: TestClient) -> dict[str, str]:
    """What /readyz says is missing, when it is a whole problem."""
    answer = api.get("/readyz")
    told = answer.json()
    assert (answer.status_code, told["code"]) == (503, "not-ready")
    assert int(answer.headers["retry-after"]) > 0
    return {fault["field"]: fault["message"] for fault in told["errors"]}


def test_the_api_is_alive_whatever_else_is(api: TestClient) -> None:
    """For who restarts what is dead: it asks neither Redis nor worker."""
    assert api.get("/healthz").json() == {"status": "ok"}


def test_a_stack_is_ready_when_all_four_are(api: TestClient, worker: Announce) -> None:
    """Redis, a worker, its weights, the disk."""
    worker(state="idle")
    answer = api.get("/readyz")

    assert answer.status_code == 200
    assert answer.json()["status"] == "ready"
    assert set(answer.json()["checks"]) == {"redis", "worker", "weights", "disk", "queue"}


def test_without_a_worker_it_says_so(api: TestClient) -> None:
    """And how one comes."""
    assert "none is up; `dream up` starts one" in reasons(api)["worker"]


def test_weights_on_their_way_are_told_with_their_bytes(
    api19: TestClient, worker: Announce
) -> None:
    """A newcomer sees that it moves."""
    before = reasons(api19)
    worker(state="pulling", model="vgg19", bytes_done=12_400_000, bytes_total=80_100_000)
    meanwhile = reasons(api19)
    worker(state="idle", model="vgg19")
    weights = Catalogue.load().weights("vgg19")
    weights.parent.mkdir(parents=True)
    weights.touch()

    assert "dream models pull vgg19" in before["weights"]
    assert meanwhile["weights"] == "vgg19: 12 of 80 MB so far"
    assert api19.get("/readyz").status_code == 200


def test_weights_that_could_not_be_had_say_why(api19: TestClient, worker: Announce) -> None:
    """In the worker's own words."""
    worker(state="idle", problem="offline; bring the file")

    assert reasons(api19)["weights"] == "offline; bring the file"


def test_a_redis_that_is_away_is_told(settings: Settings, tmp_path: Path) -> None:
    """Readiness is an answer, not a failure of its own."""
    away = settings.model_copy(update={"redis_url": None, "data_dir": tmp_path / "away"})

    assert "Redis doesn't answer" in reasons(TestClient(create_app(away)))["redis"]


@pytest.fixture
def stopped(tmp_path: Path, start: Start) -> Iterator[TestClient]:
    """The API of a stack whose Redis takes bytes and never answers."""
    own = Settings(data_dir=tmp_path / "own", preload="none", allowed_hosts="testserver")
    with start("jobs.valkey", own) as child:
        wait_until_up(connect(own))
        api = TestClient(create_app(own), raise_server_exceptions=False)
        assert api.get("/dreams").status_code == 200
        assert reasons(api).keys() == {"worker"}
        child.send_signal(signal.SIGSTOP)
        yield api
        child.send_signal(signal.SIGCONT)


@pytest.mark.timeout(20)
def test_a_redis_that_never_answers_is_told_and_nothing_hangs(
    stopped: TestClient, encode: Encode
) -> None:
    """A connection whose other end is gone: each call ends with a problem, and says come again."""
    assert "Redis doesn't answer" in reasons(stopped)["redis"]
    picture = {"image": ("a", encode())}
    with ThreadPoolExecutor() as at_once:
        posts = [at_once.submit(stopped.post, "/dreams", files=picture) for _ in range(6)]
        posted = [post.result() for post in posts]  # not one after the other
    for answer in (stopped.get("/dreams"), stopped.get("/queue"), *posted):
        assert (answer.status_code, answer.json()["code"]) == (503, "ledger-away")
        assert int(answer.headers["retry-after"]) > 0


def test_what_is_promised_of_waiting_is_kept_by_its_own_figures() -> None:
    """5 s for a call, 2 s for /readyz: a connection that is made anew may be silent twice."""
    for patience, promised_s in ((REQUEST, 5), (PROBE, 2)):
        assert patience.silence_is_final
        assert 2 * patience.silence_s <= promised_s


def test_a_full_redis_is_told(
    api: TestClient, client: redis.Redis, worker: Announce, encode: Encode
) -> None:
    """It answers, and takes no dream: asked by a write, as an accept is one."""
    worker(state="idle")
    client.config_set("maxmemory", 1)
    try:
        told = reasons(api)
        refused = api.post("/dreams", files={"image": ("a", encode())})
    finally:
        client.config_set("maxmemory", 0)

    assert told == {"redis": "Redis is at its maxmemory; raise it, or delete dreams"}
    assert (refused.status_code, refused.json()["code"]) == (503, "ledger-full")
    assert int(refused.headers["retry-after"]) > 0
    assert api.get("/readyz").status_code == 200
    assert client.pttl("readyz") <= 1  # ms: it leaves nothing behind


def test_a_redis_that_throws_dreams_away_is_told(
    api: TestClient, client: redis.Redis, worker: Announce
) -> None:
    """A cache's policy would lose what was accepted; without a limit it does nothing."""
    worker(state="idle")
    client.config_set("maxmemory-policy", "allkeys-lru")
    try:
        unlimited = api.get("/readyz")
        client.config_set("maxmemory", "1gb")
        told = reasons(api)
    finally:
        client.config_set("maxmemory", 0)
        client.config_set("maxmemory-policy", "noeviction")

    assert unlimited.status_code == 200
    assert told.keys() == {"redis"}
    assert "allkeys-lru" in told["redis"]
    assert "set it to noeviction" in told["redis"]


def test_a_paused_queue_is_told_and_the_service_is_ready(
    api: TestClient, worker: Announce, ledger: Ledger
) -> None:
    """Somebody wants it so: the API still takes dreams."""
    worker(state="idle")
    before = api.get("/readyz").json()["checks"]["queue"]
    ledger.pause()
    answer = api.get("/readyz")

    assert before == "0 queued, 0 running"
    assert answer.status_code == 200
    assert answer.json()["checks"]["queue"].startswith("paused since 20")


def test_a_disk_below_its_floor_is_told(settings: Settings, client: redis.Redis) -> None:
    """A dream posted now would be refused."""
    _ = client
    app = create_app(settings.model_copy(update={"min_free_disk": 10**18}))

    assert "1e+09 GB are kept free" in reasons(TestClient(app))["disk"]


def test_a_folder_that_takes_no_dream_is_a_problem_that_passes(
    settings: Settings, tmp_path: Path, encode: Encode
) -> None:
    """503 with Retry-After, and nothing was accepted."""
    (tmp_path / "file").write_text("in the way")
    app = create_app(settings.model_copy(update={"data_dir": tmp_path / "file"}))
    api = TestClient(app, raise_server_exceptions=False)
    answer = api.post("/dreams", files={"image": ("a", encode())})

    assert (answer.status_code, answer.json()["code"]) == (503, "store-fault")
    assert int(answer.headers["retry-after"]) > 0
    assert api.get("/dreams").json()["dreams"] == []


def test_a_read_only_folder_is_told(
    api: TestClient, worker: Announce, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Really tried: root has every permission, and a mount may be read-only all the same."""
    worker(state="idle")

    def read_only(**_: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(tempfile, "TemporaryFile", read_only)

    assert "Read-only file system" in reasons(api)["disk"]


def test_a_folder_that_can_not_be_had_is_told(settings: Settings, tmp_path: Path) -> None:
    """A file in the way stands for every folder that can't be written."""
    (tmp_path / "file").write_text("in the way")
    app = create_app(settings.model_copy(update={"data_dir": tmp_path / "file"}))

    assert "DREAM_DATA_DIR" in reasons(TestClient(app))["disk"]
    assert os.fspath(tmp_path / "file") in reasons(TestClient(app))["disk"]
