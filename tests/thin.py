"""Small networks of VGG's shape with random weights: what the real ones compute, in no time."""

from collections.abc import Sequence

import torch
from torch import Tensor

from dream_core.architectures.vgg import VGG19, vgg
from dream_core.dream import Dream
from dream_core.executors import Plan, Way
from dream_core.model import PICTURE, Model, Origin, Pooling
from dream_core.networks import Network, load_network
from dream_core.spec import DreamSpec

WIDTHS = (10, 10, 12, 12, 14)


def thin_model(
    blocks: Sequence[int] = VGG19, widths: Sequence[int] = WIDTHS, *, name: str = "vgg19"
) -> Model:
    """Return a VGG with narrow layers, which answers to the real one's name and layer names."""
    return Model(
        name=name,
        title="a thin VGG for tests",
        layers=vgg(blocks, pools_round_up=True, widths=widths),
        default_layer="relu5_1",
        content_layer="relu4_2",
        origin=Origin(kind="file", name="random"),
    )


def random_weights(model: Model, seed: int) -> dict[str, Tensor]:
    """Draw weights that keep the size of activations from layer to layer (He et al. 2015)."""
    generator = torch.Generator().manual_seed(seed)
    weights = {}
    for layer in model.layers:
        if layer.kind == "convolution":
            (source,) = layer.inputs
            inputs = 3 if source == PICTURE else model.by_name[source].channels
            shape = (layer.channels, inputs // layer.groups, *layer.kernel)
            spread = (2 / (shape[1] * shape[2] * shape[3])) ** 0.5
            weights[f"{layer.name}.weight"] = torch.randn(shape, generator=generator) * spread
            weights[f"{layer.name}.bias"] = torch.randn(layer.channels, generator=generator)
    return weights


def thin_network(
    *, pooling: Pooling = "max", dtype: torch.dtype = torch.float32, seed: int = 19
) -> Network:
    """Return a thin VGG-19 that stands in for the real one."""
    model = thin_model()
    return load_network(model, random_weights(model, seed), pooling=pooling, dtype=dtype)


def network_of(
    model: Model, dtype: torch.dtype = torch.float32, pooling: Pooling = "max"
) -> Network:
    """Load a model with random weights."""
    return load_network(model, random_weights(model, 19), pooling=pooling, dtype=dtype)


def random_picture(seed: int, height: int, width: int) -> Tensor:
    """Return a picture with structure at several scales: (3, H, W) float32 RGB in [0, 1]."""
    generator = torch.Generator().manual_seed(seed)
    picture = torch.zeros(1, 3, height, width)
    for cells in (2, 5, 11):
        coarse = torch.rand(1, 3, cells, cells, generator=generator)
        picture += torch.nn.functional.interpolate(coarse, (height, width), mode="bilinear") / 3
    return picture[0]


def gradient(network: Network, way: Way, picture: Tensor, **fields: object) -> Tensor:
    """Return the gradient of a dream, run in that way, at a picture somewhat off its source."""
    spec = DreamSpec(model="vgg19", pooling=network.pooling, **fields)
    plan = Plan.make(torch.device("cpu"), network.dtype, way)
    found, _ = Dream(picture, spec, network=network, plan=plan).gradient(picture * 0.9)
    return found.double()


def apart(one: Tensor, other: Tensor) -> float:
    """Return the relative L2 distance."""
    return float((one - other).norm() / other.norm())


def patchwork(seed: int, height: int, width: int) -> Tensor:
    """Return a picture of flat patches, in which windows of pools tie: (3, H, W) float32 RGB."""
    cells = torch.rand(1, 3, 5, 4, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.interpolate(cells, (height, width), mode="nearest")[0]


def staircase(seed: int, height: int, width: int) -> Tensor:
    """Return slanted edges, along which values tie that aren't side by side: (3, H, W) float32."""
    down, across = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    colours = torch.rand(4, 3, generator=torch.Generator().manual_seed(seed))
    stripes = (down + across) // 6 % 2 + 2 * ((down - 2 * across) // 17 % 2)
    return colours[stripes].permute(2, 0, 1).contiguous()
