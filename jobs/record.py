"""The job record: its states, the moves between them, and the document that everyone reads."""

from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer

from dream_core.costs import Costs
from dream_core.errors import DreamError

VERSION: Final = 1  # of the record in Redis, its files and its messages
QUEUES = ("interactive", "bulk")
QueueName = Literal["interactive", "bulk"]


class Status(StrEnum):
    """Where a job stands."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    CANCELING = "canceling"
    CANCELED = "canceled"
    FAILED = "failed"
    EXPIRED = "expired"

    @property
    def terminal(self) -> bool:
        """Whether nothing can follow."""
        return not MOVES[self]


# Every move there is. The ledger's scripts are given this very table: what isn't here can't happen.
MOVES: dict[Status, frozenset[Status]] = {
    Status.QUEUED: frozenset({Status.RUNNING, Status.CANCELED, Status.EXPIRED}),
    Status.RUNNING: frozenset(
        {Status.SUCCEEDED, Status.FAILED, Status.CANCELING, Status.QUEUED}  # queued: given back
    ),
    Status.CANCELING: frozenset({Status.CANCELED}),
    Status.SUCCEEDED: frozenset(),
    Status.CANCELED: frozenset(),
    Status.FAILED: frozenset(),
    Status.EXPIRED: frozenset(),
}


def _written(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


Moment = Annotated[datetime, PlainSerializer(_written, return_type=str, when_used="json")]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Source(_Part):
    """The picture that was posted, upright, at its own size."""

    width: int
    height: int
    sha256: str = Field(description="of the PNG that is stored and served as /source")


class Run(_Part):
    """How the dream is run: fixed when it starts."""

    width: int = Field(description="of the frames")
    height: int
    device: str
    plan: dict[str, Any] = Field(description="executor, threads and all that decides the bytes")
    versions: dict[str, str]
    predicted_bytes: int | None = Field(
        None, description="memory that it is predicted to need at most"
    )
    free_bytes: int | None = Field(None, description="memory that the device had before it began")
    multiply_adds: float | None = Field(None, description="of an iteration: its work")
    costs: Costs | None = Field(None, description="the same by kind, of which its time is foretold")


class Progress(_Part):
    """How far the dream is."""

    iteration: int = 0
    iterations: int
    fraction: float = Field(0.0, ge=0, le=1)
    octave: int = 0
    losses: dict[str, float | None] = Field(
        default_factory=dict, description="by layer, at the frame before; null: not a number"
    )
    seconds_per_iteration: float | None = None
    eta_s: float | None = Field(None, description="seconds to its end; null unless it runs")

    @classmethod
    def at(cls, iteration: int, iterations: int) -> Self:
        """Return where a dream stands that begins at an iteration."""
        return cls(iteration=iteration, iterations=iterations, fraction=iteration / iterations)


class Queue(_Part):
    """Where a queued job stands in its queue."""

    position: int | None = Field(None, description="1 is the next; null when not queued")
    waits_for: str | None = Field(None, description="what has to happen first, in words")


class Frames(_Part):
    """Which frames there are."""

    count: int = 0
    latest: int | None = None


class Problem(_Part):
    """Why a job failed: what the API answers as problem+json."""

    code: str
    title: str
    detail: str

    @classmethod
    def of(cls, error: DreamError) -> Self:
        """Return the problem that an error of ours tells."""
        return cls(code=error.code, title=error.title, detail=str(error))


class Frame(_Part):
    """One picture of a dream, numbered by iteration; 0 is the source as the engine sees it."""

    iteration: int
    width: int
    height: int
    bytes: int


class Order(_Part):
    """What was accepted: `job.json` in the job's folder, from which a lost ledger is filled."""

    version: Literal[1] = 1
    id: str
    owner: str
    queue: QueueName
    parent: str | None = None
    begins_at: int = Field(0, description="iteration of the parent's state that it goes on from")
    request: str | None = Field(None, description="id of the request that asked for it; for logs")
    spec: dict[str, Any]
    source: Source | None = Field(None, description="known once it is stored")
    created_at: Moment
    expires_at: Moment | None = None


class Ending(_Part):
    """How a job ended: `ending.json` in its folder, so that a lost ledger doesn't run it again."""

    version: Literal[1] = 1
    status: Status
    seq: int
    attempt: int
    run: Run | None
    progress: Progress
    problem: Problem | None
    started_at: Moment | None
    finished_at: Moment | None
    frames: list[str] = Field(description="as the ledger keeps them: JSON, with the fence")


class Job(_Part):
    """The job document, without links. Nothing is left out; null is what isn't known yet."""

    id: str = Field(description="a ULID: sorts by time")
    status: Status
    seq: int = Field(
        description="rises at every change of the record; further where Redis restarted"
    )
    parent: str | None
    spec: dict[str, Any] = Field(description="resolved: posted again it gives the same dream")
    source: Source
    run: Run | None
    progress: Progress
    queue: Queue
    attempt: int = Field(description="number of the claim; 0 before the first")
    frames: Frames
    created_at: Moment
    started_at: Moment | None
    finished_at: Moment | None
    expires_at: Moment | None
    problem: Problem | None
