import subprocess
import sys
from pathlib import Path

import pytest
import redis

from jobs.connection import connect
from jobs.errors import DataFolderInUse, ServerDown
from jobs.settings import Settings, environment
from jobs.valkey import lock, socket_path, wait_until_up

ROOT = Path(__file__).parents[3]
# A parent that starts a server and says so.
PARENT = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-P", "-m", "jobs.valkey"])
print("started", flush=True)
child.wait()
"""


def test_data_outlives_a_server_that_is_killed(tmp_path: Path, start) -> None:
    """The append-only file has what was written a second ago, and the lock is free again."""
    settings = Settings(data_dir=tmp_path)
    with start("jobs.valkey", settings) as first:
        client = connect(settings)
        wait_until_up(client)
        client.set("kept", "yes")
        client.execute_command("WAITAOF", 1, 0, 10_000)
        first.kill()
        first.wait()

    with start("jobs.valkey", settings):
        wait_until_up(client)
        assert client.get("kept") == "yes"


def test_a_second_server_on_a_folder_is_refused(tmp_path: Path, start) -> None:
    """It would take the socket over and fork the truth."""
    settings = Settings(data_dir=tmp_path)
    with start("jobs.valkey", settings):
        wait_until_up(connect(settings))
        with pytest.raises(DataFolderInUse, match="DREAM_DATA_DIR"):
            lock(tmp_path)

        with start("jobs.valkey", settings) as second:
            assert second.wait() == 78

        assert connect(settings).ping()


def test_a_server_ends_with_its_parent(tmp_path: Path) -> None:
    """A supervisor that is killed leaves no server behind, so the next one can start."""
    settings = Settings(data_dir=tmp_path)
    env = {**environment(settings), "PYTHONPATH": str(ROOT)}
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT], env=env, stdout=subprocess.PIPE, text=True
    )
    with parent:
        parent.stdout.readline()
        wait_until_up(connect(settings))

        parent.kill()

        parent.stdout.read()  # returns when the server, which writes there too, has ended
    lock(tmp_path)


def test_only_its_user_can_reach_a_server(server: Settings) -> None:
    """The socket is the lock of the door: no port, no other user."""
    path = socket_path(server.data_dir)

    assert path.stat().st_mode & 0o077 == 0
    assert (server.data_dir / "valkey").stat().st_mode & 0o077 == 0
    assert connect(server).config_get("port") == {"port": "0"}


def test_a_deep_data_folder_works_like_any_other(tmp_path: Path, start) -> None:
    """Nobody knows of the 108 bytes of a socket's path, and nobody has to."""
    settings = Settings(data_dir=tmp_path / ("deep" * 30))

    with start("jobs.valkey", settings):
        client = connect(settings)
        wait_until_up(client)
        assert client.set("a", "b")


def test_a_server_that_does_not_come_up_is_told_in_one_sentence(tmp_path: Path) -> None:
    """With the place that was tried, so that one can look there."""
    nowhere = redis.Redis(unix_socket_path=str(tmp_path / "none.sock"), retry=None)

    with pytest.raises(ServerDown, match=r"none\.sock didn't answer within 0 s"):
        wait_until_up(nowhere, timeout_s=0)
