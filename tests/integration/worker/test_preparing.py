"""From which of its states a job goes on."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import redis
import torch

from dream_core.catalogue import Catalogue
from dream_core.errors import Interrupted
from dream_core.executors import Paces, Probe
from dream_core.spec import DreamSpec
from jobs.claim import Claim
from jobs.ledger import Ledger
from jobs.reaper import Reaper
from jobs.store import Picture, Store
from worker.checkpoint import HEADER, pack
from worker.dreamer import Prepared
from worker.networks import Networks
from worker.preparing import Preparer

pytestmark = pytest.mark.usefixtures("add_model")


def torn(path: Path) -> None:
    """Let the disk lose a state's last byte."""
    path.write_bytes(path.read_bytes()[:-1])


def of_next_year(path: Path) -> None:
    """Let a later version have written a state."""
    path.write_bytes(path.read_bytes().replace(HEADER + b"1", HEADER + b"2"))


@pytest.mark.parametrize("spoil", [torn, of_next_year, Path.unlink])
def test_where_the_last_state_can_not_be_used_the_one_before_is(
    ledger: Ledger, store: Store, picture: Picture, spoil
) -> None:
    """Of the same attempt, and of the attempt before it; and the bits are the same in the end."""
    spec = DreamSpec(model="thin", iterations=8, image_size=64)
    job_id = ledger.accept(spec, picture).id
    preparer = Preparer(store, Networks(torch.device("cpu")), Probe(executor="autograd"))

    def attempt() -> tuple[Claim, Prepared]:
        claim = ledger.claim(job_id, "worker")
        assert claim is not None
        return claim, preparer(claim, spec, Catalogue.load())

    def save_at(claim: Claim, prepared: Prepared, iterations: tuple[int, ...]) -> None:
        for iteration in iterations:
            while prepared.engine.iteration < iteration:
                prepared.engine.step()
            claim.checkpoint(iteration, partial(pack, prepared.engine.state_dict()))
        claim.give_back()

    save_at(*attempt(), (2, 4))
    save_at(*attempt(), (6,))
    furthest = store.checkpoints(job_id)
    assert [path.name.split(".")[0] for path in furthest] == ["6", "4", "2"]

    spoil(furthest[0])
    claim, third = attempt()
    assert third.engine.iteration == 4
    assert third.looked_s == 0
    claim.give_back()
    spoil(furthest[1])
    claim, fourth = attempt()
    assert fourth.engine.iteration == 2

    _, undisturbed = attempt_of(ledger, preparer, spec, picture)
    assert undisturbed.looked_s > 0
    for engine in (fourth.engine, undisturbed.engine):
        while not engine.finished:
            engine.step()
    np.testing.assert_array_equal(fourth.engine.picture(), undisturbed.engine.picture())


def attempt_of(
    ledger: Ledger, preparer: Preparer, spec: DreamSpec, picture: Picture
) -> tuple[Claim, Prepared]:
    """Return the first attempt at a job of its own."""
    claim = ledger.claim(ledger.accept(spec, picture).id, "worker")
    assert claim is not None
    return claim, preparer(claim, spec, Catalogue.load())


def test_a_job_given_back_for_want_of_memory_is_run_in_smaller_parts(
    ledger: Ledger, store: Store, picture: Picture
) -> None:
    """From the state it had: what was dreamed whole goes on in bands."""
    spec = DreamSpec(model="thin", layers={"relu3_1": 9.0}, iterations=3, image_size=64)
    job_id = ledger.accept(spec, picture).id
    preparer = Preparer(store, Networks(torch.device("cpu")), Probe(executor="autograd"))
    claim = ledger.claim(job_id, "worker")
    assert claim is not None
    first = preparer(claim, spec, Catalogue.load())
    first.engine.step()
    claim.checkpoint(1, partial(pack, first.engine.state_dict()))

    bands = {"parts": "bands", "part_pixels": 16, "cut": "pool1"}
    claim.begin(first.run.model_copy(update={"plan": {**first.run.plan, **bands}}))
    claim.give_back()
    claim = ledger.claim(job_id, "worker")
    assert claim is not None
    second = preparer(claim, spec, Catalogue.load())

    assert first.run.plan["parts"] == "whole"
    assert second.run.plan["parts"] == "bands"
    assert second.engine.iteration == 1
    second.engine.step()


OF_A_PLAN = ("out-of-memory", "plan-changed")
Again = Callable[..., tuple[Prepared, Prepared, list[Any]]]


