"""GoogLeNet as torchvision runs it: nine blocks of four branches, pools that round up.

Names are torchvision's modules': `inception4c` is a block's joined output, `inception4c.branch2.0`
a rectified convolution in it, `inception4c.branch2.0.conv` the same before the relu (batch norm
folded in), `inception4c.branch4.0` the pool of the last branch.

Source: Szegedy et al. 2014 (arXiv:1409.4842); torchvision's 5 × 5 branch is a 3 × 3 one.
"""

from dream_core.architectures.drawing import Drawing
from dream_core.model import PICTURE, Layer

# Channels: branch1, branch2's two, branch3's two, branch4 behind its pool.
_STAGES = {
    "3": {"a": (64, 96, 128, 16, 32, 32), "b": (128, 128, 192, 32, 96, 64)},
    "4": {
        "a": (192, 96, 208, 16, 48, 64),
        "b": (160, 112, 224, 24, 64, 64),
        "c": (128, 128, 256, 24, 64, 64),
        "d": (112, 144, 288, 32, 64, 64),
        "e": (256, 160, 320, 32, 128, 128),
    },
    "5": {"a": (256, 160, 320, 32, 128, 128), "b": (384, 192, 384, 48, 128, 128)},
}


def googlenet() -> tuple[Layer, ...]:
    """Return the layers of GoogLeNet, to its last block."""
    net = Drawing()
    last = net.unit("conv1", PICTURE, 64, 7, stride=2, padding=3)
    last = net.max_pool("maxpool1", last, rounds_up=True)
    last = net.unit("conv2", last, 64)
    last = net.unit("conv3", last, 192, 3, padding=1)
    last = net.max_pool("maxpool2", last, rounds_up=True)
    for stage, blocks in _STAGES.items():
        for letter, widths in blocks.items():
            last = _block(net, f"inception{stage}{letter}", last, widths)
        if stage == "3":
            last = net.max_pool("maxpool3", last, rounds_up=True)
        if stage == "4":
            last = net.max_pool("maxpool4", last, 2, rounds_up=True)
    return net.layers


def _block(net: Drawing, name: str, reads: str, widths: tuple[int, ...]) -> str:
    alone, reduced, threes, reduced_more, fives, behind_pool = widths
    pool = net.max_pool(f"{name}.branch4.0", reads, stride=1, padding=1, rounds_up=True)
    branch2 = net.unit(f"{name}.branch2.0", reads, reduced)
    branch3 = net.unit(f"{name}.branch3.0", reads, reduced_more)
    return net.concatenate(
        name,
        net.unit(f"{name}.branch1", reads, alone),
        net.unit(f"{name}.branch2.1", branch2, threes, 3, padding=1),
        net.unit(f"{name}.branch3.1", branch3, fives, 3, padding=1),
        net.unit(f"{name}.branch4.1", pool, behind_pool),
    )
