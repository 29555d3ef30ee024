"""The next dream's picture is decoded while this one runs."""

import threading
from pathlib import Path

import numpy as np
import pytest

from dream_core.picture.read import read
from dream_core.picture.source import working_source
from dream_core.spec import DreamSpec
from jobs.errors import StoreFault
from jobs.ledger import Ledger
from jobs.settings import Settings
from jobs.store import Picture, Store
from worker.sources import LOOKED_EVERY_S, Sources

PATIENCE_S = 60


class Seen(Store):
    """A store that tells when a source has been read."""

    def __init__(self, data_dir: Path) -> None:
        super().__init__(data_dir)
        self.read = threading.Semaphore(0)
        self.readers: list[threading.Thread] = []

    def read_source(self, job_id: str) -> bytes:
        self.readers.append(threading.current_thread())
        try:
            return super().read_source(job_id)
        finally:
            self.read.release()


@pytest.fixture
def spec(add_model: object) -> DreamSpec:
    """Give a spec whose model is in the test's own folder of models."""
    _ = add_model
    return DreamSpec(model="thin", iterations=3, image_size=40)


@pytest.fixture
def seen(settings: Settings) -> Seen:
    """Give the stack's store, watched."""
    return Seen(settings.data_dir)


def test_the_next_picture_is_decoded_before_its_dream_starts(
    ledger: Ledger, seen: Seen, picture: Picture, spec: DreamSpec
) -> None:
    """Its file is not asked for again; what comes is what would have come of it."""
    job_id = ledger.accept(spec, picture).id
    other = ledger.accept(spec, picture, queue="bulk").id
    expected, _ = working_source(read(seen.source_path(job_id).read_bytes()), (32, 40))
    sources = Sources(seen, ledger.following)

    sources.foresee()
    for each in (job_id, other):
        assert seen.read.acquire(timeout=PATIENCE_S)
        seen.source_path(each).unlink()

    np.testing.assert_array_equal(sources.take(job_id, spec).rgb, expected)
    np.testing.assert_array_equal(sources.take(other, spec).rgb, expected)


def test_who_was_not_foreseen_is_decoded_when_it_starts(
    ledger: Ledger, seen: Seen, picture: Picture, spec: DreamSpec
) -> None:
    """It stood further behind, or nobody has looked."""
    job_id = ledger.accept(spec, picture).id

    assert Sources(seen).take(job_id, spec).rgb.shape == (3, 32, 40)


def test_a_picture_that_can_not_be_foreseen_is_said_by_its_own_dream(
    ledger: Ledger, seen: Seen, picture: Picture, spec: DreamSpec
) -> None:
    """The dream that runs has nothing to do with it."""
    job_id = ledger.accept(spec, picture).id
    seen.source_path(job_id).unlink()
    sources = Sources(seen, ledger.following)

    sources.foresee()
    assert seen.read.acquire(timeout=PATIENCE_S)

    with pytest.raises(StoreFault, match="source"):
        sources.take(job_id, spec)


def test_what_is_next_no_more_is_forgotten(
    ledger: Ledger, seen: Seen, picture: Picture, spec: DreamSpec
) -> None:
    """So at most one picture a queue is held."""
    gone, there = ledger.accept(spec, picture).id, ledger.accept(spec, picture).id
    now = [0.0]
    sources = Sources(seen, ledger.following, clock=lambda: now[0])
    sources.foresee()
    assert seen.read.acquire(timeout=PATIENCE_S)

    ledger.cancel(gone)
    now[0] += LOOKED_EVERY_S
    sources.foresee()
    assert seen.read.acquire(timeout=PATIENCE_S)  # of the one behind it
    seen.source_path(gone).unlink()
    seen.source_path(there).unlink()

    assert sources.take(there, spec).rgb.shape == (3, 32, 40)
    with pytest.raises(StoreFault):
        sources.take(gone, spec)


def test_nothing_is_foreseen_where_memory_is_short(
    ledger: Ledger, seen: Seen, picture: Picture, spec: DreamSpec
) -> None:
    """The dream that runs has planned with it."""
    job_id = ledger.accept(spec, picture).id
    asked = threading.Event()

    def free() -> int:
        asked.set()
        return 60 * 48 * 12 * 10 - 1

    sources = Sources(seen, ledger.following, free=free)
    sources.foresee()
    assert asked.wait(PATIENCE_S)
    sources.take(job_id, spec)

    assert seen.readers == [threading.current_thread()]
