"""`python -P -m api.healthcheck`: whether this host's API answers, with its Redis behind it."""

import sys
import urllib.error
import urllib.request

from dream_core.errors import DreamError
from jobs.settings import load
from jobs.wiring import open_ledger

TIMEOUT_S = 3
# Docker may hand a host's proxy to its containers: none leads to ourselves.
DIRECTLY = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def main() -> int:
    """Return 0 where /healthz and Redis answer, else 1 with the reason."""
    try:
        settings = load()
        address = f"http://127.0.0.1:{settings.port}/healthz"
        with DIRECTLY.open(address, timeout=TIMEOUT_S):
            pass
        open_ledger(settings).check()
    except (DreamError, urllib.error.URLError) as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
