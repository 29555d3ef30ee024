"""The rooms of torch-inception: what `dream up` and `dream demo` start."""

import errno
import os
import socket
import sys
from collections.abc import Callable, Mapping

import httpx
import redis

from cli.errors import PortTaken
from cli.up.log import Log
from cli.up.room import RoomPlan
from cli.up.stack import Stack
from jobs.errors import BadSetting
from jobs.settings import Settings, environment
from jobs.start import check
from jobs.valkey import lock, socket_url

ANSWER_WITHIN_S = 2.0
EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - listened on, not asked at
# Valkey's advice to set a kernel parameter, at every start. It is about copies of the process for
# snapshots of gigabytes; ours holds megabytes, and the setting is the host's and not a user's.
OVERCOMMIT = "WARNING Memory overcommit must be enabled"


def stack(settings: Settings, log: Log) -> Stack:
    """Return the stack of these settings, not yet started. Port 0 becomes a free one.

    Raises:
        BadSetting: others could reach the API and it has no key, or the host isn't this machine.
        DataFolderInUse: another stack runs on the data folder.
        PortTaken: another program listens there.
    """
    settings.check_host()
    check(settings, redis_must_answer=True)
    if settings.embedded:
        # Valkey takes the lock for good when it starts; asked here, the answer comes before
        # anything runs, and nobody takes the other stack's Valkey for ours.
        os.close(lock(settings.data_dir))
    port = claim_port(settings.host, settings.port)
    ours = settings.model_copy(update={"port": port, "parent_pid": os.getpid()})
    return Stack(plans(ours), url_of(ours), log)


def plans(settings: Settings) -> list[RoomPlan]:
    """Return the rooms in the order of their start: Valkey (if no Redis is named), API, workers."""
    given, keyless = environment(settings), environment(settings.without_key())
    rooms = [RoomPlan("api", module("api"), given, ready=answers(f"{url_of(settings)}/healthz"))]
    for slot in range(settings.workers):
        name = "worker" if settings.workers == 1 else f"worker-{slot}"
        rooms.append(RoomPlan(name, module("worker"), {**keyless, "DREAM_WORKER_SLOT": str(slot)}))
    return [_valkey(settings, keyless), *rooms] if settings.embedded else rooms


def module(name: str) -> tuple[str, ...]:
    """Return the command that runs one of our modules, whatever lies in the folder we are in."""
    return (sys.executable, "-P", "-m", name)


def url_of(settings: Settings) -> str:
    """Return where the API of these settings answers this machine."""
    here = EVERYWHERE.get(settings.host, settings.host)
    host = f"[{here}]" if ":" in here else here
    return f"http://{host}:{settings.port}"


def claim_port(host: str, port: int) -> int:
    """Return the port if nobody listens there; a free one for 0.

    Raises:
        PortTaken: somebody does, or it is for root alone.
        BadSetting: the host is none of this machine's addresses.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        # As uvicorn binds: the closing connections of a stack that has just stopped don't count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            if error.errno in (errno.EADDRINUSE, errno.EACCES):
                raise PortTaken(host, port) from error
            reason = f"{error.strerror}; name an address of this machine"
            raise BadSetting("DREAM_HOST", host, reason, "host") from error
        taken: int = probe.getsockname()[1]
    return taken


def answers(url: str) -> Callable[[], bool]:
    """Return a question: does a GET of `url` succeed by now?"""

    def ask() -> bool:
        try:
            # Loopback is asked directly, whatever proxy the environment names.
            response = httpx.get(url, timeout=ANSWER_WITHIN_S, trust_env=False)
        except httpx.TransportError:
            return False
        return response.is_success

    return ask


def _valkey(settings: Settings, given: Mapping[str, str]) -> RoomPlan:
    client = redis.Redis.from_url(socket_url(settings.data_dir), socket_timeout=ANSWER_WITHIN_S)

    def ready() -> bool:
        try:
            return bool(client.ping())
        except redis.RedisError:
            return False

    return RoomPlan(
        "valkey",
        module("jobs.valkey"),
        given,
        ready=ready,
        carries_others=True,
        noise=OVERCOMMIT,
    )
