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
from pydantic import SecretStr

from api.__main__ import listen
from jobs.settings import Settings, environment

ROOT = Path(__file__).parents[3]
KEY = "correct-horse-battery-staple"


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


def bearer(key: str) -> dict[str, str]:
    """The header that carries a key."""
    return {"Authorization": f"Bearer {key}"}


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
                b"POST /dreams HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\n"
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


def test_no_answer_waits_until_the_client_has_acknowledged_its_head(settings: Settings) -> None:
    """Head and body are two writes: on a connection that stays open, 40 ms for a status."""
    with (
        listen(settings.model_copy(update={"port": 0})) as listening,
        socket.create_connection(listening.getsockname()),
    ):
        connection, _ = listening.accept()
        with connection:
            assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_a_taken_port_is_one_sentence(settings: Settings) -> None:
    """With the setting, the value and the fix."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with started(settings.model_copy(update={"port": port})) as child:
            _, said = child.communicate()

    assert child.returncode == 78
    assert said.startswith(f"api: DREAM_PORT is '{port}': the port is taken")
    assert said.count("\n") == 1


@pytest.mark.parametrize(
    "where",
    [{"host": "0.0.0.0"}, {"host": "::"}, {"host": "0.0.0.0", "publish": "192.168.1.20"}],
    ids=repr,
)
def test_it_refuses_to_be_reached_from_elsewhere_without_a_key(
    where: dict[str, str], settings: Settings
) -> None:
    """One sentence names the setting, makes a key, and shows the other way out."""
    with started(settings.model_copy(update=where)) as child:
        _, said = child.communicate()

    name, value = list(where.items())[-1]
    assert child.returncode == 78
    assert said.startswith(f"api: DREAM_{name.upper()} is '{value}'")
    assert "openssl rand -base64 32" in said
    assert said.count("\n") == 1


def test_a_file_without_a_key_is_one_sentence(settings: Settings, tmp_path: Path) -> None:
    """It never starts open where a key was meant, on loopback neither."""
    (tmp_path / "key").touch()
    with started(settings.model_copy(update={"api_key_file": tmp_path / "key"})) as child:
        _, said = child.communicate()

    assert child.returncode == 78
    assert said.startswith(f"api: DREAM_API_KEY_FILE is '{tmp_path / 'key'}'")
    assert said.count("\n") == 1


def test_with_a_key_it_may_be_reached_from_elsewhere(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It asks for the key, lives without it, and says it nowhere: no log, no list of processes."""
    (tmp_path / "key").write_text(f"{KEY}\n")
    monkeypatch.setenv("DREAM_LOG_LEVEL", "debug")
    door = {"host": "0.0.0.0", "api_key_file": tmp_path / "key", "allowed_hosts": None}
    with started(settings.model_copy(update={"port": 0, "log_level": "debug", **door})) as child:
        here = address(child).replace("0.0.0.0", "127.0.0.1")
        with httpx.Client(base_url=here, trust_env=False) as client:
            assert client.get("/healthz").status_code == 200
            assert client.get("/dreams").status_code == 401
            assert client.get("/dreams", headers=bearer(KEY[:-1])).status_code == 401
            assert client.get("/dreams", headers=bearer(KEY)).json()["dreams"] == []
        listed = subprocess.run(
            ["ps", "-p", str(child.pid), "-o", "args="], capture_output=True, text=True, check=True
        ).stdout
        child.terminate()
        _, said = child.communicate()

    assert "-m api" in listed
    assert KEY[:-1] not in listed + said


def test_a_stranger_is_refused_before_the_upload_is_read(settings: Settings) -> None:
    """Who asks first (Expect: 100-continue) sends nothing; who doesn't need not end to be told."""
    closed = {"port": 0, "api_key": SecretStr(KEY)}
    with started(settings.model_copy(update=closed)) as child:
        host, _, port = address(child).removeprefix("http://").rpartition(":")
        for first in (b"Expect: 100-continue\r\n", b""):
            with socket.create_connection((host, int(port))) as connection:
                connection.sendall(
                    b"POST /dreams HTTP/1.1\r\nHost: localhost\r\n" + first + b"Content-Type: "
                    b"multipart/form-data; boundary=x\r\nContent-Length: 1000000\r\n\r\n"
                )
                answer = connection.makefile("rb").readline()
                assert answer.startswith(b"HTTP/1.1 401"), first
        whole = httpx.post(f"http://{host}:{port}/dreams", files={"image": bytes(5_000_000)})
        assert whole.json()["code"] == "unauthorized"  # who sends it all is told, and not cut off


@pytest.mark.parametrize(
    ("trusted", "seen"),
    [(None, "http"), ("10.0.0.0/8", "http"), ("10.0.0.0/8, 127.0.0.1", "https")],
)
def test_a_proxy_is_believed_only_where_it_is_named(
    trusted: str | None, seen: str, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever uvicorn itself would believe; addresses that are shown are then right behind TLS."""
    monkeypatch.setenv("FORWARDED_ALLOW_IPS", "*")
    forwarded = {
        "Host": "dream.example",
        "Accept": "text/html",
        "X-Forwarded-Proto": "https",
        "X-Forwarded-Host": "evil.example",
        "X-Forwarded-For": "203.0.113.7",
    }
    door = {"port": 0, "allowed_hosts": "dream.example", "trusted_proxies": trusted}
    with started(settings.model_copy(update=door)) as child:
        page = httpx.get(f"{address(child)}/", headers=forwarded, trust_env=False)

    assert f"{seen}://dream.example/dreams" in page.text
    assert "evil.example" not in page.text


def test_a_page_elsewhere_can_do_nothing_with_a_running_service(
    settings: Settings, encode: Callable[..., bytes]
) -> None:
    """By a name of its own that leads here, by a form that posts, by an <img> that looks."""
    open_ = settings.model_copy(update={"port": 0, "allowed_hosts": None})
    upload = {"image": ("a", encode())}
    with (
        started(open_) as child,
        httpx.Client(base_url=address(child), trust_env=False) as client,
    ):
        rebound = client.post("/dreams", headers={"Host": "evil.example:8000"}, files=upload)
        posted = client.post("/dreams", headers={"Origin": "https://evil.example"}, files=upload)
        looked = client.get("/dreams", headers={"Sec-Fetch-Site": "cross-site"})

        assert [answer.status_code for answer in (rebound, posted, looked)] == [421, 403, 403]
        assert client.get("/dreams").json()["dreams"] == []


def test_an_upload_over_the_limit_is_answered_before_it_is_read(settings: Settings) -> None:
    """A client that asks first (Expect: 100-continue) sends nothing in vain."""
    with started(settings.model_copy(update={"port": 0})) as child:
        host, _, port = address(child).removeprefix("http://").rpartition(":")
        with socket.create_connection((host, int(port))) as connection:
            connection.sendall(
                b"POST /dreams HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\n"
                b"Content-Type: multipart/form-data; boundary=x\r\n"
                b"Content-Length: 99999999\r\n\r\n"
            )
            answer = connection.makefile("rb").readline()

    assert answer.startswith(b"HTTP/1.1 413")
