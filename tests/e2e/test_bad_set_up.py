"""Bad set-up: one sentence that names the setting, its value and the fix, and exit status 78.

Real processes, each as somebody starts it. A sentence is the whole of stderr: no traceback, no log.
"""

import os
import re
import socket
import socketserver
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import redis

from jobs.exits import BAD_SETUP
from jobs.valkey import binary
from tests.mounted import mounted

ROOT = Path(__file__).parents[2]
ALL = ("api", "worker", "cli up")
Ended = subprocess.CompletedProcess[str]


@pytest.fixture
def end(tmp_path: Path) -> Callable[..., Ended]:
    """Start a process that can't live, and return how it ended."""

    def run(what: str, **settings: object) -> Ended:
        ours = {"data_dir": tmp_path / "data", "port": 0, "preload": "none", **settings}
        env = {name: value for name, value in os.environ.items() if not name.startswith("DREAM_")}
        env |= {f"DREAM_{name.upper()}": str(value) for name, value in ours.items()}
        return subprocess.run(
            [sys.executable, "-P", "-m", *what.split()],
            env={**env, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return run


class Stranger(socketserver.BaseRequestHandler):
    """A server of something else, that answers whatever it is told."""

    def handle(self) -> None:
        self.request.recv(100)
        self.request.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")


def says(ended: Ended, pattern: str) -> None:
    """Assert that a process ended by its set-up, with one sentence of that pattern."""
    assert re.fullmatch(rf"(dream|api|worker|valkey|dream: \w+): {pattern}\n", ended.stderr), (
        ended.stdout,
        ended.stderr,
    )
    assert ended.returncode == BAD_SETUP


@contextmanager
def server(folder: Path, *options: str) -> Iterator[str]:
    """A Redis of somebody's own, on TCP; give its address."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = str(probe.getsockname()[1])
    command = [str(binary()), "--port", port, "--bind", "127.0.0.1", "--dir", str(folder)]
    with subprocess.Popen([*command, "--save", "", *options], stdout=subprocess.DEVNULL) as child:
        try:
            while not _listens(int(port)):
                assert child.poll() is None
            yield f"redis://127.0.0.1:{port}/0"
        finally:
            child.terminate()


def _listens(port: int) -> bool:
    try:
        redis.Redis(port=port).ping()
    except redis.AuthenticationError:
        return True
    except redis.ConnectionError:
        return False
    return True


@pytest.mark.parametrize(
    ("what", "url", "pattern"),
    [
        ("api", "http://queue", "start it with one of redis://, .*"),
        ("worker", "redis://queue:port", "port could not be cast to integer value as 'port' .*"),
        (
            "cli up",
            "redis://me:swordfish@queue/jobs",
            "what follows the host is the number of a database.*",
        ),
    ],
)
def test_an_address_of_redis_that_is_none(
    end: Callable[..., Ended], what: str, url: str, pattern: str
) -> None:
    """Shown without the password that it may hold."""
    shown = re.escape(url.replace("me:swordfish@", ""))

    says(end(what, redis_url=url), rf"DREAM_REDIS_URL is '{shown}': {pattern}")


def test_a_redis_where_nothing_answers_ends_dream_up(end: Callable[..., Ended]) -> None:
    """An API or a worker started by itself waits; see test_it_starts_while_redis_is_away."""
    ended = end("cli up", redis_url="redis://127.0.0.1:1")

    says(ended, "DREAM_REDIS_URL is 'redis://127.0.0.1:1': nothing answers there .*; start it .*")


@pytest.mark.parametrize("what", ALL)
def test_what_answers_but_is_no_redis(end: Callable[..., Ended], what: str) -> None:
    """The port of something else."""
    with socketserver.TCPServer(("127.0.0.1", 0), Stranger) as stranger:
        threading.Thread(target=stranger.serve_forever, daemon=True).start()
        ended = end(what, redis_url=f"redis://127.0.0.1:{stranger.server_address[1]}")
        stranger.shutdown()

    says(ended, r"DREAM_REDIS_URL is 'redis://127\.0\.0\.1:\d+': what answers there is no Redis .*")


@pytest.mark.parametrize("what", ALL)
@pytest.mark.parametrize("password", ["swordfish", ""])
def test_a_wrong_password_and_none(
    end: Callable[..., Ended], tmp_path: Path, what: str, password: str
) -> None:
    """Neither the right one nor the wrong one is shown."""
    with server(tmp_path, "--requirepass", "right") as url:
        ended = end(what, redis_url=url, redis_password=password)

    says(ended, r"DREAM_REDIS_PASSWORD is '…?': Redis at redis://\S+ says: .*; set the one .*")
    assert not re.search("swordfish|right", ended.stderr)


@pytest.mark.parametrize("what", ALL)
def test_a_redis_that_throws_dreams_away(
    end: Callable[..., Ended], tmp_path: Path, what: str
) -> None:
    """A cache's policy would lose what was accepted."""
    with server(tmp_path, "--maxmemory-policy", "allkeys-lru") as url:
        ended = end(what, redis_url=url)

    says(ended, rf"DREAM_REDIS_URL is '{url}': its maxmemory-policy is allkeys-lru, .*noeviction.*")


@pytest.mark.parametrize("what", ["worker", "cli up"])
def test_a_gpu_that_is_not_here(end: Callable[..., Ended], tmp_path: Path, what: str) -> None:
    """The supervisor hears it from the worker, passes it on and starts it no second time."""
    with server(tmp_path) as url:
        ended = end(what, device="cuda:99", redis_url=url)

    says(ended, r"DREAM_DEVICE is 'cuda:99': there is no device 'cuda:99' here; use .*cpu")
    assert ended.stdout.count("worker:") == (what == "cli up")


@pytest.mark.parametrize("what", ["api", "cli up"])
def test_a_port_that_is_taken(end: Callable[..., Ended], what: str) -> None:
    """Before anything has started."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = end(what, port=port)

    says(ended, rf"(port {port} on \S+|DREAM_PORT is '{port}': the port) is taken.*")


@pytest.mark.parametrize("what", ALL)
def test_a_volume_that_can_not_be_written(
    end: Callable[..., Ended], tmp_path: Path, what: str
) -> None:
    """A file is in the way of the folder."""
    (tmp_path / "file").touch()
    ended = end(what, data_dir=tmp_path / "file")

    says(
        ended,
        rf"DREAM_DATA_DIR is '{tmp_path}/file': it can't be written \(File exists\); give the "
        "service access to it, or name another folder",
    )


@pytest.mark.parametrize("what", ALL)
def test_a_volume_that_is_mounted_read_only(
    end: Callable[..., Ended], tmp_path: Path, what: str
) -> None:
    """Root has every permission, and can't write there all the same."""
    with mounted(tmp_path / "disk", "-t", "tmpfs", "-o", "ro", "tmpfs") as disk:
        ended = end(what, data_dir=disk)

    says(ended, r"DREAM_DATA_DIR is '\S+': it can't be written \(Read-only file system\); .*")


@pytest.mark.parametrize("what", ALL)
def test_a_full_disk(end: Callable[..., Ended], tmp_path: Path, what: str) -> None:
    """Not a byte more: one that fills up later ends nothing (tests/faults)."""
    with mounted(tmp_path / "disk", "-t", "tmpfs", "-o", "size=64k", "tmpfs") as disk:
        with suppress(OSError), (disk / "ballast").open("wb", 0) as file:
            while file.write(b"\0" * 4096):
                pass
        ended = end(what, data_dir=disk)

    says(
        ended,
        r"DREAM_DATA_DIR is '\S+': it can't be written \(No space left on device\); free space "
        "there, or name another folder",
    )


@pytest.mark.parametrize("what", ["api", "cli up"])
def test_a_door_to_the_network_without_a_key(end: Callable[..., Ended], what: str) -> None:
    """Whoever could reach it could use it."""
    says(end(what, host="0.0.0.0"), r"DREAM_(HOST|API_KEY) is '\S*': .*")


@pytest.mark.parametrize("what", ALL)
def test_a_value_that_can_not_be_meant(end: Callable[..., Ended], what: str) -> None:
    """Every setting is read at the start."""
    says(end(what, retention="soon"), r"DREAM_RETENTION is 'soon': give a number and its unit, .*")


def test_a_room_that_a_supervisor_starts_anew_lives_with_what_went_wrong_meanwhile(
    end: Callable[..., Ended], tmp_path: Path
) -> None:
    """In the middle of the night, on a full disk, the API comes up and says so."""
    (tmp_path / "file").touch()

    ended = end("api", data_dir=tmp_path / "file", parent_pid=2**22)  # that is nobody: told to end

    assert "DREAM_DATA_DIR" not in ended.stderr
    assert ended.returncode != BAD_SETUP
