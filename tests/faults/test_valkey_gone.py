"""Fault 5: Valkey is killed, away, deaf, or has lost what it knew."""

import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from jobs.record import Status
from tests.faults.figures import Figures
from tests.faults.hasty import LEASE_S
from tests.faults.outside import Outside, outside
from tests.faults.service import Service, pass_s, serving, succeeded, until
from tests.faults.trials import MANY, trials

DREAM = {"model": "thin", "layers": "relu3_1=100", "iterations": 60, "image_size": 300}
SHORT = {**DREAM, "iterations": 3}
ANSWERED_S = 30  # a request isn't kept longer, however deaf Redis is


@pytest.fixture(scope="module")
def stack(
    models: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Service, Outside]]:
    """Give a hasty service with two workers, and the Valkey that it was given."""
    folder = tmp_path_factory.mktemp("outside")
    with (
        outside(folder / "valkey") as valkey,
        serving(folder / "data", models, hasty=True, workers=2, redis_url=valkey.url) as up,
    ):
        yield up, valkey


@trials(few=1)
def test_a_killed_embedded_valkey_is_started_again_and_nothing_is_lost(
    hasty: Service,
    picture: Path,
    figures: Callable[[str], Figures],
    moment: random.Random,
    compare: Callable[..., None],
) -> None:
    """The supervisor starts it, the worker keeps its claim, the queue is as it was."""
    seen = figures("5 kill -9 Valkey, started again by the supervisor")
    hasty.settled()
    ids = [hasty.post(picture, **DREAM), hasty.post(picture, **DREAM)]
    hasty.at(ids[0], moment.randrange(0, 50))
    pass_s(moment.uniform(0, 0.1))

    killed = hasty.kill("valkey")

    seen.recovered(until(lambda: hasty.event_after(ids[0], killed), "the job goes on") - killed)
    for job_id in ids:
        job = hasty.ended(job_id)
        succeeded(job)
        compare(hasty, job_id, seen, **DREAM)
    hasty.check(seen)


@pytest.mark.parametrize("lost", ["its last second", "everything"])
@trials(few=1)
def test_what_valkey_has_lost_the_disk_still_knows(
    stack: tuple[Service, Outside],
    picture: Path,
    figures: Callable[[str], Figures],
    moment: random.Random,
    compare: Callable[..., None],
    lost: str,
) -> None:
    """Accepted, canceled, running, ended: each comes back as it was, and runs to its one end."""
    service, valkey = stack
    seen = figures(f"5 kill -9 Valkey, {lost} lost (hasty)")
    service.settled()
    done = service.post(picture, **SHORT)
    was = service.ended(done)
    running = service.post(picture, **DREAM)
    service.at(running, moment.randrange(1, 30))
    pass_s(moment.uniform(0, 0.1))
    length = valkey.written()
    queued, unwanted = (service.post(picture, **DREAM) for _ in range(2))
    service.ledger.cancel(unwanted)
    pass_s(moment.uniform(0.3, 0.8))
    told = service.job(running).seq

    valkey.kill()
    if lost == "everything":
        valkey.forget_everything()
    else:
        valkey.forget_after(length)
    killed = time.time()
    valkey.start()
    again = until(lambda: service.job(running), "it is known again")

    assert again.seq > told
    seen.recovered(until(lambda: service.event_after(running, killed), "the job goes on") - killed)
    for job_id in (running, queued):
        succeeded(service.ended(job_id))
        compare(service, job_id, seen, **DREAM)
    assert service.ended(unwanted).status is Status.CANCELED
    now = service.ended(done)
    assert (now.status, now.finished_at, now.frames) == (was.status, was.finished_at, was.frames)
    service.check(seen, went_back=True)


@pytest.mark.timeout(900)
def test_an_outage_is_said_outlasted_and_forgotten(
    models: Path,
    picture: Path,
    tmp_path: Path,
    figures: Callable[[str], Figures],
    compare: Callable[..., None],
) -> None:
    """While it lasts: 503 with Retry-After, the dream goes on; then everything by itself."""
    length_s = 300 if MANY else 20
    seen = figures(f"5 Valkey away for {length_s} s")
    with (
        outside(tmp_path / "valkey") as valkey,
        serving(tmp_path / "data", models, redis_url=valkey.url) as service,
    ):
        running, queued = (service.post(picture, **DREAM) for _ in range(2))
        service.at(running, 10)
        valkey.kill()
        gone = time.monotonic()
        refused = service.try_post(picture, **DREAM)
        ready = service.get("/readyz")
        alive = service.get("/healthz")
        pass_s(max(0.0, length_s - (time.monotonic() - gone)))
        back = time.time()
        valkey.start()

        seen.recovered(until(lambda: service.event_after(running, back), "it goes on") - back)
        for job_id in (running, queued):
            job = service.ended(job_id)
            succeeded(job)
            assert job.attempt == 1
            compare(service, job_id, seen, **DREAM)
        succeeded(service.ended(service.post(picture, **SHORT)))
        assert (refused.status_code, ready.status_code, alive.status_code) == (503, 503, 200)
        assert int(refused.headers["Retry-After"]) > 0
        assert service.get("/readyz").status_code == 200
        service.check(seen)


@trials(few=1)
def test_a_valkey_that_hangs_is_not_waited_for_and_not_told_twice(
    stack: tuple[Service, Outside],
    picture: Path,
    figures: Callable[[str], Figures],
    moment: random.Random,
    compare: Callable[..., None],
) -> None:
    """Half-open connections: a POST is refused in time, and what it left behind goes away.

    However long it hangs, it costs no attempt: nobody could renew a lease meanwhile.
    """
    service, valkey = stack
    seen = figures("5 Valkey hangs, connections half open (hasty)")
    service.settled()
    running = service.post(picture, **DREAM)
    service.at(running, moment.randrange(1, 40))
    pass_s(moment.uniform(0, 0.1))

    valkey.stop()
    asked = time.monotonic()
    refused = service.try_post(picture, **DREAM)
    took_s = time.monotonic() - asked
    pass_s(max(0.0, 2 * LEASE_S - took_s))
    valkey.go_on()
    back = time.time()

    seen.recovered(until(lambda: service.event_after(running, back), "the job goes on") - back)
    job = service.ended(running)
    succeeded(job)
    compare(service, running, seen, **DREAM)
    succeeded(service.ended(service.post(picture, **SHORT)))
    assert job.attempt == 1
    assert refused.status_code == 503
    assert int(refused.headers["Retry-After"]) > 0
    assert took_s < ANSWERED_S
    service.check(seen, within_s=20, went_back=True)
