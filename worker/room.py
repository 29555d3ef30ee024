"""The worker as a process: it puts its parts together and lets Celery run them."""

import logging
import os
import signal
import socket
import sys
from typing import Any

import redis
from celery import Celery

from dream_core.catalogue import Catalogue
from dream_core.errors import DreamError, UnknownModel
from jobs.connection import connect, shown_url
from jobs.errors import BadSetting
from jobs.ledger import Ledger
from jobs.presence import Presence
from jobs.queue import celery_app, publisher
from jobs.reaper import Reaper
from jobs.scripts import PatientScripts
from jobs.settings import NO_MODEL, Settings
from jobs.store import Store
from worker.consumer import consumer
from worker.heartbeat import Heartbeat
from worker.stopping import Stopping

log = logging.getLogger(__name__)

NICENESS = 10  # of a dream: the API answers first, whatever the cores are busy with


def run(settings: Settings) -> int:
    """Work until SIGTERM; return the exit status."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # until Celery takes it over
    client = connect(settings)
    slot = os.getpid() if settings.worker_slot is None else settings.worker_slot
    heartbeat = Heartbeat(client, Presence(host=socket.gethostname(), slot=slot, pid=os.getpid()))
    stopping = Stopping(lambda: heartbeat.tell(state="stopping"), heartbeat.give_back)
    heartbeat.start()
    try:
        app = _wire(settings, client, heartbeat, stopping)
        log.info("ready on %s, queue at %s", heartbeat.presence.device, shown_url(settings))
        worker = consumer(app, heartbeat.presence, stopping)
        heartbeat.idle()
        # Not before: on a busy host a niced import of torch takes half a minute, and a job may be
        # waiting for this very worker. Threads that are there already (the heartbeat) stay as
        # they are on Linux; those that dream are yet to come.
        os.nice(NICENESS)
        worker.start()
        stopping.finish()
        return int(worker.exitcode or 0)
    finally:
        heartbeat.stop()


def _wire(
    settings: Settings, client: redis.Redis, heartbeat: Heartbeat, stopping: Stopping
) -> Celery:
    """Return the Celery app with a task that dreams; the first weights are there when it does."""
    # torch takes seconds to import, on a busy host half a minute: by now the worker is known to be
    # starting. Nothing above may import it, or `/readyz` would say that no worker is up.
    from dream_core.executors.memory import free_bytes
    from dream_core.executors.probe import Probe
    from worker.device import take_device
    from worker.dreamer import Dreamer
    from worker.networks import Networks
    from worker.preparing import Preparer, versions
    from worker.rates import rates
    from worker.sources import Sources
    from worker.task import add_task

    device = take_device(settings)
    heartbeat.tell(device=str(device), versions=versions(), memory_bytes=free_bytes(str(device)))
    probe = Probe(settings.probe_file, executor=settings.executor, precision=settings.precision)
    heartbeat.tell(rates=rates(probe, device))
    log.info("a dream of precision auto is %s here", probe.way(device))
    networks = Networks(device, heartbeat.pulling)
    _preload(networks, settings.preload, heartbeat)

    app = celery_app(settings)
    store = Store(settings.data_dir)
    patient = PatientScripts(client, stopping.asked)
    ledger = Ledger(client, store, publisher(app), patient)
    sources = Sources(store, ledger.following)
    dreamer = Dreamer(
        Preparer(store, networks, probe, sources),
        str(device),
        stopping.asked,
        held_up=heartbeat.held_up,
        foresee=sources.foresee,
    )
    add_task(app, ledger, dreamer, heartbeat)
    Reaper(client, ledger, store, keep_s=settings.keep_s).start()
    return app


def _preload(networks: Any, model: str, heartbeat: Heartbeat) -> None:
    """Pull and load the model that most jobs ask for. Where it can't be had, its jobs say why."""
    if model == NO_MODEL:
        return
    catalogue = Catalogue.load()
    try:
        networks.get(catalogue[model], catalogue.folder, "max")
    except UnknownModel as error:
        raise BadSetting("DREAM_PRELOAD", model, str(error), "preload") from error
    except DreamError as error:
        log.warning("%s; dreams that need it will fail", error)
        heartbeat.tell(problem=str(error))
