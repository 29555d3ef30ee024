"""Drawing: put a network down layer by layer, keeping track of how many channels flow where."""

from dream_core.model import PICTURE, Layer

Extent = int | tuple[int, int]  # of a kernel or a padding: (height, width), or one for both


class Drawing:
    """The layers of a network so far. Every method adds some and returns the name of the last.

    A `unit` is what modern networks are made of: a convolution, its batch norm folded in, and a
    relu. The unit's own name is the relu's, since that is what their authors call its features;
    `before_relu` names the convolution under it.
    """

    def __init__(self, before_relu: str = "{}.conv") -> None:
        """Start with nothing but the picture."""
        self._layers: list[Layer] = []
        self._channels = {PICTURE: 3}
        self._before_relu = before_relu

    @property
    def layers(self) -> tuple[Layer, ...]:
        """All layers, in the order they were drawn."""
        return tuple(self._layers)

    def unit(
        self,
        name: str,
        reads: str,
        channels: int,
        kernel: Extent = 1,
        *,
        stride: int = 1,
        padding: Extent = 0,
    ) -> str:
        """Draw a convolution and its relu."""
        under = self._before_relu.format(name)
        self.convolve(under, reads, channels, kernel, stride=stride, padding=padding)
        return self.rectify(name, under)

    def convolve(
        self,
        name: str,
        reads: str,
        channels: int,
        kernel: Extent = 1,
        *,
        stride: int = 1,
        padding: Extent = 0,
    ) -> str:
        """Draw a convolution on its own."""
        return self._add(
            Layer(
                name=name,
                kind="convolution",
                inputs=(reads,),
                channels=channels,
                kernel=_pair(kernel),
                stride=_pair(stride),
                padding=_pair(padding),
            )
        )

    def rectify(self, name: str, reads: str) -> str:
        """Draw a relu."""
        channels = self._channels[reads]
        return self._add(Layer(name=name, kind="relu", inputs=(reads,), channels=channels))

    def max_pool(
        self,
        name: str,
        reads: str,
        kernel: int = 3,
        *,
        stride: int = 2,
        padding: int = 0,
        rounds_up: bool = False,
    ) -> str:
        """Draw a max pool."""
        return self._add(
            Layer(
                name=name,
                kind="max_pool",
                inputs=(reads,),
                channels=self._channels[reads],
                kernel=_pair(kernel),
                stride=_pair(stride),
                padding=_pair(padding),
                rounds_up=rounds_up,
            )
        )

    def blur(self, name: str, reads: str, *, counts_padding: bool) -> str:
        """Draw the 3 × 3 average pool of stride 1 that Inception's branches begin with."""
        return self._add(
            Layer(
                name=name,
                kind="average_pool",
                inputs=(reads,),
                channels=self._channels[reads],
                kernel=(3, 3),
                padding=(1, 1),
                counts_padding=counts_padding,
            )
        )

    def concatenate(self, name: str, *reads: str) -> str:
        """Draw the branches side by side, in the order given."""
        channels = sum(self._channels[branch] for branch in reads)
        return self._add(Layer(name=name, kind="concatenate", inputs=reads, channels=channels))

    def add(self, name: str, *reads: str) -> str:
        """Draw the sum of branches."""
        channels = self._channels[reads[0]]
        return self._add(Layer(name=name, kind="add", inputs=reads, channels=channels))

    def _add(self, layer: Layer) -> str:
        self._layers.append(layer)
        self._channels[layer.name] = layer.channels
        return layer.name


def _pair(extent: Extent) -> tuple[int, int]:
    return (extent, extent) if isinstance(extent, int) else extent
