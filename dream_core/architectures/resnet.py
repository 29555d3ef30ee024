"""ResNet with bottlenecks, as torchvision runs it (the stride stands at the 3 × 3 convolution).

Names are torchvision's modules': `layer3.5` is a block's output, `layer3.5.conv2` a convolution in
it (batch norm folded in). torchvision uses one relu module three times over; here they are
`layer3.5.relu1` and `layer3.5.relu2`, and the third is the block's output itself.

Source: He et al. 2015 (arXiv:1512.03385).
"""

from collections.abc import Sequence

from dream_core.architectures.drawing import Drawing
from dream_core.model import PICTURE, Layer

RESNET50 = (3, 4, 6, 3)
RESNET101 = (3, 4, 23, 3)
_WIDTHS = (64, 128, 256, 512)
_EXPANSION = 4  # a block gives four times the channels that its 3 × 3 convolution sees


def resnet(blocks: Sequence[int]) -> tuple[Layer, ...]:
    """Return the layers of a ResNet with that many blocks in its four stages."""
    net = Drawing()
    last = net.rectify("relu", net.convolve("conv1", PICTURE, 64, 7, stride=2, padding=3))
    last = net.max_pool("maxpool", last, padding=1)
    for stage, (count, width) in enumerate(zip(blocks, _WIDTHS, strict=True), start=1):
        for index in range(count):
            stride = 2 if index == 0 and stage > 1 else 1
            last = _bottleneck(net, f"layer{stage}.{index}", last, width, stride)
    return net.layers


def _bottleneck(net: Drawing, name: str, reads: str, width: int, stride: int) -> str:
    last = net.rectify(f"{name}.relu1", net.convolve(f"{name}.conv1", reads, width))
    last = net.convolve(f"{name}.conv2", last, width, 3, stride=stride, padding=1)
    last = net.rectify(f"{name}.relu2", last)
    last = net.convolve(f"{name}.conv3", last, width * _EXPANSION)
    past = reads
    if name.endswith(".0"):  # a stage's first block changes the channels, so its bypass must too
        past = net.convolve(f"{name}.downsample", reads, width * _EXPANSION, stride=stride)
    return net.rectify(name, net.add(f"{name}.add", last, past))
