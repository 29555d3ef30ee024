import os
import select
import signal
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]
CHILD = """
import os, signal, sys
from jobs.process import end_with_parent
end_with_parent(int(sys.argv[1]) if sys.argv[1] != "none" else None)
print(os.getpid(), flush=True)
signal.pause()
"""
PARENT = f"""
import os, subprocess, sys
told = str(os.getpid()) if sys.argv[1] == "ours" else sys.argv[1]
subprocess.Popen([sys.executable, "-c", {CHILD!r}, told]).wait()
"""


def orphan(told: str) -> tuple["subprocess.Popen[str]", int]:
    """Start a parent and its child and kill the parent; the child holds its standard output."""
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", PARENT, told]
    parent = subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True)
    child = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    return parent, child


def test_a_room_ends_with_the_supervisor_that_started_it() -> None:
    """A supervisor that is killed can stop nothing; yet no worker runs on beside the next one."""
    parent, _ = orphan("ours")
    with parent:
        assert parent.stdout.read() == ""  # returns when nobody is left to write


def test_a_room_that_was_started_by_hand_lives_on() -> None:
    """With nohup, or by a service manager, nobody is its supervisor."""
    parent, child = orphan("none")
    with parent:
        assert not select.select([parent.stdout], [], [], 0)[0]
        os.kill(child, signal.SIGKILL)


def test_a_room_whose_supervisor_is_gone_already_ends_at_once() -> None:
    """Between its start and its asking the supervisor may have died."""
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    nobody = str(2**22)  # no process has a number that large

    child = subprocess.run(
        [sys.executable, "-c", CHILD, nobody], env=env, capture_output=True, timeout=60, check=False
    )

    assert child.returncode == -signal.SIGTERM
