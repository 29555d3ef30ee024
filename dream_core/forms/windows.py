"""What torch takes to write down every window that a convolution reads. No torch."""

from math import prod

from dream_core.model import Layer


def unfolded(layer: Layer, read: int) -> int:
    """Return how many values the windows of a convolution have that reads so many; of 1 × 1, none.

    Groups run one after the other.
    """
    if max(*layer.kernel, *layer.stride) == 1:
        return 0
    return prod(layer.kernel) * read // prod(layer.stride) // layer.groups
