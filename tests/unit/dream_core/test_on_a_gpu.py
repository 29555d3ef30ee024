"""What can be known of a dream on a GPU without one.

PyTorch's fake tensors have a device, a shape and a dtype, and no numbers. An iteration that runs
through them as on CUDA reads no number of the device's, copies nothing between it and the host and
mixes no devices: all that would make a GPU wait, or that no graph can hold.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
import torchgen
from torch import Tensor
from torch._subclasses.fake_tensor import (
    DataDependentOutputException,
    FakeTensorMode,
)
from torch.utils._python_dispatch import TorchDispatchMode

from dream_core import dream as dream_module
from dream_core.dream import Dream
from dream_core.executors import REFERENCE, Plan, Way
from dream_core.executors.building import ways_here
from dream_core.executors.device import check_dtype
from dream_core.networks import Network, load_network
from dream_core.spec import DreamSpec
from tests.branches import BRANCHES, model_of
from tests.thin import random_weights, thin_model, thin_network

GPU = torch.device("cuda:0")
MANY = {"conv1_2": -5.0, "relu2_1": 50.0, "relu4_1": 1000.0, "pool4": 0.0}
EVERYTHING = {
    "layers": MANY,
    "content_weight": 3e3,
    "content_layers": ["relu2_1", "relu3_4"],
    "normalize_gradients": True,
}


BRANCHED = model_of("branched", BRANCHES)
# torch's own list of what it has written for which device, by operator.
LIST = Path(torchgen.__file__).parent / "packaged" / "ATen" / "native" / "native_functions.yaml"
WRITTEN = {
    entry.partition("(")[0]: entry
    for entry in re.split(r"^- func: ", LIST.read_text(), flags=re.MULTILINE)[1:]
}


class Watch(TorchDispatchMode):
    """Sees every operator that runs, with the tensors it takes and gives."""

    def __init__(self) -> None:
        super().__init__()
        self.ran: Counter[str] = Counter()
        self.dtypes: set[torch.dtype] = set()
        self.crossed: list[str] = []
        self.by_tf32: set[str] = set()

    def __torch_dispatch__(self, func: Any, _types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run the operator, and note it."""
        kwargs = kwargs or {}
        if func is torch.ops.aten._fused_adam_.tensor_lr:  # has no fake form
            found = None
            assert {one.device for one in _tensors((args, kwargs))} == {GPU}
        else:
            found = func(*args, **kwargs)
        tensors = _tensors((args, kwargs, found))
        self.ran[str(func)] += 1
        if "tf32" in (
            torch.backends.cudnn.conv.fp32_precision,
            torch.backends.cuda.matmul.fp32_precision,
        ):
            self.by_tf32.add(str(func))
        self.dtypes |= {one.dtype for one in tensors}
        # A number may stand for itself; a tensor that lies elsewhere has to be brought.
        if len({one.device for one in tensors}) > 1:
            self.crossed.append(str(func))
        return found


def _tensors(value: Any) -> list[Tensor]:
    if isinstance(value, Tensor):
        return [value]
    if isinstance(value, Mapping):
        return _tensors(list(value.values()))
    if isinstance(value, list | tuple):
        return [one for each in value for one in _tensors(each)]
    return []


class Unheard:
    """A stream on which nothing is waited for."""

    def capture(self, iterate: Callable[[], None]) -> Callable[[], None]:
        """Run operation by operation."""
        iterate()
        return iterate

    def bring(self, tensor: Tensor) -> Callable[[], Tensor]:
        """Bring nothing, so whoever waited would get no number."""
        return lambda: tensor


