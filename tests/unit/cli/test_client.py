from pathlib import Path
from typing import Any

import httpx
import pytest

from cli.client import Service
from cli.errors import (
    DreamFailed,
    NoSuchPicture,
    ServiceRefused,
    ServiceSilent,
    ServiceStrange,
)


def serving(answers: dict[str, list[httpx.Response]]) -> Service:
    """Return a client of a service that gives these answers, one after the other, by path."""

    def answer(request: httpx.Request) -> httpx.Response:
        return answers[request.url.raw_path.decode()].pop(0)

    return Service("http://service", httpx.MockTransport(answer))


def job(status: str, **more: Any) -> httpx.Response:
    """Return the document of a job in that state."""
    progress = {"iteration": 3, "iterations": 30}
    document = {"id": "X", "status": status, "problem": None, "progress": progress}
    return httpx.Response(200, json={**document, **more})


def test_a_dream_is_followed_to_its_end() -> None:
    """Each state once asked is given, the last one too."""
    service = serving({"/dreams/X": [job("running"), job("succeeded")]})

    assert [state["status"] for state in service.follow("X")] == ["running", "succeeded"]


def test_a_dream_that_fails_tells_why() -> None:
    """The worker's sentence reaches the user."""
    failed = job("failed", problem={"detail": "the disk is full"})

    with pytest.raises(DreamFailed, match="ended failed: the disk is full"):
        list(serving({"/dreams/X": [failed]}).follow("X"))


def test_a_dream_that_was_stopped_tells_where() -> None:
    """A canceled dream has no problem to tell."""
    with pytest.raises(DreamFailed, match="dream X ended canceled at iteration 3 of 30"):
        list(serving({"/dreams/X": [job("canceled")]}).follow("X"))


def test_a_service_that_is_away_for_a_while_is_waited_for() -> None:
    """It is started again, or Redis is: the job outlives both, and so does who waits for it."""
    away = httpx.Response(503, json={"detail": "Redis doesn't answer"})
    service = serving({"/dreams/X": [job("running"), away, away, job("succeeded")]})
    told: list[str] = []

    followed = service.follow("X", every_s=0, patience_s=60, silent=lambda e: told.append(str(e)))

    assert [state["status"] for state in followed] == ["running", "succeeded"]
    assert told == ["the service answered 503: Redis doesn't answer"] * 2


@pytest.mark.parametrize(("status", "patience_s"), [(503, 0), (404, 60)])
def test_what_will_not_pass_is_not_waited_for(status: int, patience_s: float) -> None:
    """A dream that was deleted never comes back."""
    gone = httpx.Response(status, json={"detail": "no"})

    with pytest.raises(ServiceRefused):
        list(serving({"/dreams/X": [gone]}).follow("X", every_s=0, patience_s=patience_s))


@pytest.mark.parametrize("content", [b"<html>", b"[]"])
def test_another_program_at_that_address_is_told(content: bytes) -> None:
    """Port 8000 is many programs' favourite."""
    with pytest.raises(ServiceStrange, match="isn't torch-inception"):
        serving({"/dreams/X": [httpx.Response(200, content=content)]}).job("X")


def test_an_id_of_any_form_is_one_part_of_the_address() -> None:
    """What is typed for an id never leads to another address."""
    odd = serving({"/dreams/..%2Fqueue%3Fx": [job("running")]})

    assert odd.job("../queue?x")["status"] == "running"


@pytest.mark.parametrize("url", ["http://[", "nowhere", "http://x:y"])
def test_an_address_that_is_none_is_a_sentence(url: str) -> None:
    """Before anything is asked, or when it is."""
    with pytest.raises(ServiceSilent, match="name another address with --url"):
        Service(url).job("X")


def test_frames_are_read_page_by_page() -> None:
    """A long dream has more than one page of them."""
    first = {"frames": [{"iteration": 3}], "next": "/dreams/X/frames?limit=1&after=3"}
    last = {"frames": [{"iteration": 4}], "next": None}
    service = serving(
        {
            "/dreams/X/frames?after=2": [httpx.Response(200, json=first)],
            "/dreams/X/frames?limit=1&after=3": [httpx.Response(200, json=last)],
        }
    )

    assert [frame["iteration"] for frame in service.frames("X", after=2)] == [3, 4]


def test_a_refusal_is_the_services_own_sentence(tmp_path: Path) -> None:
    """The problem's detail, not its JSON."""
    picture = tmp_path / "x.png"
    picture.touch()
    problem = httpx.Response(422, json={"detail": "the file is empty", "code": "x"})

    with pytest.raises(ServiceRefused, match="answered 422: the file is empty"):
        serving({"/dreams": [problem]}).post(picture, {})


def test_a_picture_that_is_not_there_is_named(tmp_path: Path) -> None:
    """Before anything is asked of the service."""
    with pytest.raises(NoSuchPicture, match=r"cat\.jpg can't be read \(No such file"):
        serving({}).post(tmp_path / "cat.jpg", {})


def test_silence_says_how_to_start_the_service() -> None:
    """Nobody listens there."""

    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("Connection refused", request=request)

    with pytest.raises(ServiceSilent, match="start it with `dream up`"):
        Service("http://service", httpx.MockTransport(refuse)).job("X")
