"""A dream's life as a user leads it, by `dream` alone: stopped, gone on with, retried, deleted."""

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
import redis

from cli.client import Service
from cli.main import run
from cli.up.stack import Stack
from jobs.valkey import socket_url

SPEC = ("--model", "thin", "--layers", "relu4_1", "--dose", "50", "--image-size", "50")
LONG = ("--iterations", "10000", "--save-every", "1000")
Dream = Callable[..., str]
Eventually = Callable[..., None]


@pytest.fixture
def dream(
    thin_stack: Stack, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Dream:
    """Type a command that succeeds; return what it prints on stdout."""
    monkeypatch.setenv("DREAM_URL", thin_stack.url)

    def typed(*words: object) -> str:
        status = run([str(word) for word in words])
        said = capsys.readouterr()
        assert status == 0, said.err
        return said.out.strip()

    return typed


@pytest.fixture
def status(thin_stack: Stack) -> Callable[[str], str]:
    """Ask how a dream stands."""

    def ask(job_id: str) -> str:
        with Service(thin_stack.url) as service:
            return str(service.job(job_id)["status"])

    return ask


def moved(thin_stack: Stack, job_id: str) -> bool:
    """Whether a dream has done its first iterations."""
    with Service(thin_stack.url) as service:
        return int(service.job(job_id)["progress"]["iteration"]) > 1


def test_a_running_dream_is_canceled_and_gone_on_with(
    dream: Dream,
    status: Callable[[str], str],
    picture: Path,
    tmp_path: Path,
    eventually: Eventually,
    thin_stack: Stack,
) -> None:
    """It stops where it is, and three more iterations begin right there."""
    stopped = dream("post", picture, *SPEC, *LONG)
    eventually(lambda: moved(thin_stack, stopped), "it has a state to go on from")

    assert dream("cancel", stopped).split()[1] in ("canceling", "canceled")
    eventually(lambda: status(stopped) == "canceled", "it has stopped")
    assert dream("cancel", stopped) == f"{stopped} canceled"

    more = dream("continue", stopped, "--iterations", 3, "-o", tmp_path / "more.png").split("\n")[0]
    with Service(thin_stack.url) as service:
        old, new = service.job(stopped), service.job(more)
        numbers = [frame["iteration"] for frame in service.frames(more)]
    assert new["parent"] == stopped
    assert new["progress"]["iterations"] == numbers[-1] == numbers[0] + 3
    assert numbers[0] == old["progress"]["iteration"] > 0
    dream("rm", stopped, more)


def test_a_dream_in_two_parts_is_the_dream_in_one(
    dream: Dream, picture: Path, tmp_path: Path
) -> None:
    """The same bytes, also when the first part is gone by then."""
    whole, parts = tmp_path / "whole.png", tmp_path / "parts.png"
    dream("post", picture, *SPEC, "--iterations", 9, "-o", whole)
    first = dream("post", picture, *SPEC, "--iterations", 4, "--wait")
    second = dream("continue", first, "--iterations", 5)
    dream("rm", first)
    dream("get", second, "--wait", "-o", parts)

    assert parts.read_bytes() == whole.read_bytes()


def test_a_retry_gives_the_same_bytes(dream: Dream, picture: Path, tmp_path: Path) -> None:
    """The same spec on the same source, under another id."""
    ours, again = tmp_path / "ours.png", tmp_path / "again.png"
    first = dream("post", picture, *SPEC, "--iterations", 4, "-o", ours).split("\n")[0]
    second = dream("retry", first, "-o", again).split("\n")[0]

    assert second != first
    assert again.read_bytes() == ours.read_bytes()


def test_a_deleted_dream_leaves_nothing_on_disk_nor_in_redis(
    dream: Dream,
    status: Callable[[str], str],
    picture: Path,
    thin_data: Path,
    eventually: Eventually,
) -> None:
    """Also one that is running: its worker stops, and brings nothing back."""
    ran = dream("post", picture, *SPEC, "--iterations", 2, "--wait")
    runs = dream("post", picture, *SPEC, *LONG)
    waits = dream("post", picture, *SPEC, *LONG)
    eventually(lambda: status(runs) == "running", "it runs")

    dream("rm", ran, waits, runs)
    after = dream("post", picture, *SPEC, "--iterations", 1, "--wait")  # the worker is free again

    assert status(after) == "succeeded"
    client = redis.Redis.from_url(socket_url(thin_data), decode_responses=True)
    for gone in (ran, runs, waits):
        assert not list((thin_data / "dreams").glob(f"*{gone}*"))
        assert not [key for key in client.scan_iter() if gone in key]
        assert client.zscore("dreams:all", gone) is None
        assert client.zscore("dreams:leases", gone) is None
    client.close()


def test_a_paused_queue_starts_nothing_until_it_is_resumed(
    dream: Dream, status: Callable[[str], str], picture: Path
) -> None:
    """What is posted meanwhile waits, and an idle worker with it."""
    dream("queue", "pause")
    try:
        waits = dream("post", picture, *SPEC, "--iterations", 1)
        shown = dream("queue", "ls")
        assert "paused for" in shown
        assert "interactive       1" in shown
        assert status(waits) == "queued"
    finally:
        dream("queue", "resume")

    dream("get", waits, "--wait")
    assert status(waits) == "succeeded"


def test_a_dream_past_its_deadline_fails_and_one_that_waits_expires(
    dream: Dream, status: Callable[[str], str], picture: Path, eventually: Eventually
) -> None:
    """The frames of the first stay; the second was never begun."""
    runs = dream("post", picture, *SPEC, *LONG, "--timeout-s", 2)
    waits = dream("post", picture, *SPEC, *LONG, "--timeout-s", 1)

    eventually(lambda: status(runs) == "failed", "the deadline of the one that runs")
    eventually(lambda: status(waits) == "expired", "the deadline of the one that waits")

    assert "its deadline" in dream("get", runs)
    assert "frames     0" in dream("get", waits)
    assert runs in dream("ls", "--status", "failed")


def test_a_service_that_is_replaced_is_waited_for(
    dream: Dream, picture: Path, tmp_path: Path, thin_stack: Stack
) -> None:
    """The API is killed while somebody waits for a dream; who waits hardly sees it."""
    job_id = dream("post", picture, *SPEC, "--iterations", 300, "--save-every", 100)
    api = next(room for room in thin_stack.rooms if room.plan.name == "api")
    assert api.pid is not None
    os.kill(api.pid, signal.SIGKILL)

    dream("get", job_id, "--wait", "-o", tmp_path / "out.png")

    assert (tmp_path / "out.png").exists()