@pytest.fixture
def _nothing_is_here(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A GPU that every plan finds, and whose tensors are fake."""
    monkeypatch.setattr(Plan, "check_here", lambda _: None)
    monkeypatch.setattr(dream_module, "_digest", lambda _: "")
    monkeypatch.setattr(dream_module, "new_stream", lambda _: Unheard())
    with FakeTensorMode():
        yield


def on_gpu(way: Way, **fields: Any) -> Dream:
    """Start a dream of a thin VGG-19 on what looks like a GPU."""
    model = thin_model()
    weights = {name: tensor.to(GPU) for name, tensor in random_weights(model, 1).items()}
    network = Network(model, weights, pooling="max", device=GPU, dtype=torch.float32)
    plan = Plan(
        *(way.executor, way.precision, "float32", str(GPU)),
        threads=torch.get_num_threads(),
        torch_version=torch.__version__,
        cpu="none",
    )
    spec = DreamSpec(**{"image_size": 50, "iterations": 100, **fields})
    return Dream(torch.rand(3, 37, 50), spec, network=network, plan=plan)


@pytest.mark.usefixtures("_nothing_is_here")
@pytest.mark.parametrize("precision", ["exact", "balanced", "fast"])
@pytest.mark.parametrize("fields", [{"layers": MANY}, EVERYTHING], ids=["dosed", "everything"])
def test_an_iteration_reads_nothing_from_a_gpu_and_brings_it_nothing(
    precision: Any, fields: dict[str, Any]
) -> None:
    """Nor any after it, before the loop waits for the first."""
    started = on_gpu(Way("direct", precision), **fields)

    with Watch() as watch:
        started.step()
        started.step()

    assert watch.crossed == []
    assert torch.float64 not in watch.dtypes
    assert (torch.bfloat16 in watch.dtypes) == (precision == "fast")
    fewer_bits = {"aten.convolution_backward.default"} if precision == "balanced" else set()
    assert watch.by_tf32 == fewer_bits
    assert watch.ran["aten._fused_adam_.tensor_lr"] == 3  # one of them tried out for the capture
    assert watch.ran["aten.convolution_backward.default"] == 3 * 12


@pytest.mark.usefixtures("_nothing_is_here")
def test_a_number_that_is_read_would_have_been_seen() -> None:
    """So the test above can fail: whoever waits for the losses reads them."""
    started = on_gpu(Way("direct", "fast"))

    with Watch():
        told = started.step()
        with pytest.raises(DataDependentOutputException):
            dict(told.losses)
        with pytest.raises(RuntimeError, match="found at least two devices"):
            torch.zeros(3, device=GPU) + torch.zeros(3)
    with Watch() as watch:
        torch.zeros(3, device=GPU).copy_(torch.zeros(3))
    assert watch.crossed == ["aten.copy_.default"]


APPLES = [
    EVERYTHING,
    {"layers": MANY, "optimizer": "lbfgs"},
    {"layers": MANY, "pooling": "avg", "style_scale": 0.7},
]


@pytest.mark.parametrize("fields", APPLES, ids=["everything", "lbfgs", "pooled"])
def test_apples_gpus_have_every_operator_that_a_dream_runs_there(fields: dict[str, Any]) -> None:
    """By torch's own list; and no float64 is made, which they have not."""
    spec = DreamSpec(**{"image_size": 50, **fields})
    source, plan = torch.rand(3, 37, 50), Plan.make(torch.device("cpu"), torch.float32, REFERENCE)
    with Watch() as watch:
        started = Dream(source, spec, network=thin_network(pooling=spec.pooling), plan=plan)
        for _ in range(4):
            started.step()
        started.load_state_dict(started.state_dict())
        started.picture()

    assert watch.ran["aten.convolution.default"] > 40
    assert [name for name in watch.ran if not runs_on_mps(name)] == []
    assert torch.float64 not in watch.dtypes


def test_apples_gpus_have_the_layers_that_vgg_has_not() -> None:
    """Of branches, and of GoogLeNet."""
    model = BRANCHED
    network = load_network(model, random_weights(model, 1), pooling="max")
    with Watch() as watch:
        features, tape = network.forward(torch.rand(3, 27, 32), ["far", "both"])
        tape.backward(features)

    assert watch.ran["aten.avg_pool3d.default"] == 1
    assert [name for name in watch.ran if not runs_on_mps(name)] == []
    assert not runs_on_mps("aten._fused_adam_.nonsense")
    assert not runs_on_mps("aten.cudnn_convolution.default")  # one that they have not


def runs_on_mps(operator: str) -> bool:
    """Whether an operator is written for MPS, or of others that are."""
    written = WRITTEN.get(operator.removeprefix("aten.").removesuffix(".default"), "")
    if delegate := re.search(r"^  structured_delegate: (\S+)", written, re.MULTILINE):
        return runs_on_mps(f"aten.{delegate[1]}")
    kinds = re.search(r"^  dispatch:\n((?:    .*\n)+)", written, re.MULTILINE)
    return bool(written) and (kinds is None or bool(re.search("MPS|Composite", kinds[1])))


def test_apples_gpus_run_the_reference_and_refuse_float64() -> None:
    """Nobody has tried anything else there."""
    assert ways_here(torch.device("mps")) == (REFERENCE,)
    check_dtype(torch.device("mps"), torch.float32)

    with pytest.raises(ValueError, match="mps computes in float32 at most, not float64; take"):
        check_dtype(torch.device("mps"), torch.float64)


@pytest.mark.parametrize(("capability", "fewer"), [((7, 5), False), ((8, 0), True), ((9, 0), True)])
def test_a_gpu_without_tf32_and_bfloat16_runs_exactly(
    capability: tuple[int, int], fewer: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By its compute capability: what it lacks would be emulated, slower than float32."""
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: capability)

    ways = ways_here(GPU)

    assert {Way("direct", "exact"), REFERENCE} <= set(ways)
    assert (Way("direct", "balanced") in ways) == (Way("direct", "fast") in ways) == fewer
    assert {way.executor for way in ways} == {"direct", "autograd"}
