"""The census: nothing in Redis or on disk that isn't a job's, and each job told one story."""

import json
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import redis

from dream_core.errors import DreamError
from jobs.ledger import Ledger
from jobs.record import Job, Status
from jobs.settings import Settings
from jobs.store import Store
from tests.faults.figures import Figures

# What Redis holds beside jobs: our own indexes, the workers, and Celery's bookkeeping, whose size
# doesn't depend on the number of jobs.
OURS = re.compile(
    r"dreams:(all|places|leases|unpublished|paused|held|starts|disk|deadlines|ended|finished|watch)"
    r"|dreams:queued:\w+"
    r"|workers|worker:.+|readyz|figures|dreams:paces(:.+)?"
)
CELERYS = re.compile(r"_kombu\.binding.*|unacked.*|.+\.pidbox|dreams\.(interactive|bulk)(\x06.+)?")
IN_A_JOB = re.compile(r"job\.json|source\.png|ending\.json|frames|checkpoints")
ENDINGS = {status.value for status in Status if status.terminal}


def events(client: redis.Redis, job_id: str) -> list[tuple[float, dict[str, str]]]:
    """Return what happened to a job: seconds since the epoch, and the event."""
    found: Any = client.xrange(f"dream:{job_id}:events")
    return [(int(at.partition("-")[0]) / 1000, event) for at, event in found]


def running(
    settings: Settings,
    client: redis.Redis,
    ledger: Ledger,
    figures: Figures,
    *,
    went_back: bool = False,
) -> list[str]:
    """Return everything that is wrong with the whole service, empty where all is well.

    `went_back`: Redis has lost data, and what the disk told it of frames is nobody's write.
    """
    store = Store(settings.data_dir)
    known = set(client.zrange("dreams:all", 0, -1))
    stored = set(store.ids())
    wrong = [f"{job_id} has a record and no folder" for job_id in known - stored]
    wrong += [f"{job_id} has a folder and no record" for job_id in stored - known]
    wrong += _keys(client, known)
    wrong += [f"left in dreams/: {path.name}" for path in store.root.iterdir() if _nameless(path)]
    for job_id in known & stored:
        job = ledger.get(job_id)
        wrong += _job(settings, client, ledger, job, figures)
        wrong += [] if went_back else _fences(client, job)
    figures.lost += len(known ^ stored)
    return wrong


def _nameless(path: Path) -> bool:
    return path.name.startswith(".")


def _keys(client: redis.Redis, known: set[str]) -> Iterator[str]:
    for key in client.scan_iter(count=1000):
        name, _, rest = str(key).partition(":")
        if name == "dream":
            job_id = rest.partition(":")[0]
            if job_id not in known:
                yield f"an orphan in Redis: {key}"
        elif not (OURS.fullmatch(key) or CELERYS.fullmatch(key)):
            yield f"a key of nobody's: {key!r}"


def _job(
    settings: Settings, client: redis.Redis, ledger: Ledger, job: Job, figures: Figures
) -> list[str]:
    """Return what is wrong with one job that should have ended."""
    if not job.status.terminal:
        figures.lost += 1
        return [f"{job.id} never ended: {job}"]
    wrong = [f"{job.id} is {job.status} and still in {key}" for key in _indexes(client, job.id)]
    ending = Store(settings.data_dir).ending(job.id)
    if ending is None or ending.status is not job.status:
        wrong.append(f"{job.id} is {job.status}, and on disk it is {ending and ending.status}")
    wrong += _story(client, job, figures)
    wrong += _files(settings, client, ledger, job)
    return [f"{fault} ({job.status}, attempt {job.attempt})" for fault in wrong]


def _indexes(client: redis.Redis, job_id: str) -> list[str]:
    """Return the indexes of jobs that have not ended which name a job."""
    scored = ("leases", "unpublished", "deadlines", "ended", "queued:interactive", "queued:bulk")
    found = [key for key in scored if client.zscore(f"dreams:{key}", job_id) is not None]
    if client.hexists("dreams:disk", job_id) or client.sismember("dreams:held", job_id):
        found.append("disk or held")
    return found


