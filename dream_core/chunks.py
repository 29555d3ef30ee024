"""A tensor worked on a little at a time: for what takes less time than threads take to meet."""

import torch
from torch import Tensor

# From more elements on, torch shares an operator among its threads: microseconds of work, and on
# cores that others use too, each time milliseconds until the last of them has had its turn. So many
# also stay in the nearest caches from one operator to the next.
ALONE = 1 << 15
# Elsewhere than on a CPU: what is worked out in between takes 16 MB, not a picture.
FEW = 1 << 22


def chunks(tensor: Tensor) -> tuple[Tensor, ...]:
    """Return views of a contiguous tensor, one after the other, each of one dimension.

    Raises:
        RuntimeError: it isn't contiguous; what is written on copies would be lost.
    """
    few = ALONE if tensor.device.type == "cpu" else FEW
    found: tuple[Tensor, ...] = torch.split(tensor.view(-1), few)
    return found
