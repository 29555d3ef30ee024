"""The baseline: a dream's iteration as anyone would write it in PyTorch, and what it works on."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from dream_core.model import Model

DOSE = 1000.0


def random_weights(model: Model) -> dict[str, Tensor]:
    """Return weights of a model's shape; speed and memory don't depend on their values."""
    generator = torch.Generator().manual_seed(0)
    weights, inputs = {}, 3
    for layer in model.layers:
        if layer.kind == "convolution":
            spread = (2 / (9 * inputs)) ** 0.5
            shape = (layer.channels, inputs, *layer.kernel)
            weights[f"{layer.name}.weight"] = torch.randn(shape, generator=generator) * spread
            weights[f"{layer.name}.bias"] = torch.zeros(layer.channels)
            inputs = layer.channels
    return weights


def weights_file(model: Model, folder: Path) -> Path:
    """Write such weights as a model's file has them, and return it.

    Who loads a file holds only what is read of it: layers deeper than asked are no memory.
    """
    file = folder / "weights.safetensors"
    save_file(random_weights(model), file)
    return file


def random_source(height: int, width: int) -> Tensor:
    """Return a picture, (3, height, width) in [0, 1]."""
    return torch.rand(3, height, width, generator=torch.Generator().manual_seed(1))


def plain_step(
    model: Model, weights: Mapping[str, Tensor], source: Tensor, layers: Sequence[str]
) -> Callable[[], object]:
    """Return an iteration of a dream: modules, autograd throughout, torch's Adam, all float32."""
    modules = {layer.name: _module(layer.name, layer.kind, weights) for layer in model.layers}
    deepest = max(list(modules).index(layer) for layer in layers)
    modules = dict(list(modules.items())[: deepest + 1])
    mean = torch.tensor([103.939, 116.779, 123.68]).view(3, 1, 1)

    def grams(picture: Tensor) -> list[Tensor]:
        features = (picture.flip(0) * 256 - mean).unsqueeze(0)
        found = []
        for name, module in modules.items():
            features = module(features)
            if name in layers:
                flat = features.flatten(2)[0]
                found.append(flat @ flat.T / features.numel())
        return found

    with torch.no_grad():
        targets = [DOSE * gram for gram in grams(source)]
    picture = source.clone().requires_grad_()
    optimizer = torch.optim.Adam([picture], lr=10 / 256)

    def step() -> None:
        optimizer.zero_grad()
        pairs = zip(grams(picture), targets, strict=True)
        torch.stack([(gram - target).square().mean() for gram, target in pairs]).sum().backward()
        optimizer.step()

    return step


def _module(name: str, kind: str, weights: Mapping[str, Tensor]) -> nn.Module:
    if kind == "relu":
        return nn.ReLU()
    if kind == "max_pool":
        return nn.MaxPool2d(2, 2, ceil_mode=True)
    channels, inputs, *kernel = weights[f"{name}.weight"].shape
    convolution = nn.Conv2d(inputs, channels, kernel, padding=1)
    tensors = {key: weights[f"{name}.{key}"] for key in ("weight", "bias")}
    convolution.load_state_dict(tensors, assign=True)  # nobody holds weights twice
    return convolution.requires_grad_(False)
