"""The store: one folder a job, under `DATA/dreams/ID/`.

    job.json  source.png        what was accepted
    frames/N.FENCE.png          the picture at iteration N, as the attempt FENCE wrote it
    ending.json                 how it ended
    checkpoints/N.FENCE         the state at iteration N, as the attempt FENCE left it
    start                       the parent's state that it goes on from, where it continues one

Accepted means on disk: when `create` returns, file and folder are fsynced. Only `create` makes a
job's folder, so that a worker that came too late can't bring a deleted one back.
"""

import hashlib
import json
import logging
import os
import re
import shutil
import struct
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Protocol

from jobs.errors import StoreFault, UnknownDream, UnknownVersion
from jobs.record import VERSION, Ending, Order, Source

log = logging.getLogger(__name__)

START = "start"
CANCEL = "cancel"
PNG_ALPHA = 4  # bit of a PNG's color type
ASIDE = "set-aside"
LEFT_AFTER_S = 3600  # no picture is written for so long
CHECKPOINTS_KEPT = 2  # the one before is used where the last can't be read

_ID = re.compile(r"[0-9A-HJKMNP-TV-Z]{26}")  # a ULID; anything else never becomes a path


Write = Callable[[IO[bytes]], object]
"""Writes what is too large to lie in memory once more to a file that is empty."""


class Picture(Protocol):
    """An upright picture, as `dream_core.picture.read` returns it."""

    @property
    def height(self) -> int: ...  # noqa: D102
    @property
    def width(self) -> int: ...  # noqa: D102
    def save_png(self, target: Path) -> None: ...  # noqa: D102


@dataclass(frozen=True)
class Start:
    """A state that a dream can begin at."""

    iteration: int
    path: Path


@dataclass(frozen=True)
class StoredPicture:
    """A source that is in the store."""

    path: Path
    height: int
    width: int

    @property
    def alpha(self) -> bool | None:
        """Whether it has an alpha channel; None as a picture without one says it."""
        with _faults(self.path), self.path.open("rb") as file:
            return True if file.read(26)[25] & PNG_ALPHA else None

    def save_png(self, target: Path) -> None:
        """Store it once more; no file in the store is ever changed, so two names may share one."""
        _link(self.path, target)


