"""The append-only file: one that the embedded Valkey can't read is set aside, and it starts anew.

The folders of the dreams then fill it again (`jobs.refill`), so what it held is not lost; only a
pause, and the events of what has ended, are.
"""

import re
import subprocess
import sys
import time
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from jobs.process import ask_kernel
from jobs.store import ASIDE, set_aside

FOLDER = "appendonlydir"  # Valkey's own name for it
_ASKED_EVERY_S = 0.005
# As Valkey ends on a file that it can't read. Not on a tail that was cut off, which it mends; and
# nothing else that may keep it from starting (access, memory) is the file's fault.
_UNREADABLE = re.compile(
    r"Bad file format|MANIFEST FILE ERROR|Unable to obtain the AOF|Internal error in RDB|signature"
)


def check(command: list[str], data_dir: Path) -> str:
    """Let the server of a data folder read what it has, and set aside what it can't.

    Args:
        command: starts the server; a later option wins over an earlier one.
        data_dir: of the stack, locked by us.

    Returns:
        a sentence on what was set aside and where; empty where all is well.
    """
    folder, socket = data_dir / "valkey", _beside(command)
    if not (folder / FOLDER).exists():
        return ""
    for line in _try(command, socket).splitlines():
        if _UNREADABLE.search(line):
            kept = set_aside(folder / FOLDER, data_dir / ASIDE)
            return (
                f"what Redis had written can't be read ({line.rpartition('# ')[2]}); it is kept "
                f"as {kept}, and the folders of the dreams fill Redis again"
            )
    return ""


def _beside(command: list[str]) -> str:
    """Return a socket that nobody knows, so that nobody takes the trial for the server."""
    return command[command.index("--unixsocket") + 1] + ".t"


def _try(command: list[str], socket: str) -> str:
    """Return what the server says when it ends by itself; nothing where it has read its data."""
    with subprocess.Popen(
        [*command, "--unixsocket", socket],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        preexec_fn=ask_kernel if sys.platform == "linux" else None,  # noqa: PLW1509 (no threads)
    ) as server:
        try:
            while server.poll() is None:
                if _answers(socket):
                    return ""
                time.sleep(_ASKED_EVERY_S)
            assert server.stdout is not None  # noqa: S101 (a pipe, as asked for)
            return server.stdout.read()
        finally:
            server.terminate()


def _answers(socket: str) -> bool:
    try:
        with redis.Redis(unix_socket_path=socket, retry=Retry(NoBackoff(), 0)) as client:
            return bool(client.ping())
    except redis.RedisError:  # not yet there, or loading
        return False
