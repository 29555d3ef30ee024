"""`dream up` as a user starts it: one supervisor, told to stop, killed, doubled."""

import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from cli.up.stack import GRACE_S, LAST_GRACE_S

Supervisor = subprocess.Popen[str]
Supervise = Callable[..., Supervisor]


def read_until(supervisor: Supervisor, pattern: str) -> str:
    """Return the first line of the log that has the pattern."""
    assert supervisor.stdout is not None
    read: list[str] = []
    for line in supervisor.stdout:
        read.append(line)
        if re.search(pattern, line):
            return line
    pytest.fail(f"the log ended without {pattern!r}:\n{''.join(read)}")


def children(pid: int) -> list[int]:
    """Return the processes that a process has started and that still run."""
    listed = subprocess.run(
        ["ps", "-axo", "pid=,ppid=,stat="], capture_output=True, text=True, check=True
    ).stdout.split("\n")
    rows = [line.split() for line in listed if line]
    return [int(row[0]) for row in rows if int(row[1]) == pid and "Z" not in row[2]]


def runs(pid: int) -> bool:
    """Whether a process of that id runs."""
    state = subprocess.run(
        ["ps", "-p", str(pid), "-o", "stat="], capture_output=True, text=True, check=False
    ).stdout.strip()
    return bool(state) and "Z" not in state


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_told_to_stop_it_stops_everything_and_is_content(
    supervise: Supervise, tmp_path: Path, number: signal.Signals
) -> None:
    """Ctrl-C is how one stops it: exit status 0 and no process left."""
    supervisor = supervise(tmp_path / "data", "--port", "0")
    read_until(supervisor, "serving on http://127.0.0.1:")
    rooms = children(supervisor.pid)

    supervisor.send_signal(number)
    log, _ = supervisor.communicate()

    assert len(rooms) == 3
    assert supervisor.returncode == 0
    assert log.endswith("dream    | stopped\n")
    assert not [pid for pid in rooms if runs(pid)]


def test_the_promise_of_five_seconds_is_kept_by_its_own_figures() -> None:
    """No room, however deaf, is waited for any longer."""
    assert GRACE_S + LAST_GRACE_S < 5


def test_killed_it_leaves_no_process_behind(
    supervise: Supervise, tmp_path: Path, eventually: Callable[..., None]
) -> None:
    """The rooms end with their supervisor even when it could not stop them."""
    supervisor = supervise(tmp_path / "data", "--port", "0")
    read_until(supervisor, "serving on")
    rooms = children(supervisor.pid)

    supervisor.kill()

    assert len(rooms) == 3
    eventually(lambda: not any(map(runs, rooms)), "all rooms have ended")


def test_a_second_one_on_the_same_data_folder_is_refused(
    supervise: Supervise, tmp_path: Path
) -> None:
    """Two servers on one folder would fork the truth; the sentence names the way out."""
    first = supervise(tmp_path / "data", "--port", "0", "--workers", "0")
    read_until(first, "serving on")

    second = supervise(tmp_path / "data", "--port", "0", "--workers", "0")
    said, _ = second.communicate()

    assert second.returncode == 78
    assert said.startswith("dream: another torch-inception runs on ")
    assert "DREAM_DATA_DIR" in said


def test_a_taken_port_is_said_before_anything_starts(supervise: Supervise, tmp_path: Path) -> None:
    """One sentence, with a port to try instead."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        supervisor = supervise(tmp_path / "data", "--port", str(port))
        said, _ = supervisor.communicate()

    assert supervisor.returncode == 78
    assert said.startswith(f"dream: port {port} on 127.0.0.1 is taken")
    assert said.count("\n") == 1


def test_an_option_wins_over_the_environment(
    supervise: Supervise, tmp_path: Path, environment: dict[str, str]
) -> None:
    """DREAM_PORT is for a deployer, --port for now."""
    environment["DREAM_PORT"] = "1"  # nobody may listen there
    try:
        supervisor = supervise(tmp_path / "data", "--port", "0", "--workers", "0")
        line = read_until(supervisor, "serving on")
    finally:
        del environment["DREAM_PORT"]

    assert not line.endswith(":1")


def test_another_host_than_loopback_needs_a_key(supervise: Supervise, tmp_path: Path) -> None:
    """Else whoever finds it may use it; the sentence makes a key."""
    supervisor = supervise(tmp_path / "data", "--host", "0.0.0.0")
    said, _ = supervisor.communicate()

    assert supervisor.returncode == 78
    assert said.startswith("dream: DREAM_HOST is '0.0.0.0': other machines could reach the API")
    assert "openssl rand -base64 32" in said
    assert said.count("\n") == 1


def test_with_a_key_it_is_up_for_everybody_who_has_it(
    supervise: Supervise, tmp_path: Path, environment: dict[str, str]
) -> None:
    """Its own look at the API needs no key, the commands send it, and no other room knows it."""
    key = {"DREAM_API_KEY": "correct-horse-battery-staple"}
    environment |= key
    try:
        supervisor = supervise(tmp_path / "data", "--host", "0.0.0.0", "--port", "0")
        line = read_until(supervisor, "serving on")
    finally:
        del environment["DREAM_API_KEY"]
    found = re.search(r"http://[\d.:]+", line)
    assert found

    def ls(**more: str) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-P", "-m", "cli", "ls", "--url", found[0]]
        env = {**environment, **more}
        return subprocess.run(command, env=env, capture_output=True, text=True, check=False)

    refused, listed = ls(), ls(**key)

    assert (refused.returncode, listed.returncode) == (1, 0)
    assert "the service answered 401: this service asks for its key" in refused.stderr
    assert listed.stderr.startswith("no dreams")
    rooms = children(supervisor.pid)
    shown = subprocess.run(
        ["ps", "-ww", "-o", "args=", "-p", ",".join(map(str, [supervisor.pid, *rooms]))],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert "-m api" in shown
    assert "correct-horse" not in shown
    if sys.platform == "linux":
        told = [b"correct-horse" in Path(f"/proc/{pid}/environ").read_bytes() for pid in rooms]
        assert told.count(True) == 1, "the API alone"


def test_a_folder_named_like_a_room_does_not_shadow_it(
    environment: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`dream up` may be typed in a folder that has an api/ of its own."""
    (tmp_path / "api").mkdir()
    (tmp_path / "api" / "__main__.py").write_text("raise SystemExit('not ours')")
    monkeypatch.chdir(tmp_path)
    found = subprocess.run(
        [sys.executable, "-P", "-c", "import api; print(api.__file__)"],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    ).stdout

    assert Path(found.strip()).parent == Path(__file__).parents[2] / "api"
