"""A running stack put to the test: `make smoke`, with Docker or with the engine of a rehearsal.

Needs nothing but Python and Compose. It starts a project of its own beside yours, with its own
volumes and port, and removes them at the end.
"""

import argparse
import json
import re
import secrets
import shlex
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rehearsal.stack import ITERATIONS, Failed, Stack, beside, own_address

# Run in a container: ends the worker itself, not the init process that carries it.
KILL = """
import os, signal
for pid in filter(str.isdecimal, os.listdir("/proc")):
    words = open(f"/proc/{pid}/cmdline").read().split("\\0")
    if "worker" in words and "python" in words[0]:
        os.kill(int(pid), signal.SIGKILL)
"""
# Run in a container by sh, which all three have: what the kernel says of its first process.
CONFINEMENT = """
grep -E '^(Uid|CapEff|CapBnd|NoNewPrivs|Seccomp):' /proc/1/status
touch /written 2>/dev/null && echo 'root: writable' || echo 'root: read-only'
cd /sys/fs/cgroup
echo "memory: $(cat memory.max memory/memory.limit_in_bytes 2>/dev/null)"
echo "pids: $(cat pids.max pids/pids.max 2>/dev/null)"
"""


def check_confinement(stack: Stack) -> None:
    """Each service: no root, no capability, nothing to write to, its limits known to the kernel."""
    services = json.loads(stack.run("config", "--format", "json"))["services"]
    for name, service in services.items():
        said = stack.run("exec", "-T", name, "sh", "-c", CONFINEMENT)
        found = {key: value.split() for key, value in re.findall(r"(\w+):\s*(.*)", said)}
        expected = {
            "Uid": [service["user"].split(":")[0]] * 4,
            "CapEff": ["0" * 16],
            "CapBnd": ["0" * 16],
            "NoNewPrivs": ["1"],
            "Seccomp": ["2"],
            "root": ["read-only"],
            "memory": [service["mem_limit"]],
            "pids": [str(service["pids_limit"])],
        }
        if found != expected:
            raise Failed(f"{name} is not as confined as the file says: {found}")


def check_inside(stack: Stack) -> None:
    """The API finds Redis by its name; nobody listens to Redis on this host's side."""
    finds = "import socket; socket.create_connection(('redis', 6379), 5)"
    stack.run("exec", "-T", "api", "python", "-c", finds)
    if re.search(r"->6379|:6379->", stack.run("ps", "--format", "{{.Name}} {{.Ports}}")):
        raise Failed("Redis is published")


def check_kill(stack: Stack, expected: str) -> None:
    """Kill -9 of the worker in mid-dream: the container comes back by itself, same bytes."""
    dream = stack.post()
    stack.under_way(dream)
    stack.run("exec", "-T", "worker", "python", "-c", KILL)
    same(stack, dream, expected)


def check_restart(stack: Stack, expected: str) -> None:
    """Everything stopped and removed in mid-dream, as for an upgrade: the job goes on."""
    dream = stack.post()
    stack.under_way(dream)
    stack.run("down")
    stack.up()
    same(stack, dream, expected)


def check_power_cut(stack: Stack, expected: str) -> None:
    """Everything killed at once in mid-dream, as by a power cut: the job goes on."""
    dream = stack.post()
    stack.under_way(dream)
    stack.run("kill")
    stack.up()
    same(stack, dream, expected)


def check_offline(stack: Stack, expected: str) -> None:
    """A second start, with no way out for the worker, needs none."""
    stack.run("down")
    stack.up(offline=True)
    found = stack.result(stack.post())
    if found != expected:
        raise Failed(f"other bytes offline: {found}, expected {expected}")


def check_key(stack: Stack, expected: str) -> None:
    """Published for other machines, with a key in a file: a dream for who sends it, else a 401."""
    with (
        tempfile.TemporaryDirectory() as folder
    ):  # for us alone; the file, for the container's user
        file = Path(folder) / "api_key"
        file.write_text(f"{secrets.token_urlsafe(32)}\n")
        file.chmod(0o644)
        stack.settings |= {"DREAM_PUBLISH": own_address(), "DREAM_API_KEY_FILE": str(file)}
        stack.key = file.read_text().strip()
        stack.up()
        found = stack.result(stack.post())
        shown = stack.run("exec", "-T", "worker", "env") + stack.run("logs")
        stack.key, key = "", stack.key
    if (status := stack.status("/dreams")) != 401:
        raise Failed(f"the API answers {status} without the key, expected 401")
    if key in shown:
        raise Failed("the key stands in the worker's environment or in a log")
    if found != expected:
        raise Failed(f"other bytes with a key: {found}, expected {expected}")


def same(stack: Stack, dream: str, expected: str) -> None:
    """Hold an interrupted dream to the bytes of one that wasn't."""
    found = stack.result(dream)
    if (attempt := stack.job(dream)["attempt"]) < 2:
        raise Failed(f"attempt {attempt}: the dream was not interrupted")
    if not re.search(r"going on from iteration \d+", stack.run("logs", "worker")):
        raise Failed("the dream began anew instead of going on from its checkpoint")
    if found != expected:
        raise Failed(f"other bytes after an interruption: {found}, expected {expected}")


@contextmanager
def said(what: str) -> Iterator[None]:
    """Say what is tried, and how it went."""
    print(f"- {what}", flush=True)
    began = time.monotonic()
    yield
    print(f"  held, {time.monotonic() - began:.0f} s", flush=True)


def smoke(stack: Stack, *, build: bool = False) -> None:
    """Put a stack to the test from its first start on; nothing of it is left.

    Raises:
        Failed: with what did not hold.
    """
    try:
        with said("start; every health command is content; weights are fetched"):
            stack.up(build=build)
        with said("a dream, from POST to result"):
            expected = stack.result(stack.post())
        for check in (check_confinement, check_inside):
            with said(first_sentence(check)):
                check(stack)
        for trial in (check_kill, check_restart, check_power_cut, check_offline, check_key):
            with said(first_sentence(trial)):
                trial(stack, expected)
    except Failed:
        print(stack.run("logs", "--tail", "40"), file=sys.stderr)
        raise
    finally:
        stack.run("down", "--volumes")


def first_sentence(check: Callable[..., None]) -> str:
    """Return a check's docstring: it is the claim."""
    return (check.__doc__ or "").strip().rstrip(".")


def main() -> int:
    """Put the compose files of this folder to the test; return the exit status."""
    parser = argparse.ArgumentParser(prog="make smoke", description=__doc__)
    parser.add_argument("--compose", default="docker compose", help="the command to use")
    parser.add_argument("--gpu", action="store_true", help="with docker-compose.gpu.yml")
    parser.add_argument("--iterations", type=int, default=ITERATIONS, help="of each dream")
    asked = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # and clean up, as after Ctrl-C
    files = ["docker-compose.yml", *(["docker-compose.gpu.yml"] if asked.gpu else [])]
    try:
        smoke(beside(shlex.split(asked.compose), files, asked.iterations), build=True)
    except Failed as failed:
        print(f"smoke: {failed}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
