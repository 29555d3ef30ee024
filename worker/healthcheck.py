"""`python -P -m worker.healthcheck`: whether a worker of this host says that it is alive."""

import socket
import sys

from dream_core.errors import DreamError
from jobs.connection import connect
from jobs.presence import workers
from jobs.settings import load


def main() -> int:
    """Return 0 where a worker's key is there, which it renews itself; else 1 with the reason."""
    host = socket.gethostname()
    try:
        alive = [worker for worker in workers(connect(load())) if worker.host == host]
    except DreamError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 1
    if not alive:
        print(f"no worker on {host} has said for 15 s that it is alive", file=sys.stderr)  # noqa: T201
    return 0 if alive else 1


if __name__ == "__main__":
    sys.exit(main())
