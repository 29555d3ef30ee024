"""VGG: blocks of 3 × 3 convolutions, each rectified, each block ending in a 2 × 2 pool.

Source: Simonyan and Zisserman 2014 (arXiv:1409.1556); layer names are those of its Caffe files.
"""

from collections.abc import Iterator, Sequence

from dream_core.model import PICTURE, Layer

VGG16 = (2, 2, 3, 3, 3)
VGG19 = (2, 2, 4, 4, 4)
WIDTHS = (64, 128, 256, 512, 512)


def vgg(
    blocks: Sequence[int], *, pools_round_up: bool, widths: Sequence[int] = WIDTHS
) -> tuple[Layer, ...]:
    """Return the layers of a VGG with `blocks` convolutions in its blocks, to its last pool."""
    return tuple(_chain(blocks, widths, pools_round_up))


def _chain(blocks: Sequence[int], widths: Sequence[int], rounds_up: bool) -> Iterator[Layer]:
    last = PICTURE
    for block, (count, width) in enumerate(zip(blocks, widths, strict=True), start=1):
        for index in range(1, count + 1):
            convolution = f"conv{block}_{index}"
            yield Layer(
                name=convolution,
                kind="convolution",
                inputs=(last,),
                channels=width,
                kernel=(3, 3),
                padding=(1, 1),
            )
            last = f"relu{block}_{index}"
            yield Layer(name=last, kind="relu", inputs=(convolution,), channels=width)
        pool = f"pool{block}"
        yield Layer(
            name=pool,
            kind="max_pool",
            inputs=(last,),
            channels=width,
            kernel=(2, 2),
            stride=(2, 2),
            rounds_up=rounds_up,
        )
        last = pool