@pytest.fixture
def again(
    ledger: Ledger,
    store: Store,
    client: redis.Redis,
    picture: Picture,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> Again:
    """Begin a dream twice; before the second time just so much memory is left as it needs."""

    def begin(*, killed: int, state: bool = False) -> tuple[Prepared, Prepared, list[Any]]:
        spec = DreamSpec(model="thin", layers={"relu3_1": 9.0}, iterations=3, image_size=512)
        preparer = Preparer(store, Networks(torch.device("cpu")), Probe(executor="autograd"))
        claim, first = attempt_of(ledger, preparer, spec, picture)
        if state:
            first.engine.step()
            claim.checkpoint(1, partial(pack, first.engine.state_dict()))
        for number in range(killed):
            if number:
                assert ledger.claim(claim.job.id, "worker")
            client.zadd("dreams:leases", {claim.job.id: 0})  # 15 s later
            Reaper(client, ledger, store, grace_s=0).sweep()
        if not killed:
            claim.give_back()
        meminfo = tmp_path / "meminfo"
        meminfo.write_text(f"MemAvailable: {first.run.predicted_bytes // 1024} kB\n")
        monkeypatch.setattr("dream_core.executors.memory._MEMINFO", meminfo)
        following = ledger.claim(claim.job.id, "worker")
        assert following is not None
        second = preparer(following, spec, Catalogue.load())
        events = [event for _, event in client.xrange(f"dream:{claim.job.id}:events")]
        return first, second, [event for event in events if event["type"] in OF_A_PLAN]

    return begin


@pytest.mark.parametrize("how", [{"killed": 1}, {"killed": 2, "state": True}], ids=str)
def test_what_killed_its_worker_where_memory_is_short_is_run_in_smaller_parts(
    how: dict[str, int], again: Again
) -> None:
    """Who is killed for want of memory leaves no word, and the same plan would kill the next."""
    first, second, told = again(**how)

    assert first.run.plan["parts"] == "whole"
    assert second.run.predicted_bytes <= 0.85 * first.run.predicted_bytes
    event, *others = told
    assert (event["type"], event["form"]) == ("out-of-memory", "whole")
    assert [each["type"] for each in others] == ["plan-changed"] * how.get("state", False)
    assert event["next"] == str(second.engine.plan.form) != "whole"


@pytest.mark.parametrize("how", [{"killed": 1, "state": True}, {"killed": 0}], ids=str)
def test_short_memory_alone_changes_no_plan(how: dict[str, int], again: Again) -> None:
    """A state has shown that its plan fits; a worker that stopped of its own accord ran not out."""
    first, second, told = again(**how)

    assert second.run.plan == first.run.plan
    assert not told


def test_a_dream_is_left_between_two_parts_of_its_source(
    ledger: Ledger, store: Store, picture: Picture
) -> None:
    """A worker that stops need not wait until every target of a large picture is fixed."""
    spec = DreamSpec(model="thin", image_size=64)
    claim = ledger.claim(ledger.accept(spec, picture).id, "worker")
    assert claim is not None
    preparer = Preparer(store, Networks(torch.device("cpu")), Probe(executor="autograd"))
    plan = preparer(claim, spec, Catalogue.load()).run.plan
    claim.begin(
        claim.job.run.model_copy(update={"plan": {**plan, "parts": "tiles", "part_pixels": 16}})
    )

    with pytest.raises(Interrupted):
        preparer(claim, spec, Catalogue.load(), lambda: True)


def measuring(fast_s: float) -> Probe:
    """Return a probe that finds every precision to take a second, and `fast` less."""
    return Probe(
        measure=lambda _, ways: Paces(
            {way: fast_s if way.precision == "fast" else 1.0 for way in ways}
        )
    )


def test_a_precision_is_kept_by_every_attempt_on_any_machine(
    ledger: Ledger, store: Store, picture: Picture
) -> None:
    """What auto became is in the plan: it stays so on a machine where auto is exact.

    Where that plan can't be had (another torch), at least its precision is asked for.
    """
    spec = DreamSpec(model="thin", iterations=8, image_size=64)
    job_id = ledger.accept(spec, picture).id

    def attempt(probe: Probe) -> tuple[Claim, Prepared]:
        claim = ledger.claim(job_id, "worker")
        assert claim is not None
        asked = DreamSpec.parse(claim.job.spec, Catalogue.load())
        return claim, Preparer(store, Networks(torch.device("cpu")), probe)(
            claim, asked, Catalogue.load()
        )

    claim, first = attempt(measuring(0.1))
    first.engine.step()
    claim.checkpoint(1, partial(pack, first.engine.state_dict()))
    claim.give_back()
    claim, second = attempt(measuring(0.9))
    claim.begin(second.run.model_copy(update={"plan": {**second.run.plan, "torch_version": "1.0"}}))
    claim.give_back()
    _, third = attempt(measuring(0.9))

    assert first.run.plan["precision"] == "fast"
    assert second.run.plan == first.run.plan
    assert second.engine.iteration == 1
    assert third.run.plan == first.run.plan
    assert ledger.get(job_id).spec["precision"] == "fast"
