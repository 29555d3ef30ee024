"""Starts the API: `python -P -m api`, set by DREAM_… alone.

Ends with 0 when told to stop, with 78 when the set-up must be changed (`jobs/exits.py`).
"""

import asyncio
import errno
import logging
import signal
import socket
import sys

import uvicorn

from api.app import create_app
from dream_core.errors import DreamError
from jobs import exits, logs
from jobs import settings as settings_
from jobs.door import listed
from jobs.errors import BadSetting
from jobs.process import end_with_parent
from jobs.settings import Settings
from jobs.start import check

log = logging.getLogger(__name__)
GRACE_S = 2  # for answers on their way when told to stop; the whole stack has 5


def main() -> int:
    """Serve until told to stop; return the exit code."""
    try:
        settings = settings_.load().check_host()
        check(settings)
        end_with_parent(settings.parent_pid)
        listening = listen(settings)
    except DreamError as error:
        return exits.tell("api", error)  # nothing logs yet
    for told in (signal.SIGINT, signal.SIGTERM):
        # The server stops on these by itself, then raises them again for who was there before.
        signal.signal(told, lambda *_: sys.exit(0))
    logs.set_up(settings, "api")
    host, port = listening.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    log.info("listening on http://%s:%d", shown, port)
    logging.getLogger("uvicorn.error").addFilter(_not_cut_off)
    config = uvicorn.Config(
        create_app(settings),
        log_level=settings.log_level,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=GRACE_S,
        # Left to itself it believes everyone on this machine, and FORWARDED_ALLOW_IPS.
        proxy_headers=bool(settings.trusted_proxies),
        forwarded_allow_ips=list(listed(settings.trusted_proxies)),
    )
    uvicorn.Server(config).run(sockets=[listening])
    return 0


def _not_cut_off(record: logging.LogRecord) -> bool:
    """Leave out the traceback of a request that the stop cut off; how many those are is said."""
    kind = record.exc_info[0] if record.exc_info else None
    return kind is None or not issubclass(kind, asyncio.CancelledError)


def listen(settings: Settings) -> socket.socket:
    """Return the socket that the API is served on; port 0 takes a free one.

    Raises:
        BadSetting: the address isn't this machine's, or the port is taken.
    """
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        listening = socket.create_server(
            (settings.host, settings.port), family=family, backlog=2048
        )
        # Each connection inherits it. Head and body of an answer are two writes, and without it the
        # second waits for the client to acknowledge the first: 40 ms. asyncio asks for it only on
        # sockets that were made for TCP by number.
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return listening
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            reason = (
                "the port is taken; stop what listens there, or set another (0 takes a free one)"
            )
            raise BadSetting("DREAM_PORT", settings.port, reason, "port") from error
        raise BadSetting(
            "DREAM_HOST", settings.host, error.strerror or str(error), "host"
        ) from error


if __name__ == "__main__":
    sys.exit(main())
