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
from jobs.errors import FenceLost, NoState, NotFinished, StoreFault, UnknownDream
from jobs.ledger import Ledger
from jobs.reaper import Reaper
from jobs.record import MOVES, Job, Problem, Status
from jobs.store import Picture, Store
from tests.states import saved

SPEC = DreamSpec(iterations=3)
SETS = (
    "dreams:all",
    "dreams:queued:interactive",
    "dreams:unpublished",
    "dreams:overtaken",
    "dreams:leases",
    "dreams:deadlines",
    "dreams:ended",
)
PROBLEM = Problem(code="internal", title="Something went wrong", detail="it broke")


def machine(client: redis.Redis, picture: Picture, folder: Path) -> type[RuleBasedStateMachine]:
    """Return a machine that plays API, workers and zombies on a real Redis."""

    class Moves(RuleBasedStateMachine):
        jobs = Bundle("jobs")
        claims = Bundle("claims")

        def __init__(self) -> None:
            super().__init__()
            client.flushall()
            self.store = Store(Path(mkdtemp(dir=folder)))
            self.sent: list[str] = []
            self.ledger = Ledger(
                client, self.store, lambda job_id, *_, **__: self.sent.append(job_id)
            )
            self.reaper = Reaper(client, self.ledger, self.store, grace_s=0)
            self.seen: dict[str, list[Job]] = {}
            self.current: dict[str, str] = {}
            self.late: set[str] = set()
            self.gone: set[str] = set()
            self.paused = False
            self.restarts = 0

        def living(self, *of: Status) -> list[str]:
            """Return the jobs that have not ended, or those of some states."""
            return [
                job_id
                for job_id, history in self.seen.items()
                if job_id not in self.gone
                and (history[-1].status in of if of else not history[-1].status.terminal)
            ]

        def known(self, job: Job) -> str:
            self.seen[job.id] = [job]
            return job.id

        # Few jobs that live at once, so that much happens to each; and always one.
        @precondition(lambda self: len(self.living()) < 2)
        @rule(target=jobs, timeout_s=st.sampled_from([None, 1000]))
        def accept(self, timeout_s: float | None) -> str:
            return self.known(self.ledger.accept(SPEC, picture, timeout_s=timeout_s))

        @precondition(lambda self: len(self.seen) > len(self.living()) < 3)
        @rule(target=jobs, job_id=jobs, more=st.sampled_from([None, 2]))
        def follow(self, job_id: str, more: int | None) -> Any:
            """Retry or continue: only what has ended, and into a job of its own."""
            try:
                child = self.ledger.continue_(job_id, more) if more else self.ledger.retry(job_id)
            except UnknownDream:
                assert job_id in self.gone
            except NotFinished:
                assert not self.ledger.get(job_id).status.terminal
            except NoState:
                assert self.ledger.get(job_id).status.terminal
                assert self.store.last_state(job_id) is None
            else:
                assert self.ledger.get(job_id).status.terminal
                assert child.parent == job_id
                assert child.progress.iteration == self.store.order(child.id).begins_at
                return self.known(child)
            return multiple()

        @precondition(lambda self: self.living(Status.QUEUED))
        @rule(target=claims, pick=st.integers(0, 9), worker=st.sampled_from("ab"))
        def claim(self, pick: int, worker: str) -> Any:
            waiting = self.living(Status.QUEUED)
            return self.claim_any(waiting[pick % len(waiting)], worker)

        @rule(target=claims, job_id=jobs, worker=st.sampled_from("ab"))
        def claim_any(self, job_id: str, worker: str) -> Any:
            """By a message that comes twice, or late, or after the job's end."""
            queued = job_id not in self.gone and self.ledger.get(job_id).status is Status.QUEUED
            claim = self.ledger.claim(job_id, worker)
            assert (claim is not None) == (queued and not self.paused and job_id not in self.late)
            if claim is None:
                return multiple()
            self.current[job_id] = claim.fence
            return claim

        @precondition(lambda self: self.living())
        @rule(job_id=jobs)
        def cancel(self, job_id: str) -> None:
            try:
                assert self.ledger.cancel(job_id).status not in (Status.QUEUED, Status.RUNNING)
            except UnknownDream:
                assert job_id in self.gone

        @precondition(lambda self: len(self.gone) < len(self.seen) / 3)
        @rule(job_id=jobs)
        def delete(self, job_id: str) -> None:
            """In any state, twice too; whoever works on it finds out."""
            self.ledger.delete(job_id)
            self.gone.add(job_id)

        @precondition(lambda self: len(self.late) < len(self.seen) / 3)
        @rule(job_id=jobs)
        def pass_deadline(self, job_id: str) -> None:
            """Its time goes by, if it had one."""
            if job_id not in self.gone and client.zscore("dreams:deadlines", job_id) is not None:
                client.hset(f"dream:{job_id}", "expires_at", 1)
                client.zadd("dreams:deadlines", {job_id: 1})
                self.late.add(job_id)
                last = self.seen[job_id][-1]
                expires_at = self.ledger.get(job_id).expires_at
                self.seen[job_id][-1] = last.model_copy(update={"expires_at": expires_at})

        @precondition(lambda self: self.living(Status.RUNNING, Status.CANCELING) or self.late)
        @rule(lost=st.booleans())
        def sweep(self, lost: bool) -> None:
            """The reaper comes by, and now and then every worker was killed."""
            if lost:
                for job_id in client.zrange("dreams:leases", 0, -1):
                    client.zadd("dreams:leases", {job_id: 0})
            self.reaper.sweep()

        @precondition(lambda self: not self.paused)
        @rule()
        def pause(self) -> None:
            assert self.ledger.pause().paused
            self.paused = True

        @precondition(lambda self: self.paused)
        @rule()
        def resume(self) -> None:
            """Every job whose message was used up in vain is sent."""
            held = client.smembers("dreams:held")
            self.sent.clear()
            assert not self.ledger.resume().paused
            self.paused = False
            assert set(self.sent) == held

        @rule()
        def restart(self) -> None:
            """Redis starts anew, for all that a record can tell; nothing is lost."""
            self.restarts += 1
            for job_id in self.seen.keys() - self.gone:
                client.hset(f"dream:{job_id}", "life", "earlier")

        @rule(claim=claims, iteration=st.integers(1, 3))
        def checkpoint(self, claim: Claim, iteration: int) -> None:
            self.write(claim, lambda: claim.checkpoint(iteration, saved(b"state")))

        @rule(claim=claims, iteration=st.integers(1, 3))
        def progress(self, claim: Claim, iteration: int) -> None:
            self.write(claim, lambda: claim.progress(iteration, {"relu5_1": 1.0}))

        @rule(claim=claims, iteration=st.integers(0, 3))
        def frame(self, claim: Claim, iteration: int) -> None:
            known = client.zrangebyscore(f"dream:{claim.job.id}:frames", iteration, iteration)
            self.write(
                claim,
                lambda: claim.publish_frame(iteration, 4, 3, claim.fence.encode()),
                done=any(claim.fence in frame for frame in known),
            )

        @rule(claim=claims)
        def renew(self, claim: Claim) -> None:
            self.write(claim, claim.renew)

        @rule(claim=claims)
        def give_back(self, claim: Claim) -> None:
            self.write(claim, claim.give_back)

        @rule(claim=claims, saved=st.booleans())
        def succeed(self, claim: Claim, saved: bool) -> None:
            if saved:
                self.write(claim, lambda: claim.checkpoint(3, saved(b"state")))
            self.write(claim, claim.succeed)

        @rule(claim=consumes(claims))
        def fail(self, claim: Claim) -> None:
            self.write(claim, lambda: claim.fail(PROBLEM))

        def write(self, claim: Claim, call: Any, *, done: bool = False) -> None:
            """A write goes through exactly while its fence is the job's and the job runs.

            One that is `done` already may be told so for ever: its answer may have been lost.
            """
            if claim.job.id in self.gone:
                try:
                    call()
                except (FenceLost, StoreFault):
                    return
                raise AssertionError("a deleted job was written to")
            before = self.ledger.get(claim.job.id)
            runs = before.status in (Status.RUNNING, Status.CANCELING)
            if runs and self.current[claim.job.id] == claim.fence:
                call()
                return
            try:
                call()
            except FenceLost:
                pass
            else:  # and so may the very call that ended the job
                ended = before.status.terminal and self.current[claim.job.id] == claim.fence
                assert done or ended
            assert self.ledger.get(claim.job.id) == before

        @invariant()
        def every_change_is_in_the_table_and_raises_seq(self) -> None:
            for job_id, history in self.seen.items():
                if job_id in self.gone:
                    continue
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
            for job_id in self.seen.keys() - self.gone:
                status = self.ledger.get(job_id).status
                assert (job_id in waiting) == (status is Status.QUEUED)
                assert (job_id in leased) == (status in (Status.RUNNING, Status.CANCELING))
                assert client.hexists("dreams:disk", job_id) == (not status.terminal)
                assert client.sismember("dreams:held", job_id) <= (status is Status.QUEUED)

        @invariant()
        def what_is_deleted_has_left_nothing(self) -> None:
            for job_id in self.gone:
                assert client.keys(f"*{job_id}*") == []
                assert list(self.store.root.glob(f"*{job_id}*")) == []
            known = {
                *(job for key in SETS for job in client.zrange(key, 0, -1)),
                *client.smembers("dreams:held"),
                *client.hkeys("dreams:disk"),
            }
            assert not known & self.gone

        @invariant()
        def what_ended_is_on_disk_as_it_ended(self) -> None:
            for job_id in self.seen.keys() - self.gone:
                job, ending = self.ledger.get(job_id), self.store.ending(job_id)
                if ending is not None:
                    assert (job.status, job.problem) == (ending.status, ending.problem)
                elif job.status.terminal:
                    assert client.zscore("dreams:ended", job_id) is not None

        @invariant()
        def events_tell_every_seq_once(self) -> None:
            """From 1 and without a gap, but for one at most wherever Redis has started anew."""
            for job_id in self.seen.keys() - self.gone:
                events = client.xrange(f"dream:{job_id}:events")
                told = [0, *(int(event["seq"]) for _, event in events)]
                rises = [later - earlier for earlier, later in itertools.pairwise(told)]
                rises.append(self.ledger.get(job_id).seq - told[-1] + 1)
                assert min(rises) >= 1
                assert sum(rise > 1 for rise in rises) <= self.restarts

    return Moves


def test_whatever_is_called_in_whatever_order_only_the_tables_moves_happen(
    client: redis.Redis, picture: Picture, tmp_path: Path
) -> None:
    """One terminal state, seq only rises, a stale fence writes nothing: 60 × 50 calls."""
    run_state_machine_as_test(
        machine(client, picture, tmp_path),
        settings=settings(
            max_examples=60,
            stateful_step_count=50,
            deadline=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        ),
    )
