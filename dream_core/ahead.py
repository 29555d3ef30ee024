"""Iterations that are started ahead of what is known of them, so that a GPU never waits for us.

An iteration lies where it lies: picture, moments and what it tells are the same tensors each time,
so it can be captured once and replayed. Whether its numbers were finite is found out later: until
then it stands in a flag on the device, and while that is set nothing moves.
"""

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from math import nan
from typing import Protocol

import torch
from torch import Tensor

from dream_core.optim import Adam

# Iterations under way behind the one that is waited for: with one running and one queued a GPU is
# busy, and whoever wants to stop is not kept for long.
AHEAD = 2

Seen = tuple[Mapping[str, Tensor], Tensor]
"""Losses by name, each (), and d loss / d picture, (3, H, W): where the picture lies, unread."""


class Stream(Protocol):
    """Where iterations run, one after the other, while we do something else."""

    def capture(self, iterate: Callable[[], None]) -> Callable[[], None]:
        """Return what does the same faster, if anything does; `iterate` may run meanwhile."""

    def bring(self, tensor: Tensor) -> Callable[[], Tensor]:
        """Start to copy a tensor, as it is by then, to the host; return what waits for it."""


class Told(Mapping[str, float]):
    """The losses of an iteration by name; who reads them, in any thread, waits until it is done.

    They are not a number where the iteration has moved nothing, until it was done again.
    """

    def __init__(self, names: Sequence[str], wait: Callable[[], Tensor]) -> None:
        """Expect a loss for each name, and whether the iteration was lost."""
        self._names = names
        self._wait = wait
        self._row: Sequence[float] | None = None
        self._again: Mapping[str, float] | None = None

    @property
    def lost(self) -> bool:
        """Whether the picture has not moved."""
        return bool(self._arrived()[-1])

    def done_again(self, losses: Mapping[str, float]) -> None:
        """Take the losses of the iteration that moved it after all."""
        self._again = losses

    def _arrived(self) -> Sequence[float]:
        if self._row is None:
            self._row = self._wait().tolist()
        return self._row

    def _losses(self) -> Mapping[str, float]:
        if self.lost:
            return self._again or dict.fromkeys(self._names, nan)
        return dict(zip(self._names, self._arrived(), strict=False))

    def __getitem__(self, name: str) -> float:
        """Return the loss of that name."""
        return self._losses()[name]

    def __iter__(self) -> Iterator[str]:
        """Go through the names."""
        return iter(self._names)

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._names)

    def __repr__(self) -> str:
        """Show them."""
        return repr(self._losses())


class Ahead:
    """Adam's iterations on one stream."""

    def __init__(
        self, picture: Tensor, adam: Adam, look: Callable[[Tensor], Seen], stream: Stream
    ) -> None:
        """Move `picture`; nothing runs yet.

        Args:
            picture: moved in place.
            adam: moves it.
            look: asks at the picture, without waiting for any number.
            stream: where it runs.
        """
        self._picture = picture
        self._adam = adam
        self._look = look
        self._stream = stream
        self._lost = torch.zeros((), device=picture.device)
        self._names: Sequence[str] = ()
        self._row: Tensor | None = None
        self._run: Callable[[], None] | None = None
        self._under_way: deque[Told] = deque()

    @property
    def under_way(self) -> int:
        """How many iterations have been started and not been waited for."""
        return len(self._under_way)

    def start(self) -> Told:
        """Start one iteration more, without waiting for those before."""
        if self._run is None:
            self._run = self._captured()
        self._adam.aim()
        self._run()
        assert self._row is not None  # noqa: S101 (an iteration has run)
        told = Told(self._names, self._stream.bring(self._row))
        self._under_way.append(told)
        return told

    def settle(self, leave: int = 0) -> list[Told]:
        """Wait until no more than `leave` iterations are under way.

        Returns:
            Those that have to be done again, in order: one whose numbers ran out, and all behind
            it, which have moved nothing. The picture and Adam stand before the first of them.
        """
        while len(self._under_way) > leave:
            told = self._under_way.popleft()
            if told.lost:
                again = [told, *self._under_way]
                self._adam.iteration -= len(again)
                self.forget()
                return again
        return []

    def forget(self) -> None:
        """Go on from the picture as it is made now, whatever is under way."""
        self._under_way.clear()
        self._lost.zero_()  # behind all that is under way

    def _captured(self) -> Callable[[], None]:
        """Return what runs an iteration; what is tried out for it moves nothing."""
        self._lost.fill_(1)
        run = self._stream.capture(self._iterate)
        self._lost.zero_()
        return run

    def _iterate(self) -> None:
        """Look, move, and leave in one row what is to be told."""
        losses, gradient = self._look(self._picture)
        found = torch.stack([*losses.values()])
        fine = found.isfinite().all() & gradient.isfinite().all()
        torch.maximum(self._lost, (~fine).to(self._lost.dtype), out=self._lost)
        self._adam.move(self._picture, gradient, self._lost)
        row = torch.cat([found, self._lost.to(found.dtype).view(1)])
        if self._row is None:
            self._names, self._row = tuple(losses), torch.empty_like(row)
        self._row.copy_(row)
