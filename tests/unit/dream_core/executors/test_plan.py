import json
from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch

from dream_core import native
from dream_core.errors import DeviceMissing, StateRefused
from dream_core.executors import Plan, Way, available_devices, resolve_device


@pytest.fixture
def plan() -> Plan:
    """A plan of this host."""
    return Plan.make(torch.device("cpu"), torch.float32)


@pytest.fixture(autouse=True)
def _threads_as_before() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def test_a_plan_comes_back_from_a_record(plan: Plan) -> None:
    """The ledger keeps it as JSON; a resume makes the same plan of it."""
    recorded = json.loads(json.dumps(plan.as_dict()))

    assert Plan(**recorded) == plan
    assert recorded["executor"] == "autograd"
    assert recorded["threads"] == torch.get_num_threads()
    assert plan.torch_dtype is torch.float32


def test_a_plan_holds_its_threads_whatever_another_dream_has_set(plan: Plan) -> None:
    """The number of threads decides the order of sums, and with it every bit."""
    torch.set_num_threads(3)

    with replace(plan, threads=1).held():
        inside = torch.get_num_threads()

    assert inside == 1


@pytest.mark.parametrize("what", ["torch_version", "cpu"])
def test_a_plan_of_another_kind_of_host_is_refused(plan: Plan, what: str) -> None:
    """Other kernels make other bits; to go on there needs a new plan, said aloud."""
    elsewhere = replace(plan, **{what: "another"})

    with pytest.raises(StateRefused, match=f"plan.{what} another, this dream has"):
        elsewhere.check_here()


@pytest.mark.skipif(not native.available(), reason=native.reason())
def test_a_plan_of_another_version_of_the_kernel_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A dream that waited for an update would go on with other bits, and nobody would know."""
    plan = Plan.make(torch.device("cpu"), torch.float32, Way("winograd", "exact"))
    plan.check_here()
    was = native.VERSION
    monkeypatch.setattr(native, "VERSION", was + 1)

    with pytest.raises(StateRefused, match=rf"plan.cpu .*kernel {was} .*kernel {was + 1} "):
        plan.check_here()


def test_a_plan_made_here_can_be_had_here(plan: Plan) -> None:
    """With another number of threads too: those are set, not found."""
    replace(plan, threads=plan.threads + 1).check_here()


def test_a_plan_says_in_which_way_it_runs_the_network() -> None:
    """And of 16 bit it says more of the CPU: what multiplies them decides their bits."""
    fast = Plan.make(torch.device("cpu"), torch.float32, Way("direct", "fast"))

    assert (fast.executor, fast.precision, fast.dtype) == ("direct", "fast", "float32")
    assert fast.way == Way("direct", "fast")
    assert fast.cpu.startswith(torch.backends.cpu.get_cpu_capability())


def test_a_plan_of_a_way_that_is_not_known_is_refused() -> None:
    """A later version's record; the worker then goes on under a new plan."""
    plan = replace(Plan.make(torch.device("cpu"), torch.float32), executor="quantum")

    with pytest.raises(StateRefused, match="quantum exact"):
        plan.check_here()


def test_a_device_that_is_not_here_is_refused_with_those_that_are() -> None:
    """No host has a hundred GPUs."""
    with pytest.raises(DeviceMissing, match=r"no device 'cuda:99' here; use .*cpu"):
        resolve_device("cuda:99")


def test_auto_is_the_first_of_the_devices_here() -> None:
    """Listed fastest kind first, the CPU last and always."""
    assert str(resolve_device("auto")) == available_devices()[0]
    assert available_devices()[-1] == "cpu"
    assert resolve_device("cpu") == torch.device("cpu")
