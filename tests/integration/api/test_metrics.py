"""What /metrics tells of a real ledger, and what a scrape costs."""

from collections.abc import Callable
from pathlib import Path

import pytest
import redis
from fastapi.testclient import TestClient
from httpx2 import Response
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from api.app import create_app
from api.meters import ALL
from dream_core.errors import NothingToSee
from jobs.claim import Claim
from jobs.errors import FenceLost
from jobs.ledger import Ledger
from jobs.presence import Memory, Presence, announce
from jobs.record import Problem
from jobs.scripts import Scripts
from jobs.settings import Settings

Post = Callable[..., Response]
PROBLEM = Problem.of(NothingToSee("relu5_1", 8, 8, 32))


def scrape(api: TestClient) -> dict[str, Metric]:
    """Return what a scrape is told, by name, as Prometheus' own parser reads it."""
    answer = api.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=")
    return {family.name: family for family in text_string_to_metric_families(answer.text)}


def told(api: TestClient, name: str, **labels: str) -> float | None:
    """Return one value of a scrape, None where there is none."""
    samples = [sample for family in scrape(api).values() for sample in family.samples]
    found = [each.value for each in samples if each.name == name and each.labels == labels]
    return found[0] if found else None


def end(ledger: Ledger, job_id: str, iterations: int = 0) -> None:
    """Run a job to its end as a worker would."""
    claim = ledger.claim(job_id, "host:0")
    assert claim is not None
    for iteration in range(1, iterations + 1):
        claim.progress(iteration, {})
    claim.succeed()


def test_every_metric_says_what_it_is_and_none_is_undescribed(
    api: TestClient, dreaming: Claim, client: redis.Redis
) -> None:
    """HELP and TYPE stand before the values, and the reference names no more and no less."""
    memory = Memory(
        process_bytes=1,
        host_free_bytes=2,
        host_total_bytes=3,
        gpu_free_bytes=4,
        gpu_total_bytes=5,
    )
    presence = Presence(host="host", slot=0, pid=1, device="cuda:0", job="x", memory=memory)
    announce(Scripts(client), presence)
    dreaming.fail(PROBLEM)
    api.get("/dreams?limit=x")

    families = scrape(api)

    ours = {name: each for name, each in families.items() if name.startswith("dream_")}
    assert ours.keys() == {meter.name.removesuffix("_total") for meter in ALL}
    for meter in ALL:
        family = ours[meter.name.removesuffix("_total")]
        assert (family.type, family.documentation) == (meter.kind, meter.help)
        assert family.samples, f"{meter.name} has no value"
        for sample in family.samples:
            assert sample.labels.keys() - {"le"} == set(meter.labels)
    assert all(name.startswith(("dream_", "process_")) for name in families)


def test_jobs_are_counted_where_they_stand(api: TestClient, post: Post, ledger: Ledger) -> None:
    """Queued, running, ended: each in one place, and none in two."""
    ids = [post(model="vgg19").json()["id"] for _ in range(5)]
    end(ledger, ids[0])
    running, failing, canceling = (ledger.claim(job_id, "host:0") for job_id in ids[1:4])
    assert running
    assert failing
    assert canceling
    failing.fail(PROBLEM)
    ledger.cancel(ids[3])

    assert told(api, "dream_jobs", status="queued") == 1
    assert told(api, "dream_jobs", status="running") == 1
    assert told(api, "dream_jobs", status="canceling") == 1
    assert told(api, "dream_kept_jobs") == 5
    assert told(api, "dream_queue_jobs", queue="interactive") == 1
    assert told(api, "dream_queue_jobs", queue="bulk") == 0
    assert told(api, "dream_accepted_jobs_total", queue="interactive") == 5
    assert told(api, "dream_ended_jobs_total", status="succeeded") == 1
    assert told(api, "dream_ended_jobs_total", status="failed") == 1
    assert told(api, "dream_ended_jobs_total", status="expired") == 0
    assert told(api, "dream_failed_jobs_total", code=PROBLEM.code) == 1
    assert told(api, "dream_job_wait_seconds_count", model="vgg19") == 4
    assert told(api, "dream_job_run_seconds_count", model="vgg19", status="succeeded") == 1


