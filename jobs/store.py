"""The store: one folder a job, under `DATA/dreams/ID/`.

    job.json  source.png        what was accepted
    frames/N.FENCE.png          the picture at iteration N, as the attempt FENCE wrote it
    ending.json                 how it ended
    checkpoints/N.FENCE         the state at iteration N, as the attempt FENCE left it

Accepted means on disk: when `create` returns, file and folder are fsynced. Only `create` makes a
job's folder, so that a worker that came too late can't bring a deleted one back.
"""

import hashlib
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from jobs.errors import StoreFault, UnknownDream
from jobs.record import Ending, Order, Source

CHECKPOINTS_KEPT = 2  # the one before is used where the last can't be read

_ID = re.compile(r"[0-9A-HJKMNP-TV-Z]{26}")  # a ULID; anything else never becomes a path


class Picture(Protocol):
    """An upright picture, as `dream_core.picture.read` returns it."""

    @property
    def height(self) -> int: ...  # noqa: D102
    @property
    def width(self) -> int: ...  # noqa: D102
    def save_png(self, target: Path) -> None: ...  # noqa: D102


class Store:
    """The pictures and accepted orders of all jobs.

    Every method raises `StoreFault` where the system refuses: disk full, folder read-only.
    """

    def __init__(self, data_dir: Path) -> None:
        """Keep everything under `data_dir`."""
        self.root = data_dir / "dreams"

    def create(self, job_id: str, picture: Picture, order: Order) -> Order:
        """Put picture and order on disk, safe from a power cut; return the order with its source.

        The folder gets its name when it is whole, so one that has an id was accepted.
        """
        folder = self._folder(job_id)
        new = self.root / f".{job_id}.new"
        try:
            with _faults(folder):
                (new / "frames").mkdir(parents=True)
                (new / "checkpoints").mkdir()
                source = _save_source(new / "source.png", picture)
                order = order.model_copy(update={"source": source})
                _write(new / "job.json", order.model_dump_json().encode())
                new.rename(folder)
                _sync_folder(self.root)
        except BaseException:
            shutil.rmtree(new, ignore_errors=True)
            raise
        return order

    def discard(self, job_id: str) -> None:
        """Remove a job's folder; it loses its name first, so that half of one is never seen."""
        folder, gone = self._folder(job_id), self.root / f".{job_id}.gone"
        with _faults(folder):
            if folder.exists():
                folder.rename(gone)
        shutil.rmtree(gone, ignore_errors=True)

    def order(self, job_id: str) -> Order:
        """Return what was accepted."""
        path = self._folder(job_id) / "job.json"
        with _faults(path):
            return Order.model_validate_json(path.read_bytes())

    def write_ending(self, job_id: str, ending: Ending) -> None:
        """Keep how a job ended beside what was asked."""
        path = self._folder(job_id) / "ending.json"
        with _faults(path):
            _write(path, ending.model_dump_json().encode())

    def ending(self, job_id: str) -> Ending | None:
        """Return how a job ended, None if it has not."""
        path = self._folder(job_id) / "ending.json"
        with _faults(path):
            return Ending.model_validate_json(path.read_bytes()) if path.exists() else None

    def frames(self, job_id: str) -> dict[int, Path]:
        """Return one file for each iteration that any attempt has written."""
        found = sorted((self._folder(job_id) / "frames").glob("[0-9]*.png"))
        return {int(path.name.partition(".")[0]): path for path in found}

    def ids(self) -> list[str]:
        """Return the ids of all accepted jobs, oldest first."""
        with _faults(self.root):
            return sorted(path.name for path in self.root.glob("*") if _ID.fullmatch(path.name))

    def source_path(self, job_id: str) -> Path:
        """Return where the upright source lies."""
        return self._folder(job_id) / "source.png"

    def read_source(self, job_id: str) -> bytes:
        """Return the upright source as it is stored, a PNG."""
        path = self.source_path(job_id)
        with _faults(path):
            return path.read_bytes()

    def write_frame(self, job_id: str, iteration: int, fence: str, png: bytes) -> Path:
        """Put a frame on disk, whole or not at all."""
        path = self.frame_path(job_id, iteration, fence)
        with _faults(path):
            _write(path, png)
        return path

    def frame_path(self, job_id: str, iteration: int, fence: str) -> Path:
        """Return where the frame that an attempt wrote lies; the published one is the ledger's."""
        return self._folder(job_id) / "frames" / f"{iteration}.{fence}.png"

    def write_checkpoint(self, job_id: str, iteration: int, fence: str, state: bytes) -> None:
        """Put a state on disk, whole or not at all; an attempt keeps its last two."""
        folder = self._folder(job_id) / "checkpoints"
        with _faults(folder):
            _write(folder / f"{iteration}.{fence}", state)
            for old in self._checkpoints(job_id, fence)[CHECKPOINTS_KEPT:]:
                old.unlink()

    def checkpoints(self, job_id: str) -> list[Path]:
        """Return all states of a job, the furthest first."""
        return self._checkpoints(job_id, "*")

    def _checkpoints(self, job_id: str, fence: str) -> list[Path]:
        found = (self._folder(job_id) / "checkpoints").glob(f"[0-9]*.{fence}")
        return sorted(found, key=lambda path: int(path.name.partition(".")[0]), reverse=True)

    def _folder(self, job_id: str) -> Path:
        if not _ID.fullmatch(job_id):
            raise UnknownDream(job_id)
        return self.root / job_id


def _save_source(path: Path, picture: Picture) -> Source:
    picture.save_png(path)
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        os.fsync(file.fileno())
    return Source(width=picture.width, height=picture.height, sha256=digest)


def _write(path: Path, data: bytes) -> None:
    """Write a file so that its name always stands for the whole of it, after a power cut too."""
    part = path.with_name(f".{path.name}.part")
    with part.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    part.rename(path)
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _faults(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StoreFault(path, error.strerror or error) from error
