"""The ledger under random calls from several workers, held against the table of moves."""

import itertools
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import redis
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    invariant,
    multiple,
    precondition,
    rule,
    run_state_machine_as_test,
)

from dream_core.spec import DreamSpec
from jobs.claim import Claim
from jobs.errors import FenceLost
from jobs.ledger import Ledger
from jobs.record import MOVES, Job, Problem, Status
from jobs.store import Picture, Store

SPEC = DreamSpec(iterations=3)
PROBLEM = Problem(code="internal", title="Something went wrong", detail="it broke")


def machine(client: redis.Redis, picture: Picture, folder: Path) -> type[RuleBasedStateMachine]:
    """Return a machine that plays API, workers and zombies on a real Redis."""

    class Moves(RuleBasedStateMachine):
        jobs = Bundle("jobs")
        claims = Bundle("claims")

        def __init__(self) -> None:
            super().__init__()
            client.flushall()
            store = Store(Path(mkdtemp(dir=folder)))
            self.ledger = Ledger(client, store, lambda *_, **__: None)
            self.seen: dict[str, list[Job]] = {}
            self.current: dict[str, str] = {}

        @precondition(lambda self: len(self.seen) < 2)  # few jobs, so that much happens to each
        @rule(target=jobs)
        def accept(self) -> str:
            job = self.ledger.accept(SPEC, picture)
            self.seen[job.id] = [job]
            return job.id

        @rule(target=claims, job_id=jobs, worker=st.sampled_from("ab"))
        def claim(self, job_id: str, worker: str) -> Any:
            queued = self.ledger.get(job_id).status is Status.QUEUED
            claim = self.ledger.claim(job_id, worker)
            assert (claim is not None) == queued
            if claim is None:
                return multiple()
            self.current[job_id] = claim.fence
            return claim

        @rule(job_id=jobs)
        def cancel(self, job_id: str) -> None:
            self.ledger.cancel(job_id)

        @rule(claim=claims, iteration=st.integers(1, 3))
        def progress(self, claim: Claim, iteration: int) -> None:
            self.write(claim, lambda: claim.progress(iteration, {"relu5_1": 1.0}))

        @rule(claim=claims, iteration=st.integers(0, 3))
        def frame(self, claim: Claim, iteration: int) -> None:
            self.write(claim, lambda: claim.publish_frame(iteration, 4, 3, claim.fence.encode()))

        @rule(claim=claims)
        def renew(self, claim: Claim) -> None:
            self.write(claim, claim.renew)

        @rule(claim=claims)
        def give_back(self, claim: Claim) -> None:
            self.write(claim, claim.give_back)

        @rule(claim=claims)
        def succeed(self, claim: Claim) -> None:
            self.write(claim, claim.succeed)

        @rule(claim=consumes(claims))
        def fail(self, claim: Claim) -> None:
            self.write(claim, lambda: claim.fail(PROBLEM))

        def write(self, claim: Claim, call: Any) -> None:
            """A write goes through exactly while its fence is the job's and the job runs."""
            before = self.ledger.get(claim.job.id)
            runs = before.status in (Status.RUNNING, Status.CANCELING)
            if runs and self.current[claim.job.id] == claim.fence:
                call()
                return
            try:
                call()
            except FenceLost:
                pass
            else:  # only the very call that ended the job may be told so again
                assert before.status.terminal
                assert self.current[claim.job.id] == claim.fence
            assert self.ledger.get(claim.job.id) == before

        @invariant()
        def every_change_is_in_the_table_and_raises_seq(self) -> None:
            for job_id, history in self.seen.items():
                job, last = self.ledger.get(job_id), history[-1]
                if job.model_copy(update={"queue": last.queue}) == last:
                    continue
                assert job.seq > last.seq
                assert job.attempt >= last.attempt
                assert job.frames.count >= last.frames.count
                assert not last.status.terminal
                if job.status is not last.status:
                    assert job.status in MOVES[last.status]
                history.append(job)

        @invariant()
        def a_job_waits_runs_or_has_ended(self) -> None:
            waiting = set(client.zrange("dreams:queued:interactive", 0, -1))
            leased = set(client.zrange("dreams:leases", 0, -1))
            for job_id in self.seen:
                status = self.ledger.get(job_id).status
                assert (job_id in waiting) == (status is Status.QUEUED)
                assert (job_id in leased) == (status in (Status.RUNNING, Status.CANCELING))

        @invariant()
        def events_tell_every_seq_once(self) -> None:
            for job_id in self.seen:
                told = [int(event["seq"]) for _, event in client.xrange(f"dream:{job_id}:events")]
                assert told == list(itertools.islice(itertools.count(1), len(told)))
                assert told[-1] == self.ledger.get(job_id).seq

    return Moves


def test_whatever_is_called_in_whatever_order_only_the_tables_moves_happen(
    client: redis.Redis, picture: Picture, tmp_path: Path
) -> None:
    """One terminal state, seq only rises, a stale fence writes nothing: 25 × 30 calls."""
    run_state_machine_as_test(
        machine(client, picture, tmp_path),
        settings=settings(
            max_examples=25,
            stateful_step_count=30,
            deadline=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        ),
    )
