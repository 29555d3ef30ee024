"""Fault 15: a thousand small jobs."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults import census
from tests.faults.figures import Figures
from tests.faults.service import serving, succeeded
from tests.faults.trials import MANY

DREAM = {"model": "thin", "layers": "relu2_1=100", "iterations": 1, "image_size": 64}
JOBS = 1000 if MANY else 60
GROWTH_MIB = (
    24  # of a process over three quarters of the jobs; a leak of 32 KB a job shows at 1,000
)


def resident_mib(pid: int) -> float:
    """Return how much memory a process holds."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * 4096 / 2**20


@pytest.mark.timeout(1800)
def test_many_small_jobs_leave_no_key_and_no_memory_behind(
    models: Path, picture: Path, tmp_path: Path, figures: Callable[[str], Figures]
) -> None:
    """What a service holds is its jobs; when they are deleted it holds nothing."""
    seen = figures(f"15 {JOBS} small jobs")
    with serving(tmp_path / "data", models) as service:
        rooms = {room: service.pid(room) for room in ("api", "worker")}
        quarter: dict[str, float] = {}
        ids: list[str] = []
        for number in range(JOBS):
            ids.append(service.post(picture, **DREAM))
            if number == JOBS // 4:
                service.ended(ids[-1])
                quarter = {room: resident_mib(pid) for room, pid in rooms.items()}
        for job_id in ids:
            job = service.ended(job_id)
            succeeded(job)
            assert job.attempt == 1
        grown = {room: resident_mib(pid) - quarter[room] for room, pid in rooms.items()}
        service.check(seen)

        assert {room: service.pid(room) for room in rooms} == rooms, "a room was replaced"
        assert all(more < GROWTH_MIB for more in grown.values()), grown
        for job_id in ids:
            service.ledger.delete(job_id)
        left = set(service.client.scan_iter())
        assert not [key for key in left if not _bookkeeping(key)]
        assert list((service.settings.data_dir / "dreams").iterdir()) == []


def _bookkeeping(key: str) -> bool:
    return bool(census.OURS.fullmatch(key) or census.CELERYS.fullmatch(key))
