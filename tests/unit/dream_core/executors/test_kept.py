"""What a GPU runs, held to the reference where there is none: the same operators on the CPU."""

from copy import copy
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close
from torch.utils._python_dispatch import TorchDispatchMode

from dream_core.executors.building import SIXTEEN_BIT
from dream_core.executors.direct import Direct
from dream_core.executors.kept import KeptConvolutions
from dream_core.model import Layer, Model, Pooling
from dream_core.networks import Network, load_network
from tests.branches import BRANCHES, model_of
from tests.thin import random_picture, random_weights, thin_model

# Branches of every kind, with a pool behind a convolution that no ReLU has rectified.
BARE = (
    Layer(name="bare", kind="convolution", inputs=("far",), channels=6, kernel=(3, 3)),
    Layer(name="half", kind="max_pool", inputs=("bare",), channels=6, kernel=(2, 2), stride=(2, 2)),
)
ODD = model_of("odd", (*BRANCHES, *BARE))
THIN = thin_model()
ROUNDED_DOWN = THIN.model_copy(
    update={
        "layers": tuple(
            layer.model_copy(update={"rounds_up": False}) if layer.is_pool else layer
            for layer in THIN.layers
        )
    }
)


def networks(
    model: Model, pooling: Pooling, dtype: torch.dtype, computes_in: torch.dtype
) -> tuple[Network, Network]:
    """Return the reference and what a GPU would run, of the same random weights."""
    weights = random_weights(model, 19)
    reference = load_network(model, weights, pooling=pooling, dtype=dtype)
    held = {name: tensor.to(dtype) for name, tensor in weights.items()}
    kept, other = KeptConvolutions(held, computes_in, tf32_back=True), copy(reference)
    other.executor = Direct([kept], [kept])
    return reference, other


def pulled(
    network: Network, picture: Tensor, layers: list[str]
) -> tuple[dict[str, Tensor], Tensor]:
    """Return features, and the gradient that some pull at them has."""
    features, tape = network.forward(picture.to(network.dtype), layers)
    return features, tape.backward({name: one.square() for name, one in features.items()})


def apart(one: Tensor, other: Tensor) -> float:
    """Return the relative L2 distance."""
    return float((one - other).norm() / (other.norm() + 1e-30))


@pytest.mark.parametrize("size", [(37, 50), (64, 48)])
@pytest.mark.parametrize(
    ("model", "pooling"),
    [(THIN, "max"), (THIN, "avg"), (ROUNDED_DOWN, "max"), (ROUNDED_DOWN, "avg"), (ODD, "max")],
    ids=["up-max", "up-avg", "down-max", "down-avg", "odd"],
)
def test_in_float64_it_is_the_reference(
    model: Model, pooling: Pooling, size: tuple[int, int]
) -> None:
    """Features and gradient, at every layer alone and all together, to 1e-12."""
    reference, kept = networks(model, pooling, torch.float64, torch.float64)
    picture = random_picture(3, *size)

    for asked in [*([name] for name in model.layer_names), list(model.layer_names), []]:
        expected, far = pulled(reference, picture, asked)
        found, ours = pulled(kept, picture, asked)

        assert list(found) == list(expected)
        assert_close(found, expected, rtol=1e-12, atol=1e-12)
        assert apart(ours, far) < 1e-12


def test_in_16_bit_it_is_near() -> None:
    """As near as the narrow layers of a test allow; see `test_ways`."""
    reference, kept = networks(THIN, "max", torch.float32, SIXTEEN_BIT)
    picture = random_picture(1, 45, 37)

    _, far = pulled(reference, picture, ["relu2_1", "relu4_1"])
    features, ours = pulled(kept, picture, ["relu2_1", "relu4_1"])

    assert 0 < apart(ours, far) < 0.7
    assert (features["relu4_1"].dtype, ours.dtype) == (SIXTEEN_BIT, torch.float32)


class Layouts(TorchDispatchMode):
    """Notes how all lies that convolutions, ReLUs and pools take and give."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[str] = set()

    def __torch_dispatch__(self, func: Any, _types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run the operator, and look at its tensors."""
        found = func(*args, **(kwargs or {}))
        if any(word in str(func) for word in ("conv", "pool", "relu", "threshold")):
            given = found if isinstance(found, tuple) else (found,)
            for each in (*args, *given):
                if isinstance(each, Tensor) and each.dim() == 4 and min(each.shape[1:]) > 1:
                    last = each.is_contiguous(memory_format=torch.channels_last)
                    self.seen.add("planes" if each.is_contiguous() else "last" if last else "mixed")
        return found


@pytest.mark.parametrize("pooling", ["max", "avg"])
@pytest.mark.parametrize(
    ("computes_in", "layout"), [(torch.float32, "planes"), (SIXTEEN_BIT, "last")], ids=str
)
def test_all_of_an_executor_lies_one_way(
    computes_in: torch.dtype, layout: str, pooling: Pooling
) -> None:
    """Where two layouts meet, torch copies or takes a slower kernel."""
    _, kept = networks(THIN, pooling, torch.float32, computes_in)

    with Layouts() as layouts:
        pulled(kept, random_picture(1, 50, 70), ["relu2_1", "relu3_1"])

    assert layouts.seen == {layout}


def test_what_others_multiply_by_is_left_as_it_was() -> None:
    """TF32 is a switch of the whole process, and Gram matrices are to be multiplied in full."""
    _, kept = networks(THIN, "max", torch.float32, torch.float32)
    convolutions = torch.backends.cudnn.conv
    before = convolutions.fp32_precision
    convolutions.fp32_precision = "ieee"
    try:
        pulled(kept, random_picture(1, 20, 20), ["relu2_1"])

        assert convolutions.fp32_precision == "ieee"
    finally:
        convolutions.fp32_precision = before
