"""Inception v3: Google's network of 2015, under Google's names.

`mixed_3` is a block's joined output, `mixed_3/tower/conv_1` a rectified convolution in it and
`mixed_3/tower/conv_1/batchnorm` the same before the relu (batch norm folded in).

Source: Szegedy et al. 2015 (arXiv:1512.00567); names as in the graph that Google published in
December 2015.
"""

from dream_core.architectures.drawing import Drawing, Extent
from dream_core.model import PICTURE, Layer

BEFORE_RELU = "/batchnorm"
_ROW, _COLUMN = (1, 7), (7, 1)

Step = tuple[str, int, Extent]  # name, channels, kernel; a unit that keeps the size


def inception_v3(*, counts_padding: bool = False, ends_with_max: bool = True) -> tuple[Layer, ...]:
    """Return the layers of Inception v3, to its last block.

    Args:
        counts_padding: average pools average the zeros at the edge, too (Google's don't).
        ends_with_max: the last block pools by maximum (Google's does; the paper's doesn't).
    """
    net = Drawing(before_relu="{}" + BEFORE_RELU)
    last = net.unit("conv", PICTURE, 32, 3, stride=2)
    last = net.unit("conv_1", last, 32, 3)
    last = net.unit("conv_2", last, 64, 3, padding=1)
    last = net.max_pool("pool", last)
    last = net.unit("conv_3", last, 80)
    last = net.unit("conv_4", last, 192, 3)
    last = net.max_pool("pool_1", last)
    for name, width in (("mixed", 32), ("mixed_1", 64), ("mixed_2", 64)):
        last = _fives(net, name, last, width, counts_padding)
    last = _halve_with_threes(net, "mixed_3", last)
    for name, width in (("mixed_4", 128), ("mixed_5", 160), ("mixed_6", 160), ("mixed_7", 192)):
        last = _sevens(net, name, last, width, counts_padding)
    last = _halve_with_sevens(net, "mixed_8", last)
    last = _fans(net, "mixed_9", last, counts_padding)
    _fans(net, "mixed_10", last, counts_padding, by_max=ends_with_max)
    return net.layers


def _chain(net: Drawing, reads: str, *steps: Step) -> str:
    for name, channels, kernel in steps:
        height, width = (kernel, kernel) if isinstance(kernel, int) else kernel
        reads = net.unit(name, reads, channels, kernel, padding=(height // 2, width // 2))
    return reads


def _fives(net: Drawing, block: str, reads: str, pooled: int, counts_padding: bool) -> str:
    tower, tower_1, tower_2 = _towers(block)
    blurred = net.blur(f"{tower_2}/pool", reads, counts_padding=counts_padding)
    return net.concatenate(
        block,
        _chain(net, reads, (f"{block}/conv", 64, 1)),
        _chain(net, reads, (f"{tower}/conv", 48, 1), (f"{tower}/conv_1", 64, 5)),
        _chain(
            net,
            reads,
            (f"{tower_1}/conv", 64, 1),
            (f"{tower_1}/conv_1", 96, 3),
            (f"{tower_1}/conv_2", 96, 3),
        ),
        _chain(net, blurred, (f"{tower_2}/conv", pooled, 1)),
    )


def _halve_with_threes(net: Drawing, block: str, reads: str) -> str:
    tower, *_ = _towers(block)
    wide = _chain(net, reads, (f"{tower}/conv", 64, 1), (f"{tower}/conv_1", 96, 3))
    return net.concatenate(
        block,
        net.unit(f"{block}/conv", reads, 384, 3, stride=2),
        net.unit(f"{tower}/conv_2", wide, 96, 3, stride=2),
        net.max_pool(f"{block}/pool", reads),
    )


def _sevens(net: Drawing, block: str, reads: str, width: int, counts_padding: bool) -> str:
    tower, tower_1, tower_2 = _towers(block)
    blurred = net.blur(f"{tower_2}/pool", reads, counts_padding=counts_padding)
    return net.concatenate(
        block,
        _chain(net, reads, (f"{block}/conv", 192, 1)),
        _chain(
            net,
            reads,
            (f"{tower}/conv", width, 1),
            (f"{tower}/conv_1", width, _ROW),
            (f"{tower}/conv_2", 192, _COLUMN),
        ),
        _chain(
            net,
            reads,
            (f"{tower_1}/conv", width, 1),
            (f"{tower_1}/conv_1", width, _COLUMN),
            (f"{tower_1}/conv_2", width, _ROW),
            (f"{tower_1}/conv_3", width, _COLUMN),
            (f"{tower_1}/conv_4", 192, _ROW),
        ),
        _chain(net, blurred, (f"{tower_2}/conv", 192, 1)),
    )


def _halve_with_sevens(net: Drawing, block: str, reads: str) -> str:
    tower, tower_1, _ = _towers(block)
    narrow = _chain(net, reads, (f"{tower}/conv", 192, 1))
    crossed = _chain(
        net,
        reads,
        (f"{tower_1}/conv", 192, 1),
        (f"{tower_1}/conv_1", 192, _ROW),
        (f"{tower_1}/conv_2", 192, _COLUMN),
    )
    return net.concatenate(
        block,
        net.unit(f"{tower}/conv_1", narrow, 320, 3, stride=2),
        net.unit(f"{tower_1}/conv_3", crossed, 192, 3, stride=2),
        net.max_pool(f"{block}/pool", reads),
    )


def _fans(net: Drawing, block: str, reads: str, counts_padding: bool, by_max: bool = False) -> str:
    tower, tower_1, tower_2 = _towers(block)
    if by_max:
        pooled = net.max_pool(f"{tower_2}/pool", reads, stride=1, padding=1)
    else:
        pooled = net.blur(f"{tower_2}/pool", reads, counts_padding=counts_padding)
    stem = _chain(net, reads, (f"{tower}/conv", 384, 1))
    stem_1 = _chain(net, reads, (f"{tower_1}/conv", 448, 1), (f"{tower_1}/conv_1", 384, 3))
    return net.concatenate(
        block,
        _chain(net, reads, (f"{block}/conv", 320, 1)),
        _chain(net, stem, (f"{tower}/mixed/conv", 384, (1, 3))),
        _chain(net, stem, (f"{tower}/mixed/conv_1", 384, (3, 1))),
        _chain(net, stem_1, (f"{tower_1}/mixed/conv", 384, (1, 3))),
        _chain(net, stem_1, (f"{tower_1}/mixed/conv_1", 384, (3, 1))),
        _chain(net, pooled, (f"{tower_2}/conv", 192, 1)),
    )


def _towers(block: str) -> tuple[str, str, str]:
    return f"{block}/tower", f"{block}/tower_1", f"{block}/tower_2"
