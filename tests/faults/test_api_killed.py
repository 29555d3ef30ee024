"""Fault 6: the API dies between the record and the message, or anywhere else in a POST."""

import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import httpx

from jobs.settings import environment
from jobs.store import Store
from tests.faults.figures import Figures
from tests.faults.service import ROOT, Service, pass_s, succeeded, until
from tests.faults.trials import trials

DREAM = {"model": "thin", "layers": "relu2_1=100", "iterations": 3, "image_size": 64}
PROMISED_S = 60

# The ledger of the API, but its message never leaves: the process is gone.
DIES_BEFORE_IT_PUBLISHES = """
import os, sys
from pathlib import Path
from dream_core.picture import read
from dream_core.spec import DreamSpec
from jobs.connection import connect
from jobs.ledger import Ledger
from jobs.settings import load
from jobs.store import Store
settings = load()
die = lambda job_id, queue, *, ahead: (print(job_id, flush=True), os._exit(9))
spec = DreamSpec(model="thin", layers={"relu2_1": 100.0}, iterations=3, image_size=64)
picture = read(Path(sys.argv[1]).read_bytes())
Ledger(connect(settings), Store(settings.data_dir), die).accept(spec, picture)
"""


@trials(few=1)
def test_a_job_whose_message_was_never_sent_is_sent_within_a_minute(
    service: Service, picture: Path, models: Path, figures: Callable[[str], Figures]
) -> None:
    """Accepted is accepted: the ledger knows that nobody was told, and the reaper tells."""
    seen = figures("6 the API dies between record and message")
    service.settled()
    env = {
        **environment(service.settings),
        "PYTHONPATH": str(ROOT),
        "DREAM_MODEL_DIR": str(models),
    }
    died = subprocess.run(
        [sys.executable, "-P", "-c", DIES_BEFORE_IT_PUBLISHES, str(picture)],
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    died_at = time.time()
    job_id = died.stdout.strip()
    assert died.returncode == 9, died.stderr

    job = service.ended(job_id)

    succeeded(job)
    took_s = service.goes_on(job_id, died_at)
    seen.recovered(took_s)
    assert job.attempt == 1
    service.check(seen)
    assert took_s <= PROMISED_S


@trials(few=2)
def test_an_api_killed_in_the_middle_of_a_post_keeps_what_it_promised(
    service: Service,
    picture: Path,
    figures: Callable[[str], Figures],
    moment: random.Random,
) -> None:
    """A 202 that came out is kept; where none came, there is a whole job or nothing at all."""
    seen = figures("6 kill -9 the API in the middle of POSTs")
    service.settled()
    until(lambda: service.get("/healthz").is_success, "the API answers")
    promised: list[str] = []
    before = {job.id for job in service.ledger.newest(1000)[0]}

    def post() -> None:
        try:
            while True:
                promised.append(service.post(picture, **DREAM))
        except httpx.TransportError:
            return  # it was killed

    posting = [threading.Thread(target=post) for _ in range(3)]
    for thread in posting:
        thread.start()
    until(lambda: promised, "a first answer")
    pass_s(moment.uniform(0, 0.2))
    service.kill("api")
    for thread in posting:
        thread.join()

    killed_at = time.monotonic()
    until(lambda: service.get("/healthz").is_success, "the API answers again")
    seen.recovered(time.monotonic() - killed_at)
    there = {job.id for job in service.ledger.newest(1000)[0]} - before
    seen.lost += len(set(promised) - there)
    assert set(promised) <= there
    for job_id in there:
        succeeded(service.ended(job_id))
    _age_what_was_left_half(service)
    service.check(seen)


def _age_what_was_left_half(service: Service) -> None:
    """Let an hour pass for folders that were being made; who starts then removes them."""
    store = Store(service.settings.data_dir)
    for folder in store.root.glob(".*.new"):
        os.utime(folder, (0, 0))
    store.clear_leftovers()