class Store:
    """The pictures and accepted orders of all jobs.

    Every method raises `StoreFault` where the system refuses: disk full, folder read-only.
    """

    def __init__(self, data_dir: Path) -> None:
        """Keep everything under `data_dir`."""
        self.root = data_dir / "dreams"
        self.aside = data_dir / ASIDE

    def create(
        self, job_id: str, picture: Picture, order: Order, start: Start | None = None
    ) -> Order:
        """Put picture and order on disk, safe from a power cut; return the order with its source.

        `start` is the state that the dream begins at, where that isn't its source.

        The folder gets its name when it is whole, so one that has an id was accepted.
        """
        folder = self._folder(job_id)
        new = self.root / f".{job_id}.new"
        try:
            with _faults(folder):
                (new / "frames").mkdir(parents=True)
                (new / "checkpoints").mkdir()
                source = _save_source(new / "source.png", picture)
                if start:
                    _link(start.path, new / START)
                order = order.model_copy(update={"source": source})
                _write(new / "job.json", order.model_dump_json().encode())
                new.rename(folder)
                _sync_folder(self.root)
        except BaseException:
            shutil.rmtree(new, ignore_errors=True)
            raise
        return order

    def has(self, job_id: str) -> bool:
        """Whether the job has a folder."""
        return self._folder(job_id).exists()

    def picture(self, job_id: str, source: Source) -> Picture:
        """Return the upright source of a job, to be stored for another one."""
        return StoredPicture(self.source_path(job_id), source.height, source.width)

    def start(self, job_id: str) -> Start | None:
        """Return the state of the parent that a job goes on from, None where it does from none."""
        path = self._folder(job_id) / START
        begins_at = self.order(job_id).begins_at
        return Start(begins_at, path) if path.exists() else None

    def last_state(self, job_id: str) -> Start | None:
        """Return the furthest state of a job; None where it has left none."""
        found = self.checkpoints(job_id)
        return Start(_iteration(found[0]), found[0]) if found else self.start(job_id)

    def free_bytes(self) -> int:
        """Return what the disk has left for us."""
        with _faults(self.root):
            self.root.mkdir(parents=True, exist_ok=True)
            return shutil.disk_usage(self.root).free

    def tidy(self, job_id: str, published: Collection[tuple[int, str]]) -> None:
        """Remove what a job that has ended doesn't need: frames that aren't (iteration, fence) of a
        published one, unfinished files, all states but the furthest, and a cancel that was heard.
        """  # noqa: D205
        folder = self._folder(job_id)
        self.withdraw_cancel(job_id)
        halves = folder.glob(".*.part")
        kept = {self.frame_path(job_id, *each) for each in published}
        with _faults(folder):
            kept.update(self.checkpoints(job_id)[:1])
            files = (*(folder / "frames").iterdir(), *(folder / "checkpoints").iterdir())
            for path in (*files, *halves):
                if path not in kept:
                    path.unlink(missing_ok=True)

    def discard(self, job_id: str) -> None:
        """Remove a job's folder; it loses its name first, so that half of one is never seen."""
        folder, gone = self._folder(job_id), self.root / f".{job_id}.gone"
        with _faults(folder), suppress(FileNotFoundError):  # or somebody else removes it just now
            folder.rename(gone)
        shutil.rmtree(gone, ignore_errors=True)

    def clear_leftovers(self) -> None:
        """Remove what was half made or half removed when a process ended."""
        with _faults(self.root):
            for path in (*self.root.glob(".*.gone"), *self.root.glob(".*.new")):
                if path.suffix == ".gone" or _age_s(path) > LEFT_AFTER_S:
                    shutil.rmtree(path, ignore_errors=True)

    def set_aside(self, job_id: str) -> Path:
        """Move a folder that can't be read to where nobody looks for dreams; return where."""
        with _faults(self.aside):
            return set_aside(self._folder(job_id), self.aside)

    def clear_set_aside(self, older_than_s: float) -> None:
        """Remove what was set aside so long ago."""
        with _faults(self.aside):
            for path in self.aside.glob("*"):
                if _age_s(path) > older_than_s:
                    shutil.rmtree(path, ignore_errors=True)

    def changed_at(self, job_id: str) -> float | None:
        """Return when a file of a job last came or went, Unix time; None where it has no folder."""
        folder = self._folder(job_id)
        with _faults(folder):
            found = [path for path in (folder, *folder.glob("[fc]*s")) if path.exists()]
            return max((path.stat().st_mtime for path in found), default=None)

    def order(self, job_id: str) -> Order:
        """Return what was accepted.

        Raises:
            UnknownVersion: another release has written it.
            ValueError: it is no whole order.
        """
        path = self._folder(job_id) / "job.json"
        with _faults(path):
            if not path.exists() and path.parent.exists():
                raise ValueError("there is none")  # a folder gets its name when it is whole
            order = Order.model_validate(_read(path))
            if order.source is None:
                raise ValueError("it names no source")
            return order

    def ask_to_cancel(self, job_id: str) -> None:
        """Keep that a job is to be canceled, until it has ended."""
        path = self._folder(job_id) / CANCEL
        with _faults(path):
            _write(path, b"")

    def asked_to_cancel(self, job_id: str) -> bool:
        """Whether a job that has not ended is to be canceled."""
        return (self._folder(job_id) / CANCEL).exists()

    def withdraw_cancel(self, job_id: str) -> None:
        """Forget `ask_to_cancel`: whoever asked was told that it didn't go through."""
        path = self._folder(job_id) / CANCEL
        with _faults(path):
            path.unlink(missing_ok=True)

    def write_ending(self, job_id: str, ending: Ending) -> None:
        """Keep how a job ended beside what was asked."""
        path = self._folder(job_id) / "ending.json"
        with _faults(path):
            _write(path, ending.model_dump_json().encode())

    def ending(self, job_id: str) -> Ending | None:
        """Return how a job ended, None if it has not; raises as `order` does."""
        path = self._folder(job_id) / "ending.json"
        with _faults(path):
            return Ending.model_validate(_read(path)) if path.exists() else None

    def frames(self, job_id: str) -> dict[int, Path]:
        """Return one file for each iteration that any attempt has written."""
        found = sorted((self._folder(job_id) / "frames").glob("[0-9]*.png"))
        return {_iteration(path): path for path in found}

    def found(self, job_id: str) -> list[tuple[int, str]]:
        """Return `frames` as the ledger would know them, with their iterations, in order.

        Raises:
            StoreFault: the disk doesn't give them.
        """
        found = []
        for iteration, path in sorted(self.frames(job_id).items()):
            with _faults(path):
                try:
                    size, length = _size(path), path.stat().st_size
                except FileNotFoundError:  # its attempt was told that another has published it
                    continue
            if size is None:
                log.warning("frame %s is left: it is no PNG", path)
                continue
            frame = {
                "iteration": iteration,
                "width": size[0],
                "height": size[1],
                "bytes": length,
                "fence": path.name.split(".")[1],
            }
            found.append((iteration, json.dumps(frame)))
        return found

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

    def write_checkpoint(self, job_id: str, iteration: int, fence: str, write: Write) -> Path:
        """Put a state on disk, as `write` writes it, whole or not at all.

        An attempt keeps its last two. When it has two, those of the attempts before it go: however
        often a job is killed, it takes no more than a few.
        """
        folder = self._folder(job_id) / "checkpoints"
        path = folder / f"{iteration}.{fence}"
        with _faults(folder):
            _write_by(path, write)
            ours = self._checkpoints(job_id, fence)
            old = ours[CHECKPOINTS_KEPT:]
            if len(ours) >= CHECKPOINTS_KEPT:
                old += [
                    each for each in self.checkpoints(job_id) if _attempt(each) < _attempt(path)
                ]
            for each in old:
                each.unlink(missing_ok=True)
        return path

    def checkpoints(self, job_id: str) -> list[Path]:
        """Return all states of a job, the furthest first."""
        return self._checkpoints(job_id, "*")

    def _checkpoints(self, job_id: str, fence: str) -> list[Path]:
        found = (self._folder(job_id) / "checkpoints").glob(f"[0-9]*.{fence}")
        return sorted(found, key=_iteration, reverse=True)

    def _folder(self, job_id: str) -> Path:
        if not _ID.fullmatch(job_id):
            raise UnknownDream(job_id)
        return self.root / job_id


