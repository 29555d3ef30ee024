"""What a real API process writes to its log: a line a request, each a JSON object, no secrets."""

import json
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis
from fastapi.testclient import TestClient
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from jobs.ledger import Ledger
from jobs.settings import Settings, environment

ROOT = Path(__file__).parents[3]
NOBODYS = "01KAT3Y5W7ZQH9N4C8RSBV6XEM"
ULID = r"[0-7][0-9A-HJKMNP-TV-Z]{25}"
Lines = list[dict[str, Any]]


class Served:
    """An API process and what it has written, to either of its streams."""

    def __init__(self, child: subprocess.Popen[str]) -> None:
        self.said: list[str] = []
        self._child = child
        self._listening = threading.Event()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        assert self._listening.wait(60), self.said
        found = re.search(r"http://[\w.]+:\d+", self.said[-1])
        assert found
        self.client = httpx.Client(base_url=found[0])

    def _read(self) -> None:
        assert self._child.stdout is not None
        for line in self._child.stdout:
            self.said.append(line)
            if "listening on" in line:
                self._listening.set()

    def end(self) -> None:
        """Stop it and read the rest."""
        self.client.close()
        self._child.terminate()
        self._child.wait()
        self._reader.join()

    @property
    def lines(self) -> Lines:
        """All that it wrote, each line parsed: what is no JSON fails here."""
        return [json.loads(line) for line in self.said]

    def requests(self) -> Lines:
        """The lines of requests."""
        return [line for line in self.lines if line["logger"] == "api.access"]


