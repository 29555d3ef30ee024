import json
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import redis

from dream_core import native
from dream_core.catalogue import Catalogue
from dream_core.dream import Dream
from dream_core.executors import Plan
from dream_core.picture.read import read
from dream_core.picture.source import working_source
from dream_core.picture.write import encode_png
from dream_core.spec import DreamSpec
from jobs.exits import BAD_SETUP
from jobs.ledger import Ledger
from jobs.presence import workers
from jobs.queue import lists
from jobs.reaper import Reaper
from jobs.record import Job, Run, Status
from jobs.settings import Settings
from jobs.store import Picture, Store

pytestmark = pytest.mark.usefixtures("add_model")


def spec(**fields: Any) -> DreamSpec:
    """Return what a thin network dreams in no time."""
    return DreamSpec(**{"model": "thin", "iterations": 3, "image_size": 64, **fields})


def ended(job: Job) -> bool:
    """Whether a job is at its end."""
    return job.status.terminal


def test_a_job_comes_out_as_the_engine_alone_would_dream_it(
    settings: Settings, ledger: Ledger, store: Store, picture: Picture, start, until
) -> None:
    """Queue, store and worker add nothing to a picture: every frame has the engine's own bytes."""
    asked = spec(iterations=4, save_every=3)
    with start("worker", settings):
        job = until(ledger.accept(asked, picture).id, ended)

    assert job.status is Status.SUCCEEDED, job.problem
    assert [frame.iteration for frame in ledger.frames(job.id)[0]] == [0, 3, 4]
    assert job.run is not None
    assert (job.run.width, job.run.height) == (64, 51)
    assert job.progress.fraction == 1
    assert job.progress.losses.keys() == {"relu2_1"}
    source, _ = working_source(read(store.read_source(job.id)), (51, 64))
    dream = Dream(source, asked, plan=Plan(**job.run.plan))
    for iteration in range(5):
        if iteration in (0, 3, 4):
            expected = encode_png(np.asarray(dream.picture()))
            assert ledger.frame_path(job.id, iteration).read_bytes() == expected, iteration
        if not dream.finished:
            dream.step()
    result = ledger.result_path(job.id)
    assert result == ledger.frame_path(job.id, 4)


def test_a_dream_tells_the_next_one_its_time(
    settings: Settings, ledger: Ledger, picture: Picture, start, until
) -> None:
    """From the worker's own plan and pace: nobody had to measure anything."""
    model = Catalogue.load()["thin"]
    with start("worker", settings):
        job = until(ledger.accept(spec(iterations=5), picture).id, ended)
        told = ledger.estimate(spec(iterations=50), model, (48, 60))

    assert job.status is Status.SUCCEEDED, job.problem
    assert job.progress.seconds_per_iteration is not None
    assert told.seconds is not None
    assert told.seconds >= 45 * job.progress.seconds_per_iteration  # with fewer frames for each
    assert told.basis == "from 1 earlier dream on cpu, error not known yet"


def test_a_job_that_can_not_be_run_fails_and_the_next_one_runs(
    settings: Settings, ledger: Ledger, picture: Picture, add_model, start, until
) -> None:
    """A model that can't be loaded costs its own job, never the worker."""
    add_model("hollow", weights=False)
    with start("worker", settings):
        failed = until(ledger.accept(spec(model="hollow"), picture).id, ended)
        add_model("late")  # added while the worker runs, known at once
        assert "late" in Catalogue.load()
        done = until(ledger.accept(spec(model="late"), picture).id, ended)

    assert failed.status is Status.FAILED
    assert failed.problem is not None
    assert failed.problem.code == "weights-missing"
    assert done.status is Status.SUCCEEDED


