"""The one place that puts a ledger together: API and worker open the same."""

from celery import Celery

from jobs.connection import WORKER, Patience, connect
from jobs.ledger import Ledger
from jobs.limits import Limits
from jobs.queue import celery_app, publisher
from jobs.reaper import Reaper
from jobs.settings import Settings
from jobs.store import Store


def open_ledger(
    settings: Settings, app: Celery | None = None, patience: Patience = WORKER
) -> Ledger:
    """Return the ledger of a deployment; nothing is connected before it is asked something."""
    app = app or celery_app(settings, patience)
    return Ledger(
        connect(settings, patience),
        Store(settings.data_dir),
        publisher(app),
        limits=Limits.of(settings),
    )


def open_reaper(settings: Settings, ledger: Ledger) -> Reaper:
    """Return the reaper that an API starts beside its routes, and stops at its end."""
    store = Store(settings.data_dir)
    return Reaper(connect(settings), ledger, store, keep_s=settings.keep_s)
