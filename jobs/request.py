"""What is asked of the ledger: a new dream, or one that comes from another."""

from dataclasses import dataclass
from typing import Any, Self

from dream_core.errors import FieldFault, InvalidSpec
from dream_core.spec import DreamSpec
from jobs.disk import Footprint, largest_png
from jobs.errors import NoState, NotFinished
from jobs.record import Job, QueueName
from jobs.store import Picture, Start, Store


@dataclass(frozen=True)
class Request:
    """All of an order that the ledger doesn't give itself."""

    picture: Picture
    spec: dict[str, Any]
    owner: str
    queue: QueueName
    parent: str | None = None
    start: Start | None = None  # the parent's state that it goes on from

    @property
    def begins_at(self) -> int:
        """Iteration of its first frame."""
        return self.start.iteration if self.start else 0

    def footprint(self, source_bytes: int = 0) -> Footprint:
        """Return the disk that it may take; without a word about alpha, its picture has some.

        Args:
            source_bytes: of the stored source, as far as it isn't on the disk yet.
        """
        has_alpha = getattr(self.picture, "alpha", self.picture) is not None
        return Footprint.of(
            self.spec,
            self.picture.height,
            self.picture.width,
            has_alpha=has_alpha,
            begins_at=self.begins_at,
            source_bytes=source_bytes,
        )

    @property
    def source_bytes(self) -> int:
        """What its source may take on the disk, at most."""
        return largest_png(self.picture.height, self.picture.width, 4)

    @classmethod
    def again(cls, parent: Job, store: Store) -> Self:
        """Ask for the same once more; what was continued is continued once more.

        Raises:
            NotFinished: the parent has not ended.
        """
        _check_finished(parent)
        start = store.start(parent.id) if store.order(parent.id).begins_at else None
        return cls._after(parent, store, parent.spec, start)

    @classmethod
    def further(cls, parent: Job, iterations: int, store: Store) -> Self:
        """Ask for so many more iterations than the parent's last state has.

        Raises:
            NotFinished: the parent has not ended.
            NoState: it has left no state.
            InvalidSpec: fewer than 1 more, or more in all than a dream may have.
        """
        _check_finished(parent)
        start = store.last_state(parent.id)
        if start is None:
            raise NoState(parent.id, parent.status)
        spec = {**parent.spec, "iterations": _total(start.iteration, iterations)}
        return cls._after(parent, store, spec, start)

    @classmethod
    def _after(cls, parent: Job, store: Store, spec: dict[str, Any], start: Start | None) -> Self:
        """Return a request with the parent's source, owner and queue."""
        order, picture = store.order(parent.id), store.picture(parent.id, parent.source)
        return cls(picture, spec, order.owner, order.queue, parent.id, start)


def _check_finished(parent: Job) -> None:
    if not parent.status.terminal:
        raise NotFinished(parent.id, parent.status)


def _total(begun: int, more: int) -> int:
    """Return the iterations of a dream that goes on for `more`.

    Raises:
        InvalidSpec: that is no dream.
    """
    limit = next(
        rule.le for rule in DreamSpec.model_fields["iterations"].metadata if hasattr(rule, "le")
    )
    if more >= 1 and begun + more <= limit:
        return begun + more
    sentence = (
        f"{more} more iterations after {begun} make {begun + more}, the limit is {limit}; "
        f"ask for 1 to {limit - begun}"
        if more >= 1
        else f"iterations is {more}: a dream goes on for 1 or more"
    )
    raise InvalidSpec([FieldFault("iterations", more, sentence)])
