"""From a picture to what a network eats, and a gradient's way back."""

import torch
from torch import Tensor

from dream_core.model import Preprocessing


class Preprocess:
    """Turn RGB in [0, 1] into (scale · x[order] − mean) / std, and pull gradients back through it.

    Linear, so the way back is written out: no executor has to differentiate it.
    """

    def __init__(self, rule: Preprocessing, device: torch.device, dtype: torch.dtype) -> None:
        """Put the constants where the network runs."""
        # On the device: a list would be copied there at every look, and waited for.
        self._order = torch.tensor(["RGB".index(channel) for channel in rule.order], device=device)
        self._scale = rule.scale
        self._mean = torch.tensor(rule.mean, device=device, dtype=dtype).view(3, 1, 1)
        self._std = torch.tensor(rule.std, device=device, dtype=dtype).view(3, 1, 1)

    def apply(self, picture: Tensor) -> Tensor:
        """Return what the network eats, (1, 3, H, W), of a (3, H, W) RGB picture."""
        ordered = picture.index_select(0, self._order)
        return ordered.mul_(self._scale).sub_(self._mean).div_(self._std).unsqueeze(0)

    def pull_back(self, gradient: Tensor) -> Tensor:
        """Return d loss / d picture, (3, H, W) RGB, of d loss / d input, (1, 3, H, W).

        Writes on the latter: each step out of place would take one more picture. One of 16 bit
        is widened first.
        """
        scaled = gradient[0].to(self._std.dtype).div_(self._std).mul_(self._scale)
        return scaled.index_select(0, self._order)  # reversing three channels undoes itself
