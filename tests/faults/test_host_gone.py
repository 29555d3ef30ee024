"""The host is gone in mid-dream: power lost and back, a volume half written, a move elsewhere."""

import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from jobs.record import Status
from tests.faults.figures import Figures
from tests.faults.service import Service, pass_s, serving, succeeded
from tests.faults.trials import trials

DREAM = {"model": "thin", "layers": "relu3_1=100", "iterations": 30, "image_size": 300}
SHORT = {**DREAM, "iterations": 3}
UNWRITTEN = 4000  # bytes of Redis' file that never reached the disk: some dozen commands


def aof(data: Path) -> Path:
    """Return the file that Redis last wrote to."""
    return max((data / "valkey" / "appendonlydir").glob("*.incr.aof"))


def in_mid_dream(service: Service, picture: Path, moment: random.Random) -> tuple[str, str]:
    """Bring a service to where one dream runs and one waits."""
    running, queued = service.post(picture, **DREAM), service.post(picture, **SHORT)
    service.at(running, moment.randrange(2, 25))
    pass_s(moment.uniform(0, 0.1))
    return running, queued


@trials(few=1)
def test_a_host_rebooted_in_mid_dream_finishes_it_by_itself_with_the_same_bytes(
    models: Path,
    picture: Path,
    tmp_path: Path,
    figures: Callable[[str], Figures],
    moment: random.Random,
    compare: Callable[..., None],
) -> None:
    """All processes at once, and what Redis wrote last is torn: nobody does more than start it."""
    seen = figures("16 the host loses its power in mid-dream (hasty)")
    data = tmp_path / "data"
    with serving(data, models, hasty=True) as service:
        running, queued = in_mid_dream(service, picture, moment)
        gone = service.vanish()
    whole = aof(data).read_bytes()
    aof(data).write_bytes(whole[: len(whole) - moment.randrange(UNWRITTEN)])

    with serving(data, models, hasty=True) as service:
        seen.recovered(service.goes_on(running, gone))
        for job_id, fields in ((running, DREAM), (queued, SHORT)):
            succeeded(service.ended(job_id))
            compare(service, job_id, seen, **fields)
        service.check(seen, went_back=True)


@pytest.mark.parametrize("copied", ["everything", "pictures only"])
@trials(few=1)
def test_a_copy_started_elsewhere_has_all_dreams_and_goes_on_with_the_same_bytes(
    models: Path,
    picture: Path,
    tmp_path: Path,
    figures: Callable[[str], Figures],
    moment: random.Random,
    compare: Callable[..., None],
    copied: str,
) -> None:
    """Stop, copy, start: another path, another port; Redis' data are no must."""
    seen = figures(f"17 stopped, copied ({copied}), started elsewhere (hasty)")
    here, there = tmp_path / "here" / "data", tmp_path / "there" / "dreams of a year"
    with serving(here, models, hasty=True) as service:
        done = service.post(picture, **SHORT)
        was, pictures = service.ended(done), service.pictures(done)
        running, queued = in_mid_dream(service, picture, moment)
    if copied == "everything":
        shutil.copytree(here, there, ignore=lambda *_: {"valkey.sock"})
    else:
        shutil.copytree(here / "dreams", there / "dreams")

    with serving(there, models, hasty=True) as service:
        now = service.job(done)
        assert (now.status, now.spec, now.frames) == (was.status, was.spec, was.frames)
        assert (now.created_at, now.finished_at) == (was.created_at, was.finished_at)
        assert service.pictures(done) == pictures
        for job_id, fields in ((running, DREAM), (queued, SHORT)):
            succeeded(service.ended(job_id))
            compare(service, job_id, seen, **fields)
        service.check(seen, went_back=True)


@pytest.mark.parametrize("redis", ["whole", "spoiled"])
def test_a_half_written_volume_never_stops_the_start(
    models: Path, picture: Path, tmp_path: Path, moment: random.Random, redis: str
) -> None:
    """What can be read is there, the rest is set aside, and the log says what and where."""
    data = tmp_path / "data"
    with serving(data, models, hasty=True) as service:
        done, torn = (service.post(picture, **SHORT) for _ in range(2))
        service.ended(torn)
        pictures = service.pictures(done)
        running, blank = in_mid_dream(service, picture, moment)
        service.vanish()
    dreams = data / "dreams"
    (dreams / torn / "job.json").write_bytes((dreams / torn / "job.json").read_bytes()[:40])
    (dreams / blank / "source.png").write_bytes(b"")
    empty = dreams / "01KAT3Y5W7ZQH9N4C8RSBV6XEM"
    (empty / "frames").mkdir(parents=True)
    for leftover in (empty / "source.png", dreams / running / ".job.json.part", data / "dream.pid"):
        leftover.write_bytes(b"half")
    (dreams / ".01KAT3Y5W7ZQH9N4C8RSBV6XEN.gone").mkdir()
    if redis == "spoiled":
        aof(data).write_bytes(aof(data).read_bytes() + b"\0" * 4096)

    with serving(data, models, hasty=True) as service:
        succeeded(service.ended(running))
        failed = service.ended(blank)
        assert service.pictures(done) == pictures
        assert service.get("/readyz").status_code == 200
        kept = {path.name.partition(".")[0]: path for path in (data / "set-aside").iterdir()}
        said = "\n".join(service.lines)

    assert failed.status is Status.FAILED
    assert failed.problem is not None
    assert failed.problem.code == "picture-unreadable"
    lost = {empty.name} | ({torn, "appendonlydir"} if redis == "spoiled" else set())
    assert kept.keys() == lost
    assert all(f"kept as {path}" in said for path in kept.values())
    assert "Traceback" not in said
