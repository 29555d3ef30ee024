"""Celery's worker as we run it: silent, woken when a job ends, stopped by our own hand."""

import signal
import threading
import warnings
from typing import Any

from celery import Celery, signals
from celery.apps.worker import Worker
from celery.exceptions import CPendingDeprecationWarning
from celery.worker import state

from jobs.presence import Presence
from jobs.queue import name
from jobs.record import QUEUES
from worker.stopping import Stopping

_FREED_AFTER_S = 0.02  # from a task's last signal to a pool that takes the next one


def consumer(app: Celery, presence: Presence, stopping: Stopping) -> Worker:
    """Return Celery's worker, to be started in the main thread."""
    # It warns root of pickled messages; ours are JSON, and nothing else is taken.
    warnings.filterwarnings("ignore", "You're running the worker with superuser privileges")

    def ready(sender: Any, **_: object) -> None:
        # At every lost connection it warns of a setting that we have set.
        warnings.filterwarnings("ignore", category=CPendingDeprecationWarning)
        _wake_after_each_task(sender)
        _take_signals(stopping)

    signals.setup_logging.connect(lambda **_: None, weak=False)  # ours is set up
    signals.worker_shutting_down.connect(lambda **_: stopping.begin(), weak=False)
    signals.worker_ready.connect(ready, weak=False)
    worker: Worker = app.Worker(
        hostname=f"{presence.slot}@{presence.host}",
        queues=[name(queue) for queue in QUEUES],
        quiet=True,
        without_mingle=True,  # waits a second for other workers, who know nothing we need
        without_gossip=True,
    )
    return worker


def _take_signals(stopping: Stopping) -> None:
    """Stop as Celery does, but without its prints and, on SIGHUP, without its restart."""

    def stop(*_: object) -> None:
        stopping.begin()
        setattr(state, "should_stop", 0)  # noqa: B010 (its stubs know only None; 0 is the status)

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, stop)


def _wake_after_each_task(celery_consumer: Any) -> None:
    """Ask for the next message as soon as a job ends.

    Nothing wakes the event loop when a thread of the pool becomes free: the next job would wait
    for the loop's own pulse, up to a second.
    """

    def wake() -> None:
        celery_consumer.hub.call_soon(lambda: None)

    def schedule(**_: object) -> None:
        threading.Timer(_FREED_AFTER_S, wake).start()

    signals.task_postrun.connect(schedule, weak=False)
