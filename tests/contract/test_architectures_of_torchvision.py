"""Our drawings of torchvision's networks against torchvision's own modules, block by block.

The weights are random ones (the real ones can't be had everywhere, and a wrong stride shows as
well without them), batch norm's statistics too; the pictures have odd sides, so that a pool that
rounds the wrong way shows.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import pytest
import torch
import torchvision
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from dream_core.architectures import BUILT_IN
from dream_core.model import IMAGENET, Layer, Model, Origin, Pooling
from dream_core.networks import load_network
from dream_core.weights.torchvision import convert

SIZES = [(97, 123), (110, 86)]
OF_TORCHVISION = [model.name for model in BUILT_IN.values() if model.origin.kind == "torchvision"]
TRANSFORMED = {"transform_input": True, "aux_logits": False, "init_weights": False}
OPTIONS = {"googlenet": TRANSFORMED, "inception_v3": TRANSFORMED}  # as its real weights ask for


class AveragePools(TorchFunctionMode):
    """Puts a plain average pool in place of every max pool, called as a module or a function."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        swapped = average if func is torch.nn.functional.max_pool2d else func
        return swapped(*args, **(kwargs or {}))


def average(
    features: Tensor, kernel_size: int, stride: int, padding: int = 0, **_options: object
) -> Tensor:
    """Take a max pool's arguments, rounding mode left aside, and average."""
    return torch.nn.functional.avg_pool2d(features, kernel_size, stride, padding)


def bare_network(name: str) -> nn.Module:
    """Return torchvision's network without numbers and without its classifier."""
    with torch.device("meta"):
        network: nn.Module = torchvision.models.get_model(
            name, weights=None, **OPTIONS.get(name, {})
        )
    head = "classifier" if hasattr(network, "classifier") else "fc"
    setattr(network, head, nn.Identity())
    return network


def real_network(name: str) -> nn.Module:
    """Return torchvision's network with random weights and statistics that keep signals alive."""
    network = bare_network(name).to_empty(device="cpu").double().eval()
    torch.manual_seed(3)
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            if module.bias is not None:
                nn.init.normal_(module.bias, std=0.1)
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.1)
            nn.init.normal_(module.running_mean, std=0.1)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
    return network


def their_module(model: Model, layer: Layer) -> str:
    """Return the module whose output a layer's features are, if there is one."""
    if model.origin.name.startswith("vgg"):
        return f"features.{model.layers.index(layer)}"
    if layer.kind == "convolution" and not layer.name.endswith(".downsample"):
        return re.sub(r"conv(\d?)$", r"bn\1", layer.name)  # ours have the batch norm in them
    return layer.name


@contextmanager
def listening(network: nn.Module, modules: dict[str, str]) -> Iterator[dict[str, Tensor]]:
    """Collect what modules give, under our names. A relu in place comes later: hence the clone."""
    heard: dict[str, Tensor] = {}

    def listen(name: str) -> Callable[[Any, Any, Tensor], None]:
        return lambda _module, _inputs, output: heard.update({name: output.clone()})

    hooks = [
        network.get_submodule(path).register_forward_hook(listen(name))
        for name, path in modules.items()
    ]
    yield heard
    for hook in hooks:
        hook.remove()


def their_features(
    model: Model, network: nn.Module, picture: Tensor, pooling: Pooling
) -> dict[str, Tensor]:
    """Run torchvision's network on what its own transforms would make of the picture."""
    known = dict(network.named_modules())
    paths = {layer.name: their_module(model, layer) for layer in model.layers}
    modules = {name: path for name, path in paths.items() if path in known}
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (IMAGENET.mean, IMAGENET.std))
    body = network.features if model.origin.name.startswith("vgg") else network
    pools = AveragePools() if pooling == "avg" else nullcontext()
    with torch.no_grad(), pools, listening(network, modules) as heard:
        body(((picture - mean) / std).unsqueeze(0))
    return heard


def picture_of(height: int, width: int) -> Tensor:
    """Return noise, (3, height, width) float64 in [0, 1]."""
    return torch.rand(3, height, width, generator=torch.Generator().manual_seed(5)).double()


