"""Adam in torch7's form, on a picture in [0, 1]."""

from math import sqrt

import torch
from torch import Tensor

from dream_core.optim.optimizer import Look, LookAt, State

BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8  # torch7's own defaults
SCALE = 256  # the 2015 program moved BGR × 256 − mean, and its rates and ε are meant there
CHUNK = 1 << 22  # elements moved at once: what is worked out between takes 16 MB, not a picture


class Adam:
    """Follow the gradient by its running mean over its running root mean square.

    Source: optim.adam of torch7: denom = √v + ε before any bias correction, then a step of
    lr · √(1 − β₂ᵗ) / (1 − β₁ᵗ). torch.optim.Adam adds ε after the correction. The gradient with
    respect to [0, 1] is 256 times the program's, so ε is too, and the step is a 256th.
    """

    def __init__(self, picture: Tensor, learning_rate: float) -> None:
        """Start at rest; `learning_rate` is on the 2015 scale."""
        self._rate = learning_rate / SCALE
        self._iteration = 0
        self._mean = torch.zeros_like(picture)
        self._square = torch.zeros_like(picture)

    def follow(self, picture: Tensor, look_at: LookAt) -> Look:
        """Move `picture` in place by one iteration; see `Optimizer.follow`."""
        look = look_at(picture)
        self._iteration += 1
        rate = self._rate * sqrt(1 - BETA2**self._iteration) / (1 - BETA1**self._iteration)
        flat = (picture, look.gradient, self._mean, self._square)
        for one, pull, mean, square in zip(*map(_chunks, flat), strict=True):
            mean.mul_(BETA1).add_(pull, alpha=1 - BETA1)
            square.mul_(BETA2).addcmul_(pull, pull, value=1 - BETA2)
            one.addcdiv_(mean, square.sqrt().add_(EPSILON * SCALE), value=-rate)
        return look

    def state_dict(self) -> State:
        """Return the moments and the iteration; see `Optimizer.state_dict`."""
        return {
            "iteration": self._iteration,
            "mean": self._mean.to("cpu", copy=True),
            "square": self._square.to("cpu", copy=True),
        }

    def load_state_dict(self, state: State) -> None:
        """Go on from a state; see `Optimizer.load_state_dict`."""
        self._iteration = state["iteration"]
        self._mean.copy_(state["mean"])
        self._square.copy_(state["square"])


def _chunks(tensor: Tensor) -> tuple[Tensor, ...]:
    """Return views of a contiguous tensor, one after the other."""
    chunks: tuple[Tensor, ...] = torch.split(tensor.flatten(), CHUNK)
    return chunks
