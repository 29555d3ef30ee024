"""The task: a message with a job's id becomes a claim, and the claim a dream."""

import logging
from typing import Any

from celery import Celery

from jobs.errors import UnknownVersion
from jobs.ledger import Ledger
from jobs.logs import bound
from jobs.queue import TASK
from jobs.record import VERSION
from worker.dreamer import Dreamer
from worker.heartbeat import Heartbeat

log = logging.getLogger(__name__)


def add_task(app: Celery, ledger: Ledger, dreamer: Dreamer, heartbeat: Heartbeat) -> None:
    """Give the app the task that the API sends by name."""

    @app.task(name=TASK)
    def dream(message: dict[str, Any]) -> None:
        if message.get("version") != VERSION:
            what = f"the message of dream {message.get('id')}"
            log.error("%s", UnknownVersion(what, message.get("version"), VERSION))
            return
        with bound(job=message["id"]):
            try:
                run(message["id"])
            except UnknownVersion as error:
                log.error("%s", error)
            except Exception:  # here, where the job's id is still known
                log.exception("dream left by a fault of ours: it goes on when its lease is over")

    def run(job_id: str) -> None:
        claim = ledger.claim(job_id, heartbeat.presence.name)
        if claim is None:
            log.info("nothing to do: the job isn't queued any more")
            return
        with bound(**claim.known_as), heartbeat.dreaming(claim):
            dreamer.run(claim)