def loaded(model: Model, network: nn.Module, pooling: Pooling) -> Any:
    """Return our network with torchvision's weights."""
    tensors = {
        name: torch.from_numpy(numbers)
        for name, numbers in convert(model, network.state_dict()).items()
    }
    return load_network(model, tensors, pooling=pooling, dtype=torch.float64)


def check_features(model: Model, network: nn.Module, pooling: Pooling) -> None:
    """Hold our features, and the sizes foretold, against torchvision's at every module."""
    ours = loaded(model, network, pooling)
    for height, width in SIZES:
        picture = picture_of(height, width)
        theirs = their_features(model, network, picture, pooling)
        features, _ = ours.forward(picture, theirs)
        foretold = model.sizes(theirs, height, width, pooling)
        assert len(theirs) > 30
        for name, expected in theirs.items():
            shape = (model.by_name[name].channels, *foretold[name])
            assert shape == tuple(expected.shape[1:]), name
            error = (features[name] - expected).norm() / expected.norm()
            assert error < 1e-6, f"{name}: {error:.1e}"  # folded weights are rounded to float32


@pytest.mark.parametrize("pooling", ["max", "avg"])
@pytest.mark.parametrize("name", OF_TORCHVISION)
def test_features_are_those_of_torchvisions_own_modules(name: str, pooling: Pooling) -> None:
    """A layer's name means what it means in torchvision, preprocessing and pooling included."""
    model = BUILT_IN[name]
    network = real_network(model.origin.name)

    check_features(model, network, pooling)


@pytest.mark.parametrize("pooling", ["max", "avg"])
@pytest.mark.parametrize(("name", "rounds_up"), [("vgg16", False), ("vgg19", True)])
def test_our_other_vggs_run_as_torchvisions_but_for_the_rounding(
    name: str, rounds_up: bool, pooling: Pooling
) -> None:
    """Weights from elsewhere, the same drawing; the 2015 program's VGG-19 rounds sizes up."""
    origin = Origin(kind="torchvision", name=name)
    model = BUILT_IN[name].model_copy(update={"origin": origin, "preprocessing": IMAGENET})
    network = real_network(name)
    for module in network.modules():
        if isinstance(module, nn.MaxPool2d):
            module.ceil_mode = rounds_up

    check_features(model, network, pooling)


@pytest.mark.parametrize("name", OF_TORCHVISION)
def test_every_block_of_torchvisions_can_be_asked_for(name: str) -> None:
    """Nothing that lies between the picture and the classifier is left out of the drawing."""
    model = BUILT_IN[name]
    network = bare_network(model.origin.name)

    blocks = {
        path
        for path, _ in network.named_modules()
        if re.fullmatch(
            r"conv\d|(max)?pool\d?|relu|(inception|Mixed_|Conv2d_)\w+|layer\d\.\d+", path
        )
    }
    convolutions = [module for module in network.modules() if isinstance(module, nn.Conv2d)]

    assert blocks <= set(model.layer_names)
    assert len(convolutions) == sum(layer.kind == "convolution" for layer in model.layers)


@pytest.mark.parametrize("name", OF_TORCHVISION)
def test_the_download_is_as_large_as_torchvision_says(name: str) -> None:
    """A progress bar that ends where the file does."""
    origin = BUILT_IN[name].origin
    weights = torchvision.models.get_model_weights(origin.name)[origin.version]

    stated = weights.meta["_file_size"]  # MiB, three decimals

    assert origin.download_bytes / 2**20 == pytest.approx(stated, abs=6e-4)


@pytest.mark.parametrize("name", ["googlenet", "inception_v3_torchvision"])
def test_ported_networks_eat_minus_one_to_one(name: str) -> None:
    """The ports undo torchvision's normalisation, since they were trained on [−1, 1]."""
    model = BUILT_IN[name]
    network = real_network(model.origin.name)
    picture = picture_of(4, 5)
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (IMAGENET.mean, IMAGENET.std))

    eaten = network._transform_input(((picture - mean) / std).unsqueeze(0))[0]

    rule = model.preprocessing
    assert rule.order == "RGB"
    torch.testing.assert_close(
        eaten,
        rule.scale * picture - torch.tensor(rule.mean).view(3, 1, 1),
        check_dtype=False,
        atol=1e-6,
        rtol=0,
    )