def test_a_picture_that_is_gone_fails_its_job_with_the_reason(
    settings: Settings, ledger: Ledger, store: Store, picture: Picture, start, until
) -> None:
    """A data folder that lost a file is the host's to mend; the user is told."""
    job = ledger.accept(spec(), picture)
    store.source_path(job.id).unlink()

    with start("worker", settings):
        failed = until(job.id, ended)

    assert failed.problem is not None
    assert failed.problem.code == "store-fault"


def test_sigterm_gives_the_job_back_and_another_worker_ends_it(
    settings: Settings, ledger: Ledger, client: redis.Redis, picture: Picture, start, until
) -> None:
    """A deploy costs no job: the process leaves by itself and the job is the next one to run."""
    job_id = ledger.accept(spec(iterations=150, save_every=150), picture).id
    later = ledger.accept(spec(), picture).id
    with start("worker", settings) as first:
        until(job_id, lambda job: job.progress.iteration > 0)
        first.send_signal(signal.SIGTERM)
        assert first.wait(timeout=30) == 0

        waiting = ledger.get(job_id)
        assert (waiting.status, waiting.queue.position) == (Status.QUEUED, 1)
        assert ledger.get(later).queue.position == 2
        assert workers(client) == []
        assert [client.llen(key) for key in lists("interactive")] == [1, 1, 0, 0]  # none swallowed

    with start("worker", settings):
        job = until(job_id, ended)
        assert ledger.get(later).started_at is None or job.finished_at is not None
        after = until(later, ended)

    assert (job.status, job.attempt) == (Status.SUCCEEDED, 2)
    assert job.finished_at is not None
    assert after.started_at is not None
    assert after.started_at >= job.finished_at


@pytest.mark.parametrize(
    "executor",
    [
        "autograd",
        pytest.param(
            "winograd", marks=pytest.mark.skipif(not native.available(), reason=native.reason())
        ),
    ],
)
def test_a_job_whose_worker_is_killed_comes_out_with_the_same_bytes(
    executor: str,
    settings: Settings,
    ledger: Ledger,
    store: Store,
    client: redis.Redis,
    picture: Picture,
    tmp_path: Path,
    start,
    until,
) -> None:
    """With kill -9 in mid-dream: every frame is that of an undisturbed run, none is doubled."""
    way = {"executor": executor, "precision": "exact", "probe_file": tmp_path / "probe.json"}
    by_it = settings.model_copy(update=way)
    asked = spec(iterations=12)
    with start("worker", by_it) as victim:
        job_id = ledger.accept(asked, picture).id
        until(job_id, lambda job: job.progress.iteration >= 2)
        victim.kill()
        victim.wait()
        stood_at = ledger.get(job_id)
    client.zadd("dreams:leases", {job_id: 0})  # 15 s later
    Reaper(client, ledger, store, grace_s=0).sweep()

    with start("worker", by_it):
        job = until(job_id, ended)
        undisturbed = until(ledger.accept(asked, picture).id, ended)

    assert (job.status, job.attempt, job.frames.count) == (Status.SUCCEEDED, 2, 13)
    assert stood_at.status is Status.RUNNING
    assert job.run is not None
    assert job.run.plan["executor"] == executor
    for iteration in range(13):
        ours, theirs = (
            ledger.frame_path(each, iteration).read_bytes() for each in (job_id, undisturbed.id)
        )
        assert ours == theirs, iteration
    events = client.xrange(f"dream:{job_id}:events")
    steps = [event for _, event in events if event["type"] == "progress"]
    assert len(steps) < stood_at.progress.iteration + 12, "it began again"


def test_a_running_job_stops_soon_after_it_is_cancelled(
    settings: Settings, ledger: Ledger, picture: Picture, start, until
) -> None:
    """Its frames stay; it never succeeds after all."""
    job_id = ledger.accept(spec(iterations=10_000, save_every=10_000), picture).id
    with start("worker", settings):
        until(job_id, lambda job: job.progress.iteration > 0)

        assert ledger.cancel(job_id).status is Status.CANCELING

        job = until(job_id, ended)
    assert job.status is Status.CANCELED
    assert job.progress.iteration < 10_000
    assert ledger.cancel(job_id) == job