def test_what_was_counted_stays_when_its_job_is_deleted(
    api: TestClient, post: Post, ledger: Ledger
) -> None:
    """A counter only rises, whatever is swept away."""
    job_id = post().json()["id"]
    end(ledger, job_id, iterations=3)
    api.delete(f"/dreams/{job_id}")

    assert told(api, "dream_kept_jobs") == 0
    assert told(api, "dream_ended_jobs_total", status="succeeded") == 1
    assert told(api, "dream_iterations_total", model="vgg19") == 3


def test_the_oldest_is_the_one_that_came_first(
    api: TestClient, post: Post, ledger: Ledger, client: redis.Redis
) -> None:
    """Also where a job that was given back stands before it; and 0 where nobody waits."""
    assert told(api, "dream_queue_oldest_age_seconds", queue="interactive") == 0
    first, second = (post().json()["id"] for _ in range(2))
    claim = ledger.claim(second, "host:0")
    assert claim
    claim.give_back()
    assert client.zrange("dreams:queued:interactive", 0, -1) == [second, first]

    age = told(api, "dream_queue_oldest_age_seconds", queue="interactive")
    line = ledger.queue().queues["interactive"].oldest_age_s

    assert age is not None
    assert line is not None
    assert 0 < age <= line  # asked a moment later by the other way, it is a moment older


def test_a_worker_that_lost_its_job_counts_nothing_and_no_iteration_counts_twice(
    api: TestClient, post: Post, ledger: Ledger
) -> None:
    """A zombie is told so; the next attempt runs again from its checkpoint what was counted."""
    job_id = post(iterations="20").json()["id"]
    zombie = ledger.claim(job_id, "host:0")
    assert zombie
    zombie.progress(7, {})
    zombie.give_back()
    following = ledger.claim(job_id, "host:1")
    assert following
    with pytest.raises(FenceLost):
        zombie.progress(15, {})
    with pytest.raises(FenceLost):
        zombie.succeed()

    for iteration in (5, 6, 7, 8):
        following.progress(iteration, {})
    following.succeed()
    following.succeed()  # its answer was lost, it is told again

    assert told(api, "dream_iterations_total", model="vgg19") == 8
    assert told(api, "dream_ended_jobs_total", status="succeeded") == 1
    assert told(api, "dream_job_wait_seconds_count", model="vgg19") == 1
    assert told(api, "dream_job_run_seconds_count", model="vgg19", status="succeeded") == 1


def test_a_dream_that_is_continued_counts_what_it_adds(
    api: TestClient, post: Post, ledger: Ledger, client: redis.Redis
) -> None:
    """Its iterations are numbered on from its parent's, which are counted already."""
    job_id = post(iterations="20").json()["id"]
    claim = ledger.claim(job_id, "host:0")
    assert claim
    client.hset(f"dream:{job_id}", "begins_at", 12)

    claim.progress(13, {})

    assert told(api, "dream_iterations_total", model="vgg19") == 1


def test_a_new_process_tells_the_same_counters(
    settings: Settings, post: Post, ledger: Ledger
) -> None:
    """They are Redis', not a process': an upgrade of the API takes nothing back."""
    end(ledger, post().json()["id"], iterations=2)

    again = TestClient(create_app(settings))

    assert told(again, "dream_iterations_total", model="vgg19") == 2


def test_times_lie_in_the_buckets_of_their_length(
    api: TestClient, post: Post, ledger: Ledger, client: redis.Redis
) -> None:
    """A dream that waited for 100 s and ran for 10,000: every larger bucket has it too."""
    job_id = post().json()["id"]
    record = f"dream:{job_id}"
    client.hincrby(record, "created_at", -100_000)
    claim = ledger.claim(job_id, "host:0")
    assert claim
    client.hincrby(record, "started_at", -10_000_000)
    claim.succeed()

    samples = scrape(api)["dream_job_wait_seconds"].samples
    waited = {each.labels["le"]: each.value for each in samples if "le" in each.labels}
    samples = scrape(api)["dream_job_run_seconds"].samples
    ran = {each.labels["le"]: each.value for each in samples if "le" in each.labels}

    assert (waited["60.0"], waited["120.0"], waited["+Inf"]) == (0, 1, 1)
    assert (ran["3600.0"], ran["14400.0"], ran["+Inf"]) == (0, 1, 1)
    total = told(api, "dream_job_run_seconds_sum", model="vgg19", status="succeeded")
    assert total is not None
    assert total >= 10_000


