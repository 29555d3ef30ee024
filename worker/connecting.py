"""Celery's consumer as we run it: back within a second of a Redis that is back."""

import logging
from typing import Any

from celery.worker.consumer import Consumer
from celery.worker.state import maybe_shutdown

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
        return connected
