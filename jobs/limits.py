"""What a deployment takes on at once."""

from dataclasses import dataclass
from typing import Self

from jobs.settings import Settings


@dataclass(frozen=True)
class Limits:
    """Dreams that may wait, and bytes of disk that stay free."""

    max_queued: int = 1000
    min_free_disk: int = 0

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Return the limits that the settings name."""
        return cls(settings.max_queued, settings.min_free_disk)
