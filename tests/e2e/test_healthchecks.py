"""The health commands of the containers: each tests the real thing and fails without it."""

import subprocess
import sys
from collections.abc import Callable

import pytest

from cli.up.stack import Stack


@pytest.mark.parametrize("name", ["api", "worker"])
def test_a_room_that_is_up_is_healthy_and_one_without_redis_is_not(
    name: str, thin_stack: Stack, eventually: Callable[..., None]
) -> None:
    """Compose restarts nothing by itself that says it is well; it says so only when it is."""
    (room,) = [room for room in thin_stack.rooms if room.plan.name == name]
    command = [sys.executable, "-P", "-m", f"{name}.healthcheck"]

    def check(**changed: str) -> "subprocess.CompletedProcess[str]":
        env = {**room.plan.environment, **changed}
        return subprocess.run(command, env=env, text=True, capture_output=True, check=False)

    eventually(lambda: check().returncode == 0, f"{name} is healthy")
    # Docker hands a host's proxy to every container; this is asked of ourselves.
    assert check(http_proxy="http://127.0.0.1:1", no_proxy="").stderr == ""
    away = check(DREAM_REDIS_URL="redis://127.0.0.1:1/0")
    assert away.returncode == 1
    assert len(away.stderr.splitlines()) == 1
