"""Fault 10: the disk is full, the data folder read-only, the memory too little."""

import random
import resource
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dream_core import native
from jobs.record import Job
from tests.faults.figures import Figures
from tests.faults.service import Service, pass_s, serving, succeeded, until
from tests.faults.trials import trials
from tests.mounted import mounted

DREAM = {"model": "thin", "layers": "relu3_1=100", "iterations": 60, "image_size": 300}
SHORT = {**DREAM, "iterations": 3}
HELD_S = 3


def problem_of(answer: object) -> str:
    """Return the code of a problem."""
    code: str = answer.json()["code"]  # type: ignore[attr-defined]
    return code


def made_read_only(mount: Path) -> bool:
    """Remount what is mounted there; False while somebody has a file of it open to write."""
    command = ["mount", "-o", "remount,ro,bind", str(mount)]
    told = subprocess.run(command, capture_output=True, text=True, check=False)
    assert told.returncode == 0 or "busy" in told.stderr, told.stderr
    return told.returncode == 0


@pytest.fixture
def small_disk(models: Path, tmp_path: Path) -> Iterator[Service]:
    """Give a service whose data folder is a disk of 64 MiB."""
    with (
        mounted(tmp_path / "disk", "-t", "tmpfs", "-o", "size=64m", "tmpfs") as disk,
        serving(disk / "data", models, hasty=True) as up,
    ):
        yield up


@trials(few=1)
def test_a_full_disk_refuses_keeps_and_comes_back(
    small_disk: Service,
    picture: Path,
    figures: Callable[[str], Figures],
    moment: random.Random,
    compare: Callable[..., None],
) -> None:
    """What runs waits, what comes is told why; with space again all goes on by itself."""
    seen = figures("10 disk full")
    compare(small_disk, small_disk.post(picture, **SHORT), seen, **SHORT)
    running = small_disk.post(picture, **DREAM)
    small_disk.at(running, moment.randrange(1, 40))

    ballast = fill(small_disk.settings.data_dir.parent)
    refused = small_disk.try_post(picture, **DREAM)
    pass_s(HELD_S)
    alive, ready = small_disk.get("/healthz"), small_disk.get("/readyz")
    ballast.unlink()

    job = small_disk.ended(running)
    succeeded(job)
    succeeded(small_disk.ended(small_disk.post(picture, **SHORT)))
    compare(small_disk, running, seen, **DREAM)
    assert refused.status_code in (503, 507), refused.text
    assert problem_of(refused) in ("store-fault", "ledger-away", "disk-full")
    assert (alive.status_code, ready.status_code) == (200, 503)
    assert small_disk.get("/readyz").status_code == 200
    small_disk.check(seen)


def fill(disk: Path) -> Path:
    """Take the last byte of a disk; what is removed meanwhile is taken too."""
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as file:
        for size in (2**20, 4096):
            try:
                while True:
                    file.write(b"\0" * size)
            except OSError:
                assert shutil.disk_usage(disk).free < size
    return ballast


@trials(few=1)
def test_a_read_only_data_folder_refuses_keeps_and_comes_back(
    models: Path,
    picture: Path,
    tmp_path: Path,
    figures: Callable[[str], Figures],
    moment: random.Random,
    compare: Callable[..., None],
) -> None:
    """As a disk does that the system has remounted after an error."""
    seen = figures("10 data folder read-only")
    data = tmp_path / "data"
    (data / "dreams").mkdir(parents=True)
    with serving(data, models, hasty=True) as service:
        running = service.post(picture, **DREAM)
        service.at(running, moment.randrange(1, 40))
        with mounted(data, "--bind", str(data)):
            until(lambda: made_read_only(data), "nobody writes just now")
            refused = service.try_post(picture, **DREAM)
            pass_s(HELD_S)
            alive, ready = service.get("/healthz"), service.get("/readyz")

        succeeded(service.ended(running))
        compare(service, running, seen, **DREAM)
        assert refused.status_code == 503, refused.text
        assert problem_of(refused) == "store-fault"
        assert (alive.status_code, ready.status_code) == (200, 503)
        assert service.get("/readyz").status_code == 200
        service.check(seen)


@trials(few=1)
def test_a_dream_too_large_for_the_memory_goes_on_in_parts_in_another_process(
    hasty: Service, picture: Path, figures: Callable[[str], Figures]
) -> None:
    """The record says which plan; the worker that ran out is replaced and the job is not lost."""
    run_out(hasty, picture, figures("10 out of memory"), left_bytes=300 * 2**20)


@pytest.mark.skipif(not native.available(), reason=native.reason())
@trials(few=1)
def test_so_does_one_that_the_native_kernel_runs(
    models: Path, picture: Path, tmp_path: Path, figures: Callable[[str], Figures]
) -> None:
    """Its layers share rooms, and those are asked of the system itself."""
    asked = {"executor": "winograd", "precision": "exact", "probe_file": tmp_path / "probe.json"}
    with serving(tmp_path / "data", models, hasty=True, **asked) as service:
        seen = figures("10 out of memory, the native kernel")
        large = run_out(service, picture, seen, left_bytes=150 * 2**20)

    assert large.run is not None
    assert large.run.plan["executor"] == "winograd"


def run_out(service: Service, picture: Path, seen: Figures, *, left_bytes: int) -> Job:
    """Let a worker have less memory than its dream takes; return how that one ended."""
    service.settled()
    succeeded(service.ended(service.post(picture, **SHORT)))
    # Told once nothing is left of the dream; the addresses that it took would count as taken.
    until(lambda: [one.state for one in service.ledger.workers()] == ["idle"], "an idle worker")
    worker = service.pid("worker")
    resource.prlimit(worker, resource.RLIMIT_AS, (_address_space(worker) + left_bytes,) * 2)

    large = service.ended(
        service.post(picture, model="wide", layers="relu4_1=100", iterations=1, image_size=1200)
    )
    succeeded(large)
    until(lambda: service.pids("worker") not in ([], [worker]), "another process")
    following = service.ended(service.post(picture, **SHORT))

    assert large.attempt == 2
    assert large.run is not None
    assert large.run.plan["parts"] == "bands"
    succeeded(following)
    service.check(seen)
    return large


def _address_space(pid: int) -> int:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[0])
    return pages * resource.getpagesize()
