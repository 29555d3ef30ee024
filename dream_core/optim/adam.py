"""Adam in torch7's form, on a picture in [0, 1]."""

from math import sqrt

import torch
from torch import Tensor

from dream_core.optim.optimizer import Look, LookAt, State

BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8  # torch7's own defaults
SCALE = 256  # the 2015 program moved BGR × 256 − mean, and its rates and ε are meant there
LATE = 1e9  # an iteration at which 1 − βᵗ is 1 in any float
CHUNK = 1 << 22  # elements moved at once: what is worked out between takes 16 MB, not a picture


class Adam:
    """Follow the gradient by its running mean over its running root mean square.

    Source: optim.adam of torch7: denom = √v + ε before any bias correction, then a step of
    lr · √(1 − β₂ᵗ) / (1 − β₁ᵗ). torch.optim.Adam adds ε after the correction. The gradient with
    respect to [0, 1] is 256 times the program's, so ε is too, and the step is a 256th.
    """

    def __init__(self, picture: Tensor, learning_rate: float, *, fused: bool | None = None) -> None:
        """Start at rest.

        Args:
            picture: what will be moved, (3, H, W).
            learning_rate: on the 2015 scale.
            fused: move by torch's one kernel, in one pass over the picture, which rounds a little
                otherwise than its operators; by default on a CPU and on CUDA devices.
        """
        self.iteration = 0
        self._rate = learning_rate / SCALE
        self._mean = torch.zeros_like(picture)
        self._square = torch.zeros_like(picture)
        self._step = 0.0
        self._fused = picture.device.type in ("cpu", "cuda") if fused is None else fused
        # What a captured graph reads at the device.
        self._step_there = torch.zeros((), device=picture.device) if picture.is_cuda else None
        # An iteration by which the kernel's own correction, which is not torch7's, divides by one.
        self._late = torch.full((), LATE, device=picture.device)

    def follow(self, picture: Tensor, look_at: LookAt) -> Look:
        """Move `picture` in place by one iteration; see `Optimizer.follow`."""
        look = look_at(picture)
        self.aim()
        self.move(picture, look.gradient)
        return look

    def aim(self) -> None:
        """Go on to the next iteration's length of step; nothing moves yet, and nothing waits."""
        self.iteration += 1
        root = sqrt(1 - BETA2**self.iteration)
        self._step = self._rate * root / (1 - BETA1**self.iteration)
        if self._step_there is not None:
            self._step_there.fill_(self._step)

    def move(self, picture: Tensor, gradient: Tensor, lost: Tensor | None = None) -> None:
        """Move `picture` in place, one step as last aimed at.

        Args:
            picture: (3, H, W).
            gradient: d loss / d picture.
            lost: () float32 where the picture is; where it is 1, nothing moves. No GPU is asked
                for it: its kernel looks.
        """
        if self._fused:
            self._move_at_once(picture, gradient, lost)
        elif lost is None or not lost:
            self._move_in_chunks(picture, gradient)

    def _move_in_chunks(self, picture: Tensor, gradient: Tensor) -> None:
        flat = (picture, gradient, self._mean, self._square)
        for one, pull, mean, square in zip(*map(_chunks, flat), strict=True):
            mean.mul_(BETA1).add_(pull, alpha=1 - BETA1)
            square.mul_(BETA2).addcmul_(pull, pull, value=1 - BETA2)
            one.addcdiv_(mean, square.sqrt().add_(EPSILON * SCALE), value=-self._step)

    def _move_at_once(self, picture: Tensor, gradient: Tensor, lost: Tensor | None) -> None:
        torch._fused_adam_(
            *([picture], [gradient], [self._mean], [self._square], [], [self._late]),
            lr=self._step if self._step_there is None else self._step_there,
            beta1=BETA1,
            beta2=BETA2,
            weight_decay=0.0,
            eps=EPSILON * SCALE,
            amsgrad=False,
            maximize=False,
            found_inf=lost,
        )

    def state_dict(self, *, copied: bool = True) -> State:
        """Return the moments and the iteration; see `Optimizer.state_dict`."""
        return {
            "iteration": self.iteration,
            "mean": self._mean.to("cpu", copy=copied),
            "square": self._square.to("cpu", copy=copied),
        }

    def load_state_dict(self, state: State) -> None:
        """Go on from a state; see `Optimizer.load_state_dict`."""
        self.iteration = state["iteration"]
        self._mean.copy_(state["mean"])
        self._square.copy_(state["square"])


def _chunks(tensor: Tensor) -> tuple[Tensor, ...]:
    """Return views of a contiguous tensor, one after the other."""
    chunks: tuple[Tensor, ...] = torch.split(tensor.flatten(), CHUNK)
    return chunks
