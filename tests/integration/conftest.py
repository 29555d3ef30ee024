"""A real Valkey for every test: one server a session, emptied before each."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
import redis
from celery import Celery
from PIL import Image

from jobs.connection import connect
from jobs.ledger import Ledger
from jobs.queue import celery_app, publisher
from jobs.record import Job
from jobs.settings import Settings, environment
from jobs.store import Store
from jobs.valkey import socket_url, wait_until_up

ROOT = Path(__file__).parents[2]
PATIENCE_MS = 60_000  # of a test that waits for an event; it fails then

Start = Callable[[str, Settings], AbstractContextManager["subprocess.Popen[str]"]]
Until = Callable[[str, Callable[[Job], bool]], Job]


class Noise:
    """An upright picture, 60 × 48, with something to see at every scale."""

    height, width = 48, 60

    def save_png(self, target: Path) -> None:
        """Write it as the real one does."""
        Image.radial_gradient("L").resize((self.width, self.height)).convert("RGB").save(target)


@contextmanager
def started(module: str, settings: Settings) -> Iterator["subprocess.Popen[str]"]:
    """A process of ours, as a stack starts it, from this very tree; ended on leaving."""
    env = {**environment(settings), "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    child = subprocess.Popen([sys.executable, "-P", "-m", module], env=env, text=True)
    try:
        yield child
    finally:
        child.terminate()
        child.wait()


@pytest.fixture
def start() -> Start:
    """What starts a room in a process of its own, as a context that ends it."""
    return started


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """The settings of a stack whose embedded server is up."""
    settings = Settings(data_dir=tmp_path_factory.mktemp("data"))
    with started("jobs.valkey", settings):
        wait_until_up(connect(settings))
        yield settings


@pytest.fixture
def settings(server: Settings, tmp_path: Path) -> Settings:
    """The settings of a test: the session's server, emptied; a data folder of its own."""
    connect(server).flushall()
    return Settings(
        data_dir=tmp_path / "data",
        redis_url=socket_url(server.data_dir),  # type: ignore[arg-type]
        preload="none",
        log_format="text",
        allowed_hosts="testserver",  # where Starlette's TestClient asks
    )


@pytest.fixture
def client(settings: Settings) -> redis.Redis:
    """A connection of its own, to look behind the ledger's back."""
    return connect(settings)


@pytest.fixture
def app(settings: Settings) -> Celery:
    """The Celery app of the stack, without a worker."""
    return celery_app(settings)


@pytest.fixture
def store(settings: Settings) -> Store:
    """The store of the stack."""
    return Store(settings.data_dir)


@pytest.fixture
def ledger(client: redis.Redis, store: Store, app: Celery) -> Ledger:
    """The ledger of the stack."""
    return Ledger(client, store, publisher(app))


@pytest.fixture
def picture() -> Noise:
    """A picture to dream on."""
    return Noise()


@pytest.fixture
def until(client: redis.Redis, ledger: Ledger) -> Until:
    """Wait for a job to be as a test wants it, event by event: `until(id, lambda job: …)`."""

    def wait(job_id: str, wanted: Callable[[Job], bool]) -> Job:
        last = "0"
        while not wanted(job := ledger.get(job_id)):
            events = client.xread({f"dream:{job_id}:events": last}, block=PATIENCE_MS, count=1)
            assert events, f"the job stayed as it is: {job}"
            last = events[0][1][-1][0] if isinstance(events, list) else ""
        return job

    return wait
