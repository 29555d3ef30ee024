"""The API as a process: it starts without asking anyone, and ends when told."""

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
import redis
from httpx2 import Response

from jobs.settings import Settings, environment

ROOT = Path(__file__).parents[3]


@contextmanager
def started(settings: Settings) -> Iterator[subprocess.Popen[str]]:
    """`python -P -m api`, as a stack starts it; ended on leaving."""
    child = subprocess.Popen(
        [sys.executable, "-P", "-m", "api"],
        env={**environment(settings), "PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield child
    finally:
        child.kill()
        child.wait()
        assert child.stderr is not None
        child.stderr.close()


def address(child: subprocess.Popen[str]) -> str:
    """Where it says that it listens."""
    assert child.stderr is not None
    line = next(line for line in child.stderr if "listening on" in line)
    found = re.search(r"http://[\w.]+:\d+", line)
    assert found
    return found[0]


def test_port_0_takes_a_free_one_and_says_which(settings: Settings) -> None:
    """Two stacks, and the tests, run beside each other."""
    with started(settings.model_copy(update={"port": 0})) as child:
        assert httpx.get(f"{address(child)}/dreams").json() == {"dreams": [], "next": None}


def test_a_redis_that_lost_everything_is_filled_again(
    post: Callable[..., Response], client: redis.Redis, settings: Settings
) -> None:
    """The API looks after lost jobs from its start on: what was accepted is on disk."""
    job = post().json()
    client.flushall()

    with started(settings.model_copy(update={"port": 0})) as child:
        here = f"{address(child)}{job['links']['self']}"
        while (found := httpx.get(here)).status_code == 404:
            pass

    assert found.json()["spec"] == job["spec"]


@pytest.mark.parametrize("told", [signal.SIGTERM, signal.SIGINT])
def test_told_to_stop_it_ends_with_0(told: signal.Signals, settings: Settings) -> None:
    """Also while somebody's connection is open, and without a traceback."""
    with started(settings.model_copy(update={"port": 0})) as child, httpx.Client() as client:
        client.get(f"{address(child)}/healthz")
        os.kill(child.pid, told)

        assert child.wait() == 0
        assert child.stderr is not None
        assert "Traceback" not in child.stderr.read()


def test_an_upload_cut_off_by_the_stop_is_no_traceback(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who stops the service in the middle of somebody's upload did nothing wrong."""
    monkeypatch.setenv("DREAM_LOG_LEVEL", "debug")
    with started(settings.model_copy(update={"port": 0})) as child:
        host, _, port = address(child).removeprefix("http://").rpartition(":")
        with socket.create_connection((host, int(port))) as connection:
            connection.sendall(
                b"POST /dreams HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n"
                b"Content-Type: multipart/form-data; boundary=x\r\n"
                b"Content-Length: 1000\r\n\r\n"
            )
            assert b"100" in connection.makefile("rb").readline()  # it waits for the body
            os.kill(child.pid, signal.SIGTERM)
            _, said = child.communicate()

    assert child.returncode == 0
    assert "Traceback" not in said
    assert "Cancel 1 running task(s)" in said


def test_it_starts_while_redis_is_away(settings: Settings, tmp_path: Path) -> None:
    """The API answers at once; Redis may come later."""
    away = settings.model_copy(update={"redis_url": None, "data_dir": tmp_path, "port": 0})

    with started(away) as child:
        here = address(child)
        assert httpx.get(f"{here}/healthz").status_code == 200
        assert httpx.get(f"{here}/readyz").status_code == 503


def test_a_taken_port_is_one_sentence(settings: Settings) -> None:
    """With the setting, the value and the fix."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with started(settings.model_copy(update={"port": port})) as child:
            _, said = child.communicate()

    assert child.returncode == 2
    assert said.startswith(f"api: DREAM_PORT is '{port}': the port is taken")
    assert said.count("\n") == 1


def test_it_refuses_to_be_reached_from_elsewhere(settings: Settings) -> None:
    """There are no keys yet."""
    with started(settings.model_copy(update={"host": "0.0.0.0"})) as child:
        _, said = child.communicate()

    assert child.returncode == 2
    assert "DREAM_HOST" in said


def test_an_upload_over_the_limit_is_answered_before_it_is_read(settings: Settings) -> None:
    """A client that asks first (Expect: 100-continue) sends nothing in vain."""
    with started(settings.model_copy(update={"port": 0})) as child:
        host, _, port = address(child).removeprefix("http://").rpartition(":")
        with socket.create_connection((host, int(port))) as connection:
            connection.sendall(
                b"POST /dreams HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n"
                b"Content-Type: multipart/form-data; boundary=x\r\n"
                b"Content-Length: 99999999\r\n\r\n"
            )
            answer = connection.makefile("rb").readline()

    assert answer.startswith(b"HTTP/1.1 413")
