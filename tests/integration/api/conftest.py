"""The API over a real ledger; what a worker would do is done by hand.

Every answer that any of these tests gets is held against /openapi.json.
"""

import json
import math
import re
from collections.abc import Callable
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from httpx2 import Response
from jsonschema import Draft202012Validator
from PIL import Image

from api.app import create_app
from jobs import line
from jobs.claim import Claim
from jobs.ledger import Ledger
from jobs.record import Run
from jobs.settings import Settings

Post = Callable[..., Response]
Encode = Callable[..., bytes]
Serve = Callable[..., TestClient]


def encoded(width: int = 60, height: int = 40, kind: str = "PNG", **options: Any) -> bytes:
    """A picture with a gradient in it, as a file."""
    image = Image.linear_gradient("L").resize((width, height)).convert("RGB")
    file = BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


@pytest.fixture(autouse=True)
def _no_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DREAM_MODEL_DIR", str(tmp_path / "models"))


@pytest.fixture
def encode() -> Encode:
    """Make a picture file: `encode(60, 40, "JPEG", quality=50)`."""
    return encoded


@pytest.fixture
def api(settings: Settings) -> TestClient:
    """The API, asked as a user asks it: a 500 is an answer and no exception."""
    return asked(create_app(settings), "http://testserver")


@pytest.fixture
def serve(settings: Settings) -> Serve:
    """Make the API of other settings, asked on loopback: `serve(api_key=SecretStr("…"))`."""

    def serve(**changed: object) -> TestClient:
        update = {"allowed_hosts": None, **changed}
        return asked(create_app(settings.model_copy(update=update)), "http://127.0.0.1:8000")

    return serve


def asked(app: FastAPI, address: str) -> TestClient:
    """A client whose every answer is held to the document."""
    # Not entered: that would start the reaper, which outlives a test by a moment.
    client = TestClient(app, address, raise_server_exceptions=False)
    client.event_hooks["response"] = [partial(hold_to_document, app.openapi())]
    return client


def hold_to_document(document: dict[str, Any], answer: Response) -> None:
    """Check that the OpenAPI document describes the answer: status, media type and every field."""
    described = operation(document, answer)
    if described is None:
        return
    responses = described["responses"]
    told = responses.get(str(answer.status_code), responses["default"])
    if not told.get("content"):
        return
    media_type = answer.headers["content-type"].partition(";")[0]
    assert media_type in told["content"], f"{media_type} is not described at {answer.url}"
    if media_type.endswith("json"):
        answer.read()
        schema = {**told["content"][media_type]["schema"], "components": document["components"]}
        Draft202012Validator(schema).validate(json.loads(answer.content))


def operation(document: dict[str, Any], answer: Response) -> dict[str, Any] | None:
    """What the document says of the request's address and method, if anything."""
    path = answer.request.url.path
    method = answer.request.method.lower().replace("head", "nothing is sent")
    for template, operations in document["paths"].items():
        if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", template), path):
            found: dict[str, Any] | None = operations.get(method)
            return found
    return None


@pytest.fixture
def post(api: TestClient) -> Post:
    """Post a dream: the fields as given, the picture a small one where none is given."""

    def post(image: bytes | None = None, **fields: str) -> Response:
        return api.post("/dreams", files={"image": ("a", image or encoded())}, data=fields)

    return post


@pytest.fixture
def dreaming(post: Post, ledger: Ledger) -> Claim:
    """A dream that a worker has taken: frames 0 and 10 of 20 are there."""
    claim = ledger.claim(post(iterations="20", save_every="10").json()["id"], "host:0")
    assert claim is not None
    claim.begin(
        Run(width=512, height=341, device="cpu", plan={"executor": "autograd"}, versions={})
    )
    for iteration in (0, 10):
        claim.publish_frame(iteration, 512, 341, encoded(512, 341 + iteration))
        claim.progress(iteration, {"relu5_1": 3.5})
    return claim


@pytest.fixture
def no_time_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was told is believed until Redis says otherwise: no old answer goes with time alone."""
    monkeypatch.setattr(line, "TRUST_S", math.inf)