def test_a_record_that_is_no_json_is_counted_and_breaks_no_move(
    api: TestClient, post: Post, client: redis.Redis
) -> None:
    """A script that stops half-way leaves half a move behind; figures are not worth that."""
    job_id = post().json()["id"]
    client.hset(f"dream:{job_id}", "spec", "{")

    fence, *_ = Scripts(client).run("claim", job_id, "token", "host:0", 15_000)
    assert Scripts(client).run("finish", job_id, fence, "failed", "]") == "failed"

    assert told(api, "dream_failed_jobs_total", code="unknown") == 1
    assert told(api, "dream_job_run_seconds_count", model="unknown", status="failed") == 1


def test_a_scrape_costs_the_same_however_many_dreams_have_ended(
    api: TestClient, post: Post, ledger: Ledger, client: redis.Redis
) -> None:
    """Redis serves everybody by one thread: no scrape may walk through all that is kept."""

    def calls() -> dict[str, int]:
        client.config_resetstat()
        api.get("/metrics")
        return {name: stats["calls"] for name, stats in client.info("commandstats").items()}

    end(ledger, post().json()["id"], iterations=1)
    api.get("/metrics")  # connects, and sends the script
    before = calls()
    for _ in range(5):
        end(ledger, post().json()["id"], iterations=1)
    after = calls()

    assert after == before
    assert after["cmdstat_evalsha"] == 1
    assert not {"cmdstat_keys", "cmdstat_scan"} & after.keys()


def test_workers_are_told_by_state_and_go_when_they_are_gone(
    api: TestClient, client: redis.Redis
) -> None:
    """Every state has a number, so that none at all can be asked for."""
    assert told(api, "dream_workers", state="idle") == 0
    for slot, state in enumerate(("idle", "dreaming", "dreaming")):
        job = "01KAT" if state == "dreaming" else None
        memory = Memory(process_bytes=10 + slot, host_total_bytes=100)
        said = Presence(host="host", slot=slot, pid=1, state=state, job=job, memory=memory)  # type: ignore[arg-type]
        announce(Scripts(client), said)

    assert told(api, "dream_workers", state="dreaming") == 2
    assert told(api, "dream_worker_busy", worker="host:0") == 0
    assert told(api, "dream_worker_busy", worker="host:2") == 1
    assert told(api, "dream_worker_resident_memory_bytes", worker="host:1") == 11
    assert told(api, "dream_host_memory_size_bytes", host="host") == 100
    client.delete("worker:host:1")
    assert told(api, "dream_worker_up", worker="host:0") == 1
    assert told(api, "dream_worker_up", worker="host:1") is None


def test_a_pause_is_told(api: TestClient, ledger: Ledger) -> None:
    """Or a queue that somebody holds looks like one that is stuck."""
    assert told(api, "dream_queue_paused") == 0
    ledger.pause()

    assert told(api, "dream_queue_paused") == 1


def test_while_redis_is_away_a_scrape_says_so(settings: Settings, tmp_path: Path) -> None:
    """An answer, so that Prometheus knows which of the two is down; what is unknown is left out."""
    away = settings.model_copy(update={"redis_url": None, "data_dir": tmp_path / "away"})
    api = TestClient(create_app(away))

    families = scrape(api)

    assert [sample.value for sample in families["dream_redis_up"].samples] == [0]
    assert "dream_jobs" not in families
    assert "dream_http_in_flight_requests" in families


def test_no_number_of_addresses_makes_more_series(api: TestClient) -> None:
    """A stranger who tries addresses and methods fills no memory, neither ours nor Prometheus'."""
    for number in range(30):
        api.get(f"/dreams/{number}")
        api.get(f"/nowhere/{number}?a={number}")
        api.request(f"ODD{number}", "/dreams")

    samples = scrape(api)["dream_http_requests"].samples
    counted = {
        (each.labels["method"], each.labels["route"], each.labels["status"]) for each in samples
    }

    assert counted == {
        ("GET", "/dreams/{id}", "404"),
        ("GET", "none", "404"),
        ("other", "/dreams", "405"),
    }
    assert told(api, "dream_http_problems_total", code="unknown-dream") == 30


def test_a_head_is_counted_under_its_own_name(api: TestClient, dreaming: Claim) -> None:
    """It is answered as a GET further in."""
    address = f"/dreams/{dreaming.job.id}"
    api.head(address)

    labels = {"method": "HEAD", "route": "/dreams/{id}", "status": "200"}
    assert told(api, "dream_http_requests_total", **labels) == 1