def set_aside(path: Path, aside: Path) -> Path:
    """Move what can't be read into a folder of such things; return where it is now."""
    aside.mkdir(parents=True, exist_ok=True)
    target = aside / f"{path.name}.{time.time_ns()}"
    path.rename(target)
    os.utime(target)  # from now on its age counts
    return target


def _age_s(path: Path) -> float:
    """Return the seconds since a file or the entries of a folder changed; 0 where it is gone."""
    try:
        return time.time() - path.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def _iteration(path: Path) -> int:
    """Return the number that a frame's or a checkpoint's name begins with."""
    return int(path.name.partition(".")[0])


def _attempt(path: Path) -> int:
    """Return the attempt that a checkpoint's name ends with: the number of its fence."""
    return int(path.name.partition(".")[2].partition("-")[0])


def _read(path: Path) -> Any:
    """Return what a file of JSON holds, if this release knows its version."""
    told = json.loads(path.read_bytes())
    if isinstance(told, dict) and told.get("version", VERSION) != VERSION:
        raise UnknownVersion(str(path), told["version"], VERSION)
    return told


def _link(path: Path, target: Path) -> None:
    """Give a file another name; where the file system can't, copy it."""
    try:
        target.hardlink_to(path)
    except FileNotFoundError:
        raise
    except OSError:
        shutil.copyfile(path, target)
        with target.open("rb") as file:
            os.fsync(file.fileno())


def _save_source(path: Path, picture: Picture) -> Source:
    picture.save_png(path)
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        os.fsync(file.fileno())
    return Source(width=picture.width, height=picture.height, sha256=digest)


def _write(path: Path, data: bytes) -> None:
    _write_by(path, lambda file: file.write(data))


def _write_by(path: Path, write: Write) -> None:
    """Write a file so that its name always stands for the whole of it, after a power cut too."""
    part = path.with_name(f".{path.name}.part")
    try:
        with part.open("wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        part.rename(path)
    except BaseException:
        with suppress(OSError):  # half a file helps nobody, least of all on a full disk
            part.unlink()
        raise
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
        raise StoreFault(path, error.strerror or error, error.errno) from error


def _size(path: Path) -> tuple[int, int] | None:
    """Return width and height, with which a PNG's first chunk begins; None where it is none."""
    with path.open("rb") as file:
        header = file.read(24)
    if len(header) < 24 or not header.startswith(b"\x89PNG"):
        return None
    width, height = struct.unpack(">II", header[16:])
    return width, height
