"""The precision of a job's spec, from the order to the record that can be posted again."""

import json

import redis

from dream_core.spec import DreamSpec
from jobs.ledger import Ledger
from jobs.record import Run
from jobs.store import Picture


def run_in(precision: str) -> Run:
    """Return how a dream is run in some precision."""
    plan = {"executor": "direct", "precision": precision}
    return Run(width=60, height=48, device="cpu", plan=plan, versions={})


def test_auto_is_settled_when_the_dream_starts(ledger: Ledger, picture: Picture) -> None:
    """From then on the spec names what runs, so that it gives the same dream on any machine."""
    job = ledger.accept(DreamSpec(), picture)
    assert job.spec["precision"] == "auto"
    claim = ledger.claim(job.id, "worker")
    assert claim is not None

    claim.begin(run_in("fast"))

    assert ledger.get(job.id).spec["precision"] == "fast"


def test_a_precision_by_name_stays_what_was_asked(ledger: Ledger, picture: Picture) -> None:
    """Though it may be run with more bits, where fewer don't pay: the plan says which."""
    job = ledger.accept(DreamSpec(precision="balanced"), picture)
    claim = ledger.claim(job.id, "worker")
    assert claim is not None

    claim.begin(run_in("exact"))

    assert ledger.get(job.id).spec["precision"] == "balanced"


def test_a_dream_from_before_there_was_a_choice_is_exact(
    ledger: Ledger, picture: Picture, client: redis.Redis
) -> None:
    """Its record has no such field; it runs as it would have run, and says so."""
    job = ledger.accept(DreamSpec(), picture)
    old = {name: value for name, value in job.spec.items() if name != "precision"}
    client.hset(f"dream:{job.id}", "spec", json.dumps(old))

    assert ledger.get(job.id).spec == {**old, "precision": "exact"}
