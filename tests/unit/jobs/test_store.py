from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

import pytest

from jobs.errors import StoreFault, UnknownDream
from jobs.record import Order
from jobs.store import Store

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