def test_a_cancelled_job_is_not_run_by_its_message(
    settings: Settings, ledger: Ledger, picture: Picture, start, until
) -> None:
    """The message is still in the queue; the ledger decides."""
    cancelled = ledger.accept(spec(), picture).id
    ledger.cancel(cancelled)
    following = ledger.accept(spec(), picture).id

    with start("worker", settings):
        until(following, ended)

    job = ledger.get(cancelled)
    assert (job.status, job.attempt) == (Status.CANCELED, 0)


def test_both_queues_move_and_each_keeps_its_order(
    settings: Settings, ledger: Ledger, picture: Picture, start, until
) -> None:
    """First in, first out within a queue; a row of interactive jobs doesn't starve a bulk one."""
    interactive = [ledger.accept(spec(iterations=1), picture).id for _ in range(6)]
    bulk = [ledger.accept(spec(iterations=1), picture, queue="bulk").id for _ in range(3)]

    with start("worker", settings):
        jobs = [until(job_id, ended) for job_id in interactive + bulk]

    order = [job.id for job in sorted(jobs, key=lambda job: job.started_at or job.created_at)]
    assert [job_id for job_id in order if job_id in interactive] == interactive
    assert [job_id for job_id in order if job_id in bulk] == bulk
    assert order.index(bulk[-1]) < order.index(interactive[-1])


def test_a_message_of_another_version_is_left_and_the_worker_goes_on(
    settings: Settings, ledger: Ledger, app, picture: Picture, start, until
) -> None:
    """During an upgrade old and new processes meet in one queue."""
    stranger = ledger.accept(spec(), picture).id
    (message,) = app.connection_for_read().default_channel.client.lrange(
        "dreams.interactive\x06\x163", 0, -1
    )
    assert json.loads(message)["headers"]["task"] == "torch_inception.dream"
    app.send_task(
        "torch_inception.dream",
        kwargs={"message": {"version": 2, "id": stranger}},
        queue="dreams.bulk",
    )

    with start("worker", settings):
        assert until(stranger, ended).status is Status.SUCCEEDED
        assert until(ledger.accept(spec(), picture).id, ended).status is Status.SUCCEEDED


def test_a_worker_says_what_it_is_doing(
    settings: Settings, ledger: Ledger, client: redis.Redis, picture: Picture, start, until
) -> None:
    """Its own key feeds /readyz and what queued jobs wait for."""
    with start("worker", settings.model_copy(update={"worker_slot": 3})) as child:
        job_id = ledger.accept(spec(iterations=10_000, save_every=10_000), picture).id
        until(job_id, lambda job: job.progress.iteration > 0)

        (worker,) = workers(client)
        assert worker.state == "dreaming"
        assert (worker.slot, worker.pid, worker.device) == (3, child.pid, "cpu")
        assert (worker.job, worker.model) == (job_id, "thin")
        waiting = ledger.accept(spec(), picture)
        assert waiting.queue.waits_for == "the dream that runs"

        ledger.cancel(job_id)
        until(waiting.id, ended)


def test_a_worker_waits_for_a_redis_that_is_not_up_yet(
    settings: Settings, tmp_path, picture: Picture, start
) -> None:
    """Rooms start in any order; a worker that was first is no worker that failed."""
    from jobs.connection import connect
    from jobs.valkey import wait_until_up
    from jobs.wiring import open_ledger

    late = settings.model_copy(update={"redis_url": None, "data_dir": tmp_path / "late"})
    with start("worker", late), start("jobs.valkey", late):
        client = connect(late)
        wait_until_up(client)
        ledger = open_ledger(late)
        job_id = ledger.accept(spec(), picture).id
        last = "0"
        while not ledger.get(job_id).status.terminal:
            events = client.xread({f"dream:{job_id}:events": last}, block=60_000, count=1)
            assert events, "the worker never came"
            last = events[0][1][-1][0]

        assert ledger.get(job_id).status is Status.SUCCEEDED


