"""What every optimizer can do: look at the picture, move it, and tell its state."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor

State = dict[str, Any]
"""Tensors, numbers and lists of them: what `torch.save` writes and a safe `torch.load` reads."""


@dataclass(frozen=True)
class Look:
    """The loss at one picture. Everything in it is finite."""

    losses: Mapping[str, float]  # by layer
    gradient: Tensor  # d loss / d picture, (3, H, W)
    note: str = ""  # how it was taken, where that is to be known

    @property
    def loss(self) -> float:
        """The sum over all layers."""
        return sum(self.losses.values())


LookAt = Callable[[Tensor], Look]
"""From a picture, (3, H, W), to the loss there; raises `NotFinite` where there is none."""


class Optimizer(Protocol):
    """Moves a picture, once an iteration."""

    def follow(self, picture: Tensor, look_at: LookAt) -> Look:
        """Move `picture` in place by one iteration; return the look before the move.

        Raises:
            NotFinite: there is no finite gradient here. The picture has not moved.
        """

    def state_dict(self, *, copied: bool = True) -> State:
        """Return all that the next iteration depends on, on the CPU.

        Not `copied`, it may be what the next iteration changes.
        """

    def load_state_dict(self, state: State) -> None:
        """Go on from a state: the next iteration has the same bits as if never interrupted."""
