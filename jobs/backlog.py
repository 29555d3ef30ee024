"""The backlog: what waits and runs, and whether the queue is held for maintenance."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from jobs.document import moment
from jobs.presence import Presence
from jobs.record import Moment


class Line(BaseModel):
    """One queue."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    queued: int
    oldest_at: Moment | None = Field(description="when the job that waits longest was accepted")
    oldest_age_s: float | None = Field(description="how long it has waited")


class QueueState(BaseModel):
    """What waits and runs now."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    paused: bool = Field(description="no queued job is started; those that run go on")
    since: Moment | None = Field(description="when it was paused")
    queued: int
    running: int = Field(description="canceling ones too")
    queues: dict[str, Line] = Field(description="by name: interactive, bulk")
    workers: list[Presence] = Field(description="all that are up")

    @classmethod
    def of(cls, told: Any, workers: list[Presence]) -> "QueueState":
        """Return the state that the `queue` script tells."""
        paused, running, now, *lines = told
        queues = {name: _line(count, oldest, now) for name, count, oldest in lines}
        return cls(
            paused=bool(paused),
            since=moment(paused or None),
            queued=sum(line.queued for line in queues.values()),
            running=running,
            queues=queues,
            workers=workers,
        )


def _line(count: int, oldest: str | None, now: int) -> Line:
    age_s = round(max(now - int(oldest), 0) / 1000, 3) if oldest else None
    return Line(queued=count, oldest_at=moment(oldest), oldest_age_s=age_s)