@contextmanager
def served(settings: Settings, **changes: Any) -> Iterator[Served]:
    """`python -P -m api` with its log as outside of a terminal; ended on leaving."""
    settings = settings.model_copy(update={"port": 0, "log_format": "auto", **changes})
    with subprocess.Popen(
        [sys.executable, "-P", "-m", "api"],
        env={**environment(settings), "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as child:
        api = Served(child)
        try:
            yield api
        finally:
            api.end()


def test_a_request_is_one_line_with_all_that_is_asked_of_it_later(
    settings: Settings, encode: Callable[..., bytes]
) -> None:
    """Who, what, how it ended, how long; the job that came of it.

    What is asked every second stays out: probes, and how a dream stands, where it could be told.
    """
    with served(settings) as api:
        posted = api.client.post("/dreams?", files={"image": ("a", encode())})
        job = posted.json()["id"]
        assert api.client.get(f"/dreams/{job}").json()["status"] == "queued"
        api.client.get(f"/dreams/{NOBODYS}")
        api.client.head(f"/dreams/{job}/source")
        api.client.get("/nowhere/%0Aelse", headers={"X-Request-ID": "mine"})
        for probe in ("/healthz", "/readyz", "/metrics"):
            api.client.get(probe)

    # Not in their order: a client may have an answer before its last word is written here.
    lines = {(line["method"], line["route"]): line for line in api.requests()}
    assert len(lines) == len(api.requests()) == 4
    post, get = lines["POST", "/dreams"], lines["GET", "/dreams/{id}"]
    head, none = lines["HEAD", "/dreams/{id}/source"], lines["GET", "none"]
    assert (
        post.items()
        >= {
            "level": "info",
            "method": "POST",
            "route": "/dreams",
            "path": "/dreams",
            "status": 202,
            "job": job,
            "bytes": len(posted.content),
            "client": "127.0.0.1",
            "request": posted.headers["x-request-id"],
        }.items()
    )
    assert post["ms"] > 0
    (shown,) = re.findall(r"```json\n(.*)\n```", (ROOT / "docs/how-to/watch.md").read_text("utf-8"))
    assert json.loads(shown).keys() == post.keys(), "docs/how-to/watch.md shows another line"
    assert (get["job"], get["status"], get["problem"]) == (NOBODYS, 404, "unknown-dream")
    assert (head["status"], head["bytes"]) == (200, 0)
    assert none["path"] == "/nowhere/%0Aelse"
    assert (none["status"], none["problem"], none["request"]) == (404, "not-found", "mine")
    accepted = [line for line in api.lines if "accepted" in line["message"]]
    assert [(line["job"], line["request"]) for line in accepted] == [(job, post["request"])]


def test_a_fault_of_ours_is_a_traceback_in_one_line_under_the_requests_id(
    settings: Settings, api: TestClient, client: redis.Redis, encode: Callable[..., bytes]
) -> None:
    """The user's id finds it: header, problem, line of the request and traceback have the same."""
    job = api.post("/dreams", files={"image": ("a", encode())}).json()["id"]
    client.hset(f"dream:{job}", "spec", "{")

    with served(settings) as process:
        answer = process.client.get(f"/dreams/{job}", headers={"X-Request-ID": "abc-1"})

    assert answer.status_code == 500
    assert answer.headers["x-request-id"] == "abc-1"
    assert answer.json()["request"] == "abc-1"
    assert "Traceback" not in answer.text
    (broken,) = [line for line in process.lines if "traceback" in line]
    assert broken["request"] == "abc-1"
    assert broken["level"] == "error"
    assert broken["traceback"].startswith("Traceback")
    assert "JSONDecodeError" in broken["traceback"]
    (line,) = process.requests()
    assert (line["status"], line["request"], line["level"]) == (500, "abc-1", "warning")


def test_no_secret_and_no_picture_is_logged(settings: Settings) -> None:
    """At the most talkative level: keys, cookies, what a query holds, bytes of a picture."""
    about = PngInfo()
    about.add_text("Comment", "pixels-of-somebody")
    file = BytesIO()
    Image.radial_gradient("L").save(file, "PNG", pnginfo=about)
    headers = {"Authorization": "Bearer key-of-somebody", "Cookie": "a=cookie-of-somebody"}

    with served(settings, log_level="debug") as api:
        for query in ("", "?token=query-of-somebody"):
            files = {"image": ("name-of-somebody.png", file.getvalue())}
            api.client.post(f"/dreams{query}", headers=headers, files=files)
        api.client.get("/healthz?key=query-of-somebody", headers=headers)

    said = "".join(api.said)
    assert [line["status"] for line in api.requests()] == [202, 422, 422]
    assert "of-somebody" not in said
    assert "\\u0000" not in said
    assert "x89PNG" not in said


@pytest.mark.parametrize("given", ["a" * 65, "a b", 'a"b', "a\tb", "é", "a,b", ""])
def test_a_request_id_that_is_not_sane_is_replaced(api: TestClient, given: str) -> None:
    """It is written to logs and headers, so it is short and of letters, digits and -._ only."""
    answer = api.get("/healthz", headers={"X-Request-ID": given.encode("latin-1")})  # type: ignore[dict-item]

    assert re.fullmatch(ULID, answer.headers["x-request-id"])


def test_a_sane_request_id_is_kept(api: TestClient) -> None:
    """A proxy's own: one id from edge to worker. Problems name it too."""
    given = "Req_01.a-b"

    answer = api.get("/dreams/none", headers={"X-Request-ID": given})

    assert answer.headers["x-request-id"] == given
    assert answer.json()["request"] == given


def test_two_requests_never_share_an_id(api: TestClient) -> None:
    """Also one after the other on the same connection."""
    ids = [api.get("/healthz").headers["x-request-id"] for _ in range(3)]

    assert len(set(ids)) == 3


def test_a_job_remembers_the_request_that_made_it(
    api: TestClient, ledger: Ledger, encode: Callable[..., bytes]
) -> None:
    """In the record and on disk: no message, restart or refill loses it."""
    answer = api.post(
        "/dreams", files={"image": ("a", encode())}, headers={"X-Request-ID": "from-here"}
    )
    job = answer.json()["id"]

    claim = ledger.claim(job, "host:0")

    assert claim is not None
    assert claim.known_as == {"job": job, "request": "from-here"}
