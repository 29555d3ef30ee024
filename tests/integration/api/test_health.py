"""Alive and ready: two questions with two answers."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import redis
from fastapi.testclient import TestClient

from api.app import create_app
from dream_core.catalogue import Catalogue
from jobs.presence import Presence, announce
from jobs.scripts import Scripts
from jobs.settings import Settings

Announce = Callable[..., None]


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
    assert set(answer.json()["checks"]) == {"redis", "worker", "weights", "disk"}


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


def test_a_folder_that_can_not_be_had_is_told(settings: Settings, tmp_path: Path) -> None:
    """A file in the way stands for every folder that can't be written."""
    (tmp_path / "file").write_text("in the way")
    app = create_app(settings.model_copy(update={"data_dir": tmp_path / "file"}))

    assert "DREAM_DATA_DIR" in reasons(TestClient(app))["disk"]
    assert os.fspath(tmp_path / "file") in reasons(TestClient(app))["disk"]