def test_a_worker_that_should_preload_an_unknown_model_says_so_and_ends(
    settings: Settings, start
) -> None:
    """A typing error in a setting is told at the start, not with the first dream."""
    with start("worker", settings.model_copy(update={"preload": "vgg91"})) as child:
        assert child.wait(timeout=60) == BAD_SETUP


def test_a_dream_that_is_continued_has_the_frames_of_one_that_never_stopped(
    settings: Settings,
    ledger: Ledger,
    store: Store,
    client: redis.Redis,
    picture: Picture,
    start,
    until,
) -> None:
    """2 iterations and 5 more are 7, bit by bit; the child's first frame is its parent's last."""
    with start("worker", settings):
        short = until(ledger.accept(spec(iterations=2), picture).id, ended)
        longer = until(ledger.continue_(short.id, 5).id, ended)
        again = until(ledger.retry(longer.id).id, ended)
        whole = until(ledger.accept(spec(iterations=7), picture).id, ended)

    assert longer.status is again.status is Status.SUCCEEDED, longer.problem
    assert longer.spec == whole.spec
    for child in (longer, again):
        frames, _ = ledger.frames(child.id)
        assert [frame.iteration for frame in frames] == [2, 3, 4, 5, 6, 7]
        for frame in frames:
            ours, theirs = (
                ledger.frame_path(job.id, frame.iteration).read_bytes() for job in (child, whole)
            )
            assert ours == theirs, frame.iteration
    events = [event["type"] for _, event in client.xrange(f"dream:{longer.id}:events")]
    assert events.count("progress") == 5, "it began at the source"
    assert kinds(client, longer.id).isdisjoint({"frame-differs", "plan-changed"})
    state = store.last_state(longer.id)
    assert state is not None
    assert state.iteration == 7


def test_a_dream_whose_parents_state_rotted_begins_at_the_source_and_comes_to_the_same(
    settings: Settings, ledger: Ledger, store: Store, picture: Picture, start, until
) -> None:
    """It costs the parent's iterations once more; no frame of them is the child's."""
    with start("worker", settings):
        short = until(ledger.accept(spec(iterations=3), picture).id, ended)
        state = store.last_state(short.id)
        assert state is not None
        state.path.write_bytes(state.path.read_bytes()[:-1])
        longer = until(ledger.continue_(short.id, 2).id, ended)
        whole = until(ledger.accept(spec(iterations=5), picture).id, ended)

    assert [frame.iteration for frame in ledger.frames(longer.id)[0]] == [3, 4, 5]
    for iteration in (3, 4, 5):
        ours, theirs = (
            ledger.frame_path(job.id, iteration).read_bytes() for job in (longer, whole)
        )
        assert ours == theirs, iteration


def test_a_dream_that_was_canceled_goes_on_from_the_iteration_it_stopped_at(
    settings: Settings, ledger: Ledger, picture: Picture, start, until
) -> None:
    """Its worker saves the state before it lets go, whenever the last checkpoint was."""
    with start("worker", settings):
        job_id = ledger.accept(spec(iterations=10_000, save_every=10_000), picture).id
        until(job_id, lambda job: job.progress.iteration > 5)
        ledger.cancel(job_id)
        stopped = until(job_id, ended)

        longer = ledger.continue_(job_id, 2)
        assert until(longer.id, ended).status is Status.SUCCEEDED

    at = stopped.progress.iteration
    assert stopped.status is Status.CANCELED
    assert longer.spec["iterations"] == at + 2
    assert [frame.iteration for frame in ledger.frames(longer.id)[0]] == [at, at + 2]


