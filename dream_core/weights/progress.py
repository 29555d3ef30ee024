"""How far a pull has come."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

Phase = Literal["waiting", "downloading", "converting"]


@dataclass(frozen=True)
class PullProgress:
    """One report of a pull; `waiting` means that another process is pulling the same model."""

    model: str
    phase: Phase
    bytes_done: int = 0
    bytes_total: int | None = None


Report = Callable[[PullProgress], None]
Count = Callable[[int, int | None], None]  # bytes done, bytes in all where known


def silent(_: PullProgress) -> None:
    """Report to nobody."""
