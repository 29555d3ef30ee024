import os
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

import pytest
from PIL import Image

from jobs.errors import StoreFault, UnknownDream
from jobs.record import Order
from jobs.store import Start, Store
from tests.states import saved

ID = "01KAT3Y5W7ZQH9N4C8RSBV6XEM"
ORDER = Order(
    id=ID,
    owner="local",
    queue="interactive",
    spec={"layers": {"relu5_1": 1.0}},
    created_at=datetime(2026, 11, 23, tzinfo=UTC),
)


class Picture:
    """A picture that is stored as five bytes, or not at all."""

    height, width = 3, 4

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error

    def save_png(self, target: Path) -> None:
        target.write_bytes(b"pixel")
        if self.error:
            raise self.error


def test_a_stored_order_reads_back_with_its_source(tmp_path: Path) -> None:
    """The folder alone is enough to fill a ledger that was lost."""
    order = Store(tmp_path).create(ID, Picture(), ORDER)

    again = Store(tmp_path)
    assert again.ids() == [ID]
    assert again.order(ID) == order
    assert again.read_source(ID) == b"pixel"
    assert order.source is not None
    assert order.source.model_dump() == {
        "width": 4,
        "height": 3,
        "sha256": sha256(b"pixel").hexdigest(),
    }


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_what_could_not_be_stored_leaves_nothing(tmp_path: Path, error: Exception) -> None:
    """A full disk refuses the job and isn't filled further by halves of it."""
    store = Store(tmp_path)

    with pytest.raises((StoreFault, KeyboardInterrupt), match=r"No space left|^$"):
        store.create(ID, Picture(error), ORDER)

    assert list(store.root.iterdir()) == []


@pytest.mark.parametrize("job_id", ["../../etc/passwd", "", "0" * 25, ID.lower(), f"{ID}/..", "."])
def test_no_id_leads_out_of_the_store(tmp_path: Path, job_id: str) -> None:
    """Ids come in by URL: whatever isn't a ULID never becomes a path."""
    with pytest.raises(UnknownDream):
        Store(tmp_path).source_path(job_id)


def test_a_frame_can_not_bring_a_deleted_job_back(tmp_path: Path) -> None:
    """A worker that comes too late finds no folder, and makes none."""
    store = Store(tmp_path)
    store.create(ID, Picture(), ORDER)
    store.discard(ID)

    with pytest.raises(StoreFault):
        store.write_frame(ID, 1, "1-abcd", b"png")

    assert list(store.root.iterdir()) == []


def test_two_attempts_write_the_same_frame_beside_each_other(tmp_path: Path) -> None:
    """A zombie can't tear a frame that its successor has published."""
    store = Store(tmp_path)
    store.create(ID, Picture(), ORDER)

    first = store.write_frame(ID, 7, "1-aaaa", b"one")
    second = store.write_frame(ID, 7, "2-bbbb", b"two")

    assert (first.read_bytes(), second.read_bytes()) == (b"one", b"two")
    assert sorted(path.name for path in first.parent.iterdir()) == ["7.1-aaaa.png", "7.2-bbbb.png"]


def checkpoints(store: Store) -> list[str]:
    """Return the names of a job's states, the furthest first."""
    return [path.name for path in store.checkpoints(ID)]


def test_an_attempt_keeps_its_last_two_states(tmp_path: Path) -> None:
    """The one before is there where a disk lets the last one rot."""
    store = Store(tmp_path)
    store.create(ID, Picture(), ORDER)

    for iteration in (1, 9, 10):
        store.write_checkpoint(ID, iteration, "1-aaaa", saved(b"state"))

    assert checkpoints(store) == ["10.1-aaaa", "9.1-aaaa"]


def test_states_of_earlier_attempts_stay_until_there_are_two_later_ones(tmp_path: Path) -> None:
    """Else twenty kills would leave forty; and those of a later attempt are not an old one's."""
    store = Store(tmp_path)
    store.create(ID, Picture(), ORDER)
    for iteration in (7, 8):
        store.write_checkpoint(ID, iteration, "2-aaaa", saved(b"state"))

    store.write_checkpoint(ID, 9, "10-bbbb", saved(b"state"))
    assert checkpoints(store) == ["9.10-bbbb", "8.2-aaaa", "7.2-aaaa"]
    store.write_checkpoint(ID, 10, "10-bbbb", saved(b"state"))
    assert checkpoints(store) == ["10.10-bbbb", "9.10-bbbb"]
    for iteration in (11, 12):  # a zombie's
        store.write_checkpoint(ID, iteration, "2-aaaa", saved(b"state"))

    assert checkpoints(store) == ["12.2-aaaa", "11.2-aaaa", "10.10-bbbb", "9.10-bbbb"]


def test_what_a_full_disk_cut_off_leaves_no_half(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would take the room that the rest is waiting for."""

    def refuse(_: int) -> None:
        raise OSError(28, "No space left on device")

    store = Store(tmp_path)
    store.create(ID, Picture(), ORDER)
    monkeypatch.setattr(os, "fsync", refuse)

    with pytest.raises(StoreFault, match="No space left"):
        store.write_frame(ID, 1, "1-aaaa", b"png")

    assert list((store.root / ID / "frames").iterdir()) == []


def test_a_source_is_stored_once_more_without_a_second_copy(tmp_path: Path) -> None:
    """Retried or continued, a job has its own folder with the same source; either can go."""
    other = "01KAT3Y5W7ZQH9N4C8RSBV6XEN"
    store = Store(tmp_path)
    order = store.create(ID, Picture(), ORDER)
    assert order.source is not None
    start = store.write_checkpoint(ID, 7, "1-aaaa", saved(b"state"))

    again = store.create(
        other, store.picture(ID, order.source), ORDER, Start(iteration=7, path=start)
    )
    same = store.source_path(other).samefile(store.source_path(ID))
    store.discard(ID)

    assert same
    assert again.source == order.source
    assert store.read_source(other) == b"pixel"
    assert (store.root / other / "start").read_bytes() == b"state"


def test_where_files_can_not_have_two_names_they_are_copied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On exFAT and some network disks."""

    def refuse(*_: object) -> None:
        raise OSError(1, "Operation not permitted")

    store = Store(tmp_path)
    order = store.create(ID, Picture(), ORDER)
    assert order.source is not None
    monkeypatch.setattr(Path, "hardlink_to", refuse)

    store.create("01KAT3Y5W7ZQH9N4C8RSBV6XEN", store.picture(ID, order.source), ORDER)

    assert store.read_source("01KAT3Y5W7ZQH9N4C8RSBV6XEN") == b"pixel"


@pytest.mark.parametrize(("mode", "alpha"), [("RGB", None), ("RGBA", True), ("LA", True)])
def test_a_stored_picture_tells_whether_it_has_alpha(
    tmp_path: Path, mode: str, alpha: bool | None
) -> None:
    """From its header: it decides how large a frame may be."""
    image = Image.new(mode, (4, 3))

    class Real(Picture):
        def save_png(self, target: Path) -> None:
            image.save(target, "PNG")

    store = Store(tmp_path)
    order = store.create(ID, Real(), ORDER)
    assert order.source is not None

    assert store.picture(ID, order.source).alpha is alpha  # type: ignore[attr-defined]


@pytest.mark.parametrize(("number", "passing"), [(28, True), (30, True), (13, True), (5, False)])
def test_a_full_or_read_only_disk_passes_a_broken_one_does_not(number: int, passing: bool) -> None:
    """What a worker waits for, and what it fails a job for."""
    assert StoreFault("frames", "refused", number).passing is passing
