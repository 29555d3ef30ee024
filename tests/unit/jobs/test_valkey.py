import os
import socket
import subprocess
from pathlib import Path

from jobs.valkey import LONGEST_SOCKET_PATH, arguments, binary, socket_path


def test_the_server_is_found_and_runs() -> None:
    """A stack needs nothing that pip hasn't brought."""
    said = subprocess.run([binary(), "--version"], capture_output=True, text=True, check=True)

    assert "server v=" in said.stdout


def test_a_socket_lies_in_the_data_folder() -> None:
    """Everything of a stack is in one place, where that can be."""
    assert socket_path(Path("/srv/dreams")) == Path("/srv/dreams/valkey/valkey.sock")


def test_a_deep_data_folder_has_a_short_socket_of_its_own(tmp_path: Path) -> None:
    """A socket's path ends at 107 bytes; two deep folders don't share one socket."""
    one, other = (tmp_path / ("ü" * 60) / name for name in ("one", "other"))

    assert socket_path(one) != socket_path(other)
    assert socket_path(one) == socket_path(one)
    assert len(os.fsencode(socket_path(one))) <= LONGEST_SOCKET_PATH
    assert len(os.fsencode(one)) > LONGEST_SOCKET_PATH


def test_the_longest_path_that_is_taken_can_be_bound(tmp_path: Path) -> None:
    """The limit is one that the system keeps."""
    path = str(tmp_path / "s")
    path += "s" * (LONGEST_SOCKET_PATH - len(os.fsencode(path)))

    with socket.socket(socket.AF_UNIX) as probe:
        probe.bind(path)


def test_the_server_opens_no_port_and_forgets_nothing(tmp_path: Path) -> None:
    """Nobody but this user reaches it; it refuses what it can't keep, and writes what it keeps."""
    command = " ".join(arguments(tmp_path))

    assert "--port 0" in command
    assert "--unixsocketperm 700" in command
    assert "--appendonly yes" in command
    assert "--maxmemory-policy noeviction" in command
