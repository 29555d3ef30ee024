"""Celery's consumer as we run it: back within a second of a Redis that is back."""

import logging
import time
from typing import Any

from celery.worker.consumer import Consumer
from celery.worker.state import maybe_shutdown

from dream_core.errors import DreamError
from jobs.scripts import check_takes_writes

log = logging.getLogger(__name__)

# Asked this often, a Redis that is away costs a refused connection. Celery's own waits 2 s, then 4,
# 6 … up to 30: after an outage of 20 s, ten more.
_FIRST_AFTER_S, _MORE_S, _AT_MOST_S = 0.2, 0.2, 1.0


class QuickConsumer(Consumer):
    """Takes messages, and connects again soon."""

    def ensure_connected(self, conn: Any) -> Any:
        """Return the connection once it stands; a stop of the worker ends the wait."""
        warned = False

        def refused(error: Exception, _: float) -> None:
            nonlocal warned
            if not warned:
                log.warning("the queue at %s is away: %s", conn.as_uri(), error)
            warned = True

        connected = conn.ensure_connection(
            refused,
            interval_start=_FIRST_AFTER_S,
            interval_step=_MORE_S,
            interval_max=_AT_MOST_S,
            callback=maybe_shutdown,
        )
        self.first_connection_attempt = False
        _wait_for_room(connected)
        return connected


def _wait_for_room(conn: Any) -> None:
    """Return when Redis takes writes; a stop of the worker ends the wait.

    Celery writes as it connects (queues, a lock), and a refusal would end the process, with the
    dream that runs in it.
    """
    warned = False
    while True:
        try:
            check_takes_writes(conn.default_channel.client)
        except DreamError as error:
            if not warned:
                log.warning("no job is taken until Redis takes writes: %s", error)
            warned = True
        else:
            return
        time.sleep(_AT_MOST_S)
        maybe_shutdown()
