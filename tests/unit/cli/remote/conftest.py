import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from cli.client import Service
from cli.remote import address

Answers = dict[str, list[httpx.Response]]


@pytest.fixture
def serving(monkeypatch: pytest.MonkeyPatch) -> Callable[[Answers], list[httpx.Request]]:
    """Let a service give these answers by "METHOD path"; return the requests that it gets."""
    monkeypatch.delenv(address.VARIABLE, raising=False)

    def serve(answers: Answers) -> list[httpx.Request]:
        asked: list[httpx.Request] = []

        def answer(request: httpx.Request) -> httpx.Response:
            request.read()
            asked.append(request)
            return answers[f"{request.method} {request.url.raw_path.decode()}"].pop(0)

        transport = httpx.MockTransport(answer)
        monkeypatch.setattr(address, "Service", lambda url, key: Service(url, transport, key))
        return asked

    return serve


@pytest.fixture
def document() -> Callable[..., httpx.Response]:
    """Answer with a job: `document("X", "running", links={"result": "/r"})`."""

    def make(job_id: str, status: str, code: int = 200, **more: Any) -> httpx.Response:
        job = {
            "id": job_id,
            "status": status,
            "parent": None,
            "spec": {"model": "vgg19", "layers": {"relu5_1": 1000.0}},
            "source": {"width": 60, "height": 40},
            "run": {"width": 60, "height": 40, "device": "cpu"},
            "progress": {"iteration": 3, "iterations": 30, "losses": {}, "eta_s": None},
            "queue": {"waits_for": None, "position": None},
            "frames": {"count": 0, "latest": None},
            "created_at": "2026-11-23T18:00:00.123Z",
            "finished_at": None,
            "expires_at": None,
            "problem": None,
            "links": {"result": None},
            **more,
        }
        return httpx.Response(code, content=json.dumps(job))

    return make
