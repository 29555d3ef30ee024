"""From a picture to what a network eats, and a gradient's way back."""

import torch
from torch import Tensor

from dream_core.chunks import chunks
from dream_core.model import Preprocessing


class Preprocess:
    """Turn RGB in [0, 1] into (scale · x[order] − mean) / std, and pull gradients back through it.

    Linear, so the way back is written out: no executor has to differentiate it.
    """

    def __init__(self, rule: Preprocessing, device: torch.device, dtype: torch.dtype) -> None:
        """Put the constants where the network runs."""
        self._order = ["RGB".index(channel) for channel in rule.order]
        self._scale = rule.scale
        # On the device: a list would be copied there at every look, and waited for.
        self._mean = torch.tensor(rule.mean, device=device, dtype=dtype)
        self._std = torch.tensor(rule.std, device=device, dtype=dtype)

    def apply(self, picture: Tensor) -> Tensor:
        """Return what the network eats, (1, 3, H, W), of a (3, H, W) RGB picture."""
        ordered = torch.empty_like(picture)
        for to, of, mean, std in zip(ordered, self._order, self._mean, self._std, strict=True):
            for few, read in zip(chunks(to), chunks(picture[of].contiguous()), strict=True):
                torch.mul(read, self._scale, out=few).sub_(mean).div_(std)
        return ordered.unsqueeze(0)

    def pull_back(self, gradient: Tensor) -> Tensor:
        """Return d loss / d picture, (3, H, W) RGB, of d loss / d input, (1, 3, H, W), in planes.

        One of 16 bit is widened.
        """
        pulled = torch.empty_like(gradient[0], dtype=self._std.dtype)
        for of, to, std in zip(gradient[0], self._order, self._std, strict=True):
            for few, read in zip(chunks(pulled[to]), chunks(of), strict=True):
                few.copy_(read).div_(std).mul_(self._scale)
        return pulled