def _story(client: redis.Redis, job: Job, figures: Figures) -> list[str]:
    """Read a job's events: one ending and nothing after it, each frame once, by who held it."""
    wrong, told = [], [event for _, event in events(client, job.id)]
    kinds = [event["type"] for event in told]
    endings = [kind for kind in kinds if kind in ENDINGS]
    if endings != [job.status] or kinds[-1] != job.status:
        figures.doubled += 1
        wrong.append(f"{job.id} ended as {endings}, last came {kinds[-1]}")
    seqs = [int(event["seq"]) for event in told]
    if any(later <= earlier for earlier, later in pairwise(seqs)):
        wrong.append(f"{job.id} has a seq that doesn't rise: {seqs}")
    frames = [int(event["iteration"]) for event in told if event["type"] == "frame"]
    if len(frames) != len(set(frames)):
        figures.doubled += 1
        wrong.append(f"{job.id} published a frame twice: {frames}")
    if _longest(kinds) > job.spec["iterations"]:
        figures.doubled += 1
        wrong.append(f"{job.id} had two workers at once: {_longest(kinds)} steps in one attempt")
    return wrong


def _longest(kinds: list[str]) -> int:
    """Return how many steps the longest attempt has told of."""
    lengths = [0]
    for kind in kinds:
        lengths += [0] * (kind == "running")
        lengths[-1] += kind == "progress"
    return max(lengths)


def _fences(client: redis.Redis, job: Job) -> list[str]:
    """Check that each frame was written by the attempt that ran when it was published."""
    fences = _published(client, job.id)
    attempt, wrong = 0, []
    for _, event in events(client, job.id):
        attempt += event["type"] == "running"
        if event["type"] == "frame":
            fence = fences.get(int(event["iteration"]), "0-none")
            if int(fence.partition("-")[0]) != attempt:
                wrong.append(f"{job.id} has frame {event['iteration']} of {fence} in {attempt}")
    return wrong


def _published(client: redis.Redis, job_id: str) -> dict[int, str]:
    found = [json.loads(told) for told in client.zrange(f"dream:{job_id}:frames", 0, -1)]
    return {frame["iteration"]: frame["fence"] for frame in found}


def _files(settings: Settings, client: redis.Redis, ledger: Ledger, job: Job) -> list[str]:
    """Compare a job's folder with what the ledger knows of it: no file missing, none too many."""
    folder = settings.data_dir / "dreams" / job.id
    published = {f"{n}.{fence}.png" for n, fence in _published(client, job.id).items()}
    there = {path.name for path in (folder / "frames").iterdir()}
    wrong = [f"{job.id} has no file {name}" for name in published - there]
    wrong += [f"{job.id} has an orphan {name}" for name in there - published]
    wrong += [
        f"{job.id} has a stray {path.name}"
        for path in folder.iterdir()
        if not IN_A_JOB.fullmatch(path.name)
    ]
    wrong += [
        f"{job.id} has half a checkpoint {path.name}"
        for path in (folder / "checkpoints").iterdir()
        if _nameless(path)
    ]
    frames, _ = ledger.frames(job.id, limit=100_000)
    for frame in frames:
        try:
            size = ledger.frame_path(job.id, frame.iteration).stat().st_size
        except (OSError, DreamError) as error:
            wrong.append(f"{job.id} has no frame {frame.iteration}: {error}")
        else:
            if size != frame.bytes:
                wrong.append(f"{job.id} has a frame of {size} bytes, {frame.bytes} are told")
    if job.status is Status.SUCCEEDED:
        numbers = [frame.iteration for frame in frames]
        last, every = job.spec["iterations"], job.spec["save_every"]
        if numbers != sorted({*range(0, last, every), last}):
            wrong.append(f"{job.id} succeeded with the frames {numbers}")
    return wrong