def test_a_dream_past_its_deadline_fails_soon_and_the_next_one_runs(
    settings: Settings, ledger: Ledger, client: redis.Redis, picture: Picture, start, until
) -> None:
    """Seen between two steps, by Redis' own clock."""
    asked = spec(iterations=10_000, save_every=10_000)
    with start("worker", settings):
        job_id = ledger.accept(asked, picture, timeout_s=3600).id
        until(job_id, lambda job: job.progress.iteration > 0)
        client.hset(f"dream:{job_id}", "expires_at", 1)  # an hour later

        failed = until(job_id, ended)
        done = until(ledger.accept(spec(), picture).id, ended)

    assert failed.status is Status.FAILED
    assert failed.problem is not None
    assert failed.problem.code == "deadline-passed"
    assert done.status is Status.SUCCEEDED


def test_a_paused_queue_starts_nothing_and_then_all_in_order(
    settings: Settings, ledger: Ledger, client: redis.Redis, picture: Picture, start, until
) -> None:
    """On the real broker: messages that workers took in vain are sent again, before later ones."""
    with start("worker", settings):
        running = ledger.accept(spec(iterations=10_000, save_every=10_000), picture).id
        until(running, lambda job: job.progress.iteration > 0)
        ledger.pause()
        held = [ledger.accept(spec(iterations=1), picture).id for _ in range(3)]
        ledger.cancel(running)
        until(running, ended)
        held += [ledger.accept(spec(iterations=1), picture).id for _ in range(2)]
        while client.scard("dreams:held") < len(held):  # its worker is asked for the next at once
            client.blpop(["never"], timeout=0.02)
        assert {ledger.get(job_id).status for job_id in held} == {Status.QUEUED}

        ledger.resume()
        later = ledger.accept(spec(iterations=1), picture).id
        jobs = [until(job_id, ended) for job_id in (*held, later)]

    assert {job.status for job in jobs} == {Status.SUCCEEDED}
    starts = [job.started_at for job in jobs]
    assert starts == sorted(starts)


def test_what_a_dream_will_take_is_in_its_record_before_it_takes_it(
    settings: Settings, ledger: Ledger, picture: Picture, start, until
) -> None:
    """A system that runs out of memory kills without a word; the record then has the sentence."""
    with start("worker", settings):
        job = until(ledger.accept(spec(iterations=1), picture).id, lambda job: job.run is not None)
        until(job.id, ended)

    assert job.run is not None
    assert job.frames.count == 0
    assert job.run.predicted_bytes is not None
    assert job.run.free_bytes is not None
    assert 2**20 < job.run.predicted_bytes < job.run.free_bytes


def test_a_job_that_goes_on_under_another_plan_says_so(
    settings: Settings, ledger: Ledger, client: redis.Redis, picture: Picture, start, until
) -> None:
    """On another kind of machine it goes on; that later frames may be others is an event."""
    job_id = ledger.accept(spec(iterations=3), picture).id
    claim = ledger.claim(job_id, "elsewhere")
    assert claim is not None
    plan = {
        "executor": "autograd",
        "precision": "exact",
        "dtype": "float32",
        "device": "cpu",
        "threads": 1,
        "torch_version": "1.0",
        "cpu": "AVX9000",
    }
    claim.begin(Run(width=64, height=51, device="cpu", plan=plan, versions={}))
    claim.publish_frame(0, 64, 51, b"not what we would make of it")
    claim.give_back()

    with start("worker", settings):
        job = until(job_id, ended)

    assert job.status is Status.SUCCEEDED
    assert job.run is not None
    assert job.run.plan["torch_version"] != "1.0"
    assert {"plan-changed", "frame-differs"} <= kinds(client, job_id)
    assert ledger.frame_path(job_id, 0).read_bytes() == b"not what we would make of it"


def kinds(client: redis.Redis, job_id: str) -> set[str]:
    """Return what kinds of events a job has had."""
    return {event["type"] for _, event in client.xrange(f"dream:{job_id}:events")}
