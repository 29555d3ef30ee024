"""Paces: what the ledger's scripts keep of a dream when it ends."""

import json
from dataclasses import asdict
from typing import Any

import pytest
import redis

from dream_core.catalogue import Catalogue
from dream_core.costs import TYPICAL, Costs
from dream_core.forms.storage import REFERENCE
from dream_core.spec import DreamSpec
from jobs.claim import Claim
from jobs.estimate import Estimate, Known
from jobs.ledger import Ledger
from jobs.pace import EXTRA_ITERATIONS
from jobs.presence import Presence, Rates, announce
from jobs.record import Problem, Run
from jobs.scripts import PACES_KEPT, Scripts
from jobs.store import Picture

WORK = Costs(multiply_adds=1e11, elements=4e7, weights=1e7, asked=4e5, products=4e8)
PLAN = {"executor": "direct", "precision": "exact", "device": "cpu", "threads": 2}


@pytest.fixture(autouse=True)
def _no_models(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DREAM_MODEL_DIR", str(tmp_path / "models"))


def dreamed(ledger: Ledger, picture: Picture, plan: Any = PLAN, **more: Any) -> Claim:
    """Return the claim of a dream that has come to its last iteration."""
    told = {"iterations": 30, "pace": 0.5, "costs": WORK, **more}
    job = ledger.accept(DreamSpec(iterations=told["iterations"]), picture)
    claim = ledger.claim(job.id, "host:0")
    assert claim is not None
    costs = told["costs"]
    claim.begin(Run(width=512, height=409, device="cpu", plan=plan, versions={}, costs=costs))
    claim.progress(told["iterations"], {}, seconds_per_iteration=told["pace"], eta_s=0.0)
    return claim


def known(client: redis.Redis) -> Known:
    """Return what an estimate starts from."""
    return Known.of(Scripts(client).run("estimate", ""))


def estimate(ledger: Ledger, **fields: Any) -> Estimate:
    """Return what a dream on the fixture's picture would cost."""
    return ledger.estimate(DreamSpec(**fields), Catalogue.load()["vgg19"], (48, 60))


def test_a_dream_that_succeeded_leaves_its_pace(
    ledger: Ledger, picture: Picture, client: redis.Redis
) -> None:
    """In the very step of its ending, with all that makes another dream like it."""
    dreamed(ledger, picture).succeed()

    (sample,) = known(client).samples
    assert sample.seconds is not None
    assert 0 <= sample.seconds < 60
    assert sample.model_dump(exclude={"at", "seconds"}) == {
        "model": "vgg19",
        "asked": "auto",
        **PLAN,
        "optimizer": "adam",
        "costs": asdict(WORK),
        "seconds_per_iteration": 0.5,
        "iterations": 30,
    }


def test_an_ending_that_is_told_twice_leaves_one_pace(
    ledger: Ledger, picture: Picture, client: redis.Redis
) -> None:
    """The worker asks again where an answer was lost."""
    claim = dreamed(ledger, picture)
    claim.succeed()
    claim.succeed()

    assert len(known(client).samples) == 1


@pytest.mark.parametrize(
    "more",
    [
        {"iterations": 1},  # the first one alone also made what others find made
        {"costs": None},  # of a release before there were estimates
        {"pace": None},
    ],
    ids=str,
)
def test_a_dream_without_a_pace_leaves_none_and_ends(
    more: dict[str, Any], ledger: Ledger, picture: Picture, client: redis.Redis
) -> None:
    """What is only told to others breaks no ending."""
    assert dreamed(ledger, picture, **more).succeed() == "succeeded"

    assert known(client).samples == ()


def test_a_plan_of_another_kind_breaks_no_ending(
    ledger: Ledger, picture: Picture, client: redis.Redis
) -> None:
    """Whatever a plan holds, or lacks, is kept as unknown."""
    claim = dreamed(ledger, picture, {"executor": ["odd"], "precision": 7})

    assert claim.succeed() == "succeeded"

    (sample,) = known(client).samples
    assert (sample.executor, sample.device, sample.threads) == ("unknown", "unknown", 0)


def test_what_failed_or_was_canceled_leaves_no_pace(
    ledger: Ledger, picture: Picture, client: redis.Redis
) -> None:
    """Its pace may be that of what went wrong."""
    dreamed(ledger, picture).fail(Problem(code="x", title="X", detail="x"))
    canceled = dreamed(ledger, picture)
    ledger.cancel(canceled.job.id)
    canceled.succeed()

    assert known(client).samples == ()


def test_the_newest_paces_are_kept_and_no_more(
    ledger: Ledger, picture: Picture, client: redis.Redis
) -> None:
    """A service of years keeps no more than one of a day."""
    dreamed(ledger, picture, pace=7.0).succeed()
    (key,) = client.smembers("dreams:paces")
    client.lpush(key, *[client.lindex(key, 0)] * (PACES_KEPT - 1))
    dreamed(ledger, picture, pace=0.25).succeed()

    samples = known(client).samples
    assert len(samples) == PACES_KEPT
    assert samples[0].seconds_per_iteration == 0.25


def test_a_dream_that_was_taken_up_again_tells_only_its_pace(
    ledger: Ledger, picture: Picture, client: redis.Redis
) -> None:
    """How long it waited in between says nothing of the next one."""
    first = dreamed(ledger, picture)
    first.give_back()
    claim = ledger.claim(first.job.id, "host:1")
    assert claim is not None
    claim.progress(30, {}, seconds_per_iteration=0.5, eta_s=0.0)
    claim.succeed()

    (sample,) = known(client).samples
    assert (sample.seconds, sample.seconds_per_iteration) == (None, 0.5)


def test_a_worker_that_has_measured_tells_the_time_of_the_first_dream(
    ledger: Ledger, client: redis.Redis
) -> None:
    """Through its presence: nobody else has seen its machine."""
    told = Rates(executor="direct", precision="exact", threads=2, storage=REFERENCE, costs=TYPICAL)
    here = Presence(host="h", slot=0, pid=1, device="cpu", rates={"auto": told})
    announce(Scripts(client), here)

    cost = estimate(ledger, iterations=40)

    assert cost.seconds is not None
    assert cost.seconds > 0
    assert cost.basis == "from what was measured on cpu, error not known yet"
    assert estimate(ledger, precision="fast").seconds is None


def test_more_iterations_take_more_seconds_in_proportion(ledger: Ledger, picture: Picture) -> None:
    """And nothing else of the estimate but frames and disk."""
    dreamed(ledger, picture, pace=50.0).succeed()

    one, ten = estimate(ledger, iterations=20), estimate(ledger, iterations=200)

    assert one.seconds is not None
    assert one.seconds > 0
    assert ten.seconds == pytest.approx(
        (200 + EXTRA_ITERATIONS) / (20 + EXTRA_ITERATIONS) * one.seconds, rel=0.05
    )
    assert (one.frames, ten.frames) == (21, 201)
    assert ten.disk_bytes > one.disk_bytes
    assert ten.memory_bytes == one.memory_bytes


def test_what_runs_and_waits_is_told(ledger: Ledger, picture: Picture, client: redis.Redis) -> None:
    """The end of what runs by its own word; of one that has just been taken there is none."""
    running = dreamed(ledger, picture)
    running.progress(10, {}, seconds_per_iteration=0.5, eta_s=10.0)
    ledger.claim(ledger.accept(DreamSpec(), picture).id, "host:1")
    ledger.accept(DreamSpec(), picture, queue="bulk")

    told = known(client)

    assert sorted(told.running, key=str) == [10.0, None]
    assert told.queued == {"interactive": 0, "bulk": 1}
    assert json.loads(client.hget(f"dream:{running.job.id}", "progress"))["eta_s"] == 10.0
