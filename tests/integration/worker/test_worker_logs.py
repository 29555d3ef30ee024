"""What a real worker's log says of its jobs, and what its work adds to /metrics."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
import redis
from fastapi.testclient import TestClient
from PIL import Image
from prometheus_client.parser import text_string_to_metric_families

from api.app import create_app
from dream_core.catalogue import WEIGHTS_FILE
from jobs.record import Job, Status
from jobs.settings import Settings, environment

ROOT = Path(__file__).parents[3]
pytestmark = pytest.mark.usefixtures("add_model")

Post = Callable[..., str]
Until = Callable[[str, Callable[[Job], bool]], Job]


@contextmanager
def working(settings: Settings, said: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """A worker whose log goes to a file, as outside of a terminal; ended on leaving."""
    env = {**environment(settings), "PYTHONPATH": str(ROOT), "DREAM_LOG_FORMAT": "auto"}
    with said.open("ab") as file:
        child = subprocess.Popen(
            [sys.executable, "-P", "-m", "worker"], env=env, stdout=file, stderr=file
        )
    try:
        yield child
    finally:
        child.terminate()
        child.wait()


@pytest.fixture
def api(settings: Settings) -> TestClient:
    """The API, asked as a user asks it."""
    return TestClient(create_app(settings))


@pytest.fixture
def post(api: TestClient) -> Post:
    """Post a dream under a request's id; return the job's."""

    def post(request: str, **fields: Any) -> str:
        file = BytesIO()
        Image.radial_gradient("L").resize((60, 48)).save(file, "PNG")
        asked = {"model": "thin", "iterations": "3", "image_size": "64", **fields}
        answer = api.post(
            "/dreams",
            files={"image": ("a", file.getvalue())},
            data=asked,
            headers={"X-Request-ID": request},
        )
        job_id: str = answer.json()["id"]
        return job_id

    return post


def ended(job: Job) -> bool:
    """Whether a job is at its end."""
    return job.status.terminal


def told(api: TestClient, name: str, **labels: str) -> float:
    """Return one value of a scrape, 0 where it isn't there yet."""
    families = text_string_to_metric_families(api.get("/metrics").text)
    samples = [sample for family in families for sample in family.samples]
    return sum(each.value for each in samples if (each.name, each.labels) == (name, labels))


def test_every_line_is_an_object_and_those_of_a_job_name_it_and_its_request(
    settings: Settings, client: redis.Redis, add_model, post: Post, until: Until, tmp_path: Path
) -> None:
    """A job that succeeds, one that fails, one that breaks the worker's own code: start to stop."""
    hollow = add_model("hollow")
    said = tmp_path / "worker.log"
    failing, broken = post("r-fails", model="hollow"), post("r-breaks")
    (hollow / WEIGHTS_FILE).unlink()
    client.hset(f"dream:{broken}", "run", "{}")  # no Run of ours: an exception nobody foresaw
    fine = post("r-fine")

    with working(settings, said):
        assert until(failing, ended).status is Status.FAILED
        assert until(fine, ended).status is Status.SUCCEEDED

    lines = [json.loads(line) for line in said.read_text("utf-8").splitlines()]
    assert {line["process"] for line in lines} == {"worker"}
    requests = {failing: "r-fails", fine: "r-fine"}
    for job, request in requests.items():
        of_job = [line for line in lines if line.get("request") == request]
        assert {line["job"] for line in of_job} == {job}
    assert "weights-missing" in next(
        line["message"]
        for line in lines
        if line.get("job") == failing and "failed" in line["message"]
    )
    loggers = {line["logger"] for line in lines if line.get("job") == fine}
    assert {"worker.networks", "worker.dreamer"} <= loggers
    (traceback,) = [line for line in lines if line["logger"] == "worker.task"]
    assert traceback["job"] == broken
    assert "ValidationError" in traceback["traceback"]


def test_counters_outlive_a_worker_that_stops_in_mid_dream(
    settings: Settings, api: TestClient, post: Post, until: Until, tmp_path: Path, ledger
) -> None:
    """Each iteration once, by whichever worker; nothing goes down; the end counts once."""
    job = post("r", iterations="400", save_every="400")
    with working(settings, tmp_path / "first.log") as first:
        until(job, lambda job: job.progress.iteration > 2)
        first.terminate()
        first.wait()
    before = told(api, "dream_iterations_total", model="thin")
    reached = ledger.get(job).progress.iteration

    with working(settings, tmp_path / "second.log"):
        done = until(job, ended)

    assert before == reached
    assert done.attempt == 2
    assert told(api, "dream_iterations_total", model="thin") == 400
    assert told(api, "dream_ended_jobs_total", status="succeeded") == 1
    assert told(api, "dream_job_wait_seconds_count", model="thin") == 1


def test_a_worker_tells_of_itself_and_its_memory(
    settings: Settings, api: TestClient, post: Post, until: Until, tmp_path: Path
) -> None:
    """Busy while it dreams; its process is smaller than its host."""
    slot = settings.model_copy(update={"worker_slot": 4})
    job = post("r", iterations="10000", save_every="10000")
    with working(slot, tmp_path / "worker.log"):
        until(job, lambda job: job.progress.iteration > 0)
        (presence,) = api.get("/queue").json()["workers"]
        name = f"{presence['host']}:4"

        assert told(api, "dream_worker_up", worker=name) == 1
        assert told(api, "dream_worker_busy", worker=name) == 1
        assert told(api, "dream_workers", state="dreaming") == 1
        own = told(api, "dream_worker_resident_memory_bytes", worker=name)
        size = told(api, "dream_host_memory_size_bytes", host=presence["host"])
        free = told(api, "dream_host_memory_available_bytes", host=presence["host"])
        assert 20e6 < own < size
        assert 0 < free < size
        api.post(f"/dreams/{job}/cancel")
        until(job, ended)

    assert told(api, "dream_worker_up", worker=name) == 0
