"""Inception v3 as torchvision runs it: the same drawing with other pools, under other names.

`Mixed_6a` is a block's joined output, `Mixed_6a.branch3x3dbl_2` a rectified convolution in it and
`Mixed_6a.branch3x3dbl_2.conv` the same before the relu (batch norm folded in). Pools that
torchvision calls as functions have no module there: here `Mixed_5b.branch_pool.pool` and, where a
branch is nothing but a pool, `Mixed_6a.branch_pool`.

Every average pool counts its padding, and the last block averages: ported weights run a little
differently than they were trained.
"""

from collections.abc import Mapping

from dream_core.architectures.inception_v3 import BEFORE_RELU, inception_v3
from dream_core.model import PICTURE, Layer


def inception_v3_torchvision() -> tuple[Layer, ...]:
    """Return the layers of torchvision's Inception v3, to its last block."""
    drawn = inception_v3(counts_padding=True, ends_with_max=False)
    return tuple(
        layer.model_copy(
            update={
                "name": _translate(layer.name),
                "inputs": tuple(_translate(name) for name in layer.inputs),
            }
        )
        for layer in drawn
    )


def _translate(name: str) -> str:
    """Return torchvision's name for Google's."""
    if name == PICTURE:
        return name
    unit = name.removesuffix(BEFORE_RELU)
    block, _, inner = unit.partition("/")
    theirs, branches = _BLOCKS[block]
    if inner:
        theirs = f"{theirs}.{branches[inner]}"
    return theirs if unit == name else f"{theirs}.conv"


def _chain(tower: str, branch: str, length: int) -> dict[str, str]:
    """Name a chain of convolutions: `conv`, `conv_1` … here are `_1`, `_2` … there."""
    names = [f"{tower}/conv", *(f"{tower}/conv_{number}" for number in range(1, length))]
    return {name: f"{branch}_{number}" for number, name in enumerate(names, start=1)}


_PLAIN: Mapping[str, str] = {}
_POOLED = {"tower_2/pool": "branch_pool.pool", "tower_2/conv": "branch_pool"}
_FIVES = {
    "conv": "branch1x1",
    **_chain("tower", "branch5x5", 2),
    **_chain("tower_1", "branch3x3dbl", 3),
    **_POOLED,
}
_HALVE_WITH_THREES = {
    "conv": "branch3x3",
    **_chain("tower", "branch3x3dbl", 3),
    "pool": "branch_pool",
}
_SEVENS = {
    "conv": "branch1x1",
    **_chain("tower", "branch7x7", 3),
    **_chain("tower_1", "branch7x7dbl", 5),
    **_POOLED,
}
_HALVE_WITH_SEVENS = {
    **_chain("tower", "branch3x3", 2),
    **_chain("tower_1", "branch7x7x3", 4),
    "pool": "branch_pool",
}
_FANS = {
    "conv": "branch1x1",
    **_chain("tower", "branch3x3", 1),
    "tower/mixed/conv": "branch3x3_2a",
    "tower/mixed/conv_1": "branch3x3_2b",
    **_chain("tower_1", "branch3x3dbl", 2),
    "tower_1/mixed/conv": "branch3x3dbl_3a",
    "tower_1/mixed/conv_1": "branch3x3dbl_3b",
    **_POOLED,
}
_BLOCKS: Mapping[str, tuple[str, Mapping[str, str]]] = {
    "conv": ("Conv2d_1a_3x3", _PLAIN),
    "conv_1": ("Conv2d_2a_3x3", _PLAIN),
    "conv_2": ("Conv2d_2b_3x3", _PLAIN),
    "pool": ("maxpool1", _PLAIN),
    "conv_3": ("Conv2d_3b_1x1", _PLAIN),
    "conv_4": ("Conv2d_4a_3x3", _PLAIN),
    "pool_1": ("maxpool2", _PLAIN),
    "mixed": ("Mixed_5b", _FIVES),
    "mixed_1": ("Mixed_5c", _FIVES),
    "mixed_2": ("Mixed_5d", _FIVES),
    "mixed_3": ("Mixed_6a", _HALVE_WITH_THREES),
    "mixed_4": ("Mixed_6b", _SEVENS),
    "mixed_5": ("Mixed_6c", _SEVENS),
    "mixed_6": ("Mixed_6d", _SEVENS),
    "mixed_7": ("Mixed_6e", _SEVENS),
    "mixed_8": ("Mixed_7a", _HALVE_WITH_SEVENS),
    "mixed_9": ("Mixed_7b", _FANS),
    "mixed_10": ("Mixed_7c", _FANS),
}
