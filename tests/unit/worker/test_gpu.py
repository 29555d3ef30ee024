"""What a worker says of a GPU that torch can't compute on."""

import pytest
import torch

from worker.errors import DriverUnfit, GpuUnfit
from worker.gpu import check_gpu, runs

ARCHITECTURES = ["sm_75", "sm_80", "sm_90"]
DEVICE = torch.device("cuda:0")


class Host:
    """A host with one GPU and a driver, as torch.cuda would tell of it."""

    def __init__(self, capability: tuple[int, int], driver_says: str = "") -> None:
        self._capability = capability
        self._driver_says = driver_says

    def init(self) -> None:
        if self._driver_says:
            raise RuntimeError(self._driver_says)

    def get_arch_list(self) -> list[str]:
        return ARCHITECTURES

    def get_device_capability(self, device: torch.device) -> tuple[int, int]:
        return self._capability

    def get_device_name(self, device: torch.device) -> str:
        return "GeForce GTX 980"


def test_a_gpu_that_torch_was_built_for_is_taken() -> None:
    """8.6 runs what was built for 8.0."""
    check_gpu(DEVICE, Host((8, 6)))


def test_a_gpu_that_torch_was_not_built_for_is_refused_at_the_start() -> None:
    """Else its first job would fail with `no kernel image is available`."""
    with pytest.raises(GpuUnfit, match=r"GTX 980 has compute capability 5\.2, .* sm_75, sm_80"):
        check_gpu(DEVICE, Host((5, 2)))


def test_a_driver_that_is_too_old_is_refused_in_one_line_with_the_way_out() -> None:
    """Torch's own words are in it, which name the driver's version."""
    host = Host((8, 6), "The NVIDIA driver is too old\n(found version 11040).")

    with pytest.raises(DriverUnfit) as refused:
        check_gpu(DEVICE, host)

    said = str(refused.value)
    assert "too old (found version 11040)); install a driver" in said
    assert "DREAM_DEVICE=cpu" in said
    assert "\n" not in said


@pytest.mark.parametrize(
    ("architecture", "capability", "expected"),
    [
        ("sm_80", (8, 0), True),
        ("sm_80", (8, 9), True),
        ("sm_86", (8, 0), False),
        ("sm_80", (9, 0), False),
        ("sm_100", (10, 3), True),
        ("sm_90a", (9, 0), True),
        ("compute_80", (12, 0), True),
        ("compute_90", (8, 9), False),
    ],
)
def test_code_runs_on_its_generation_and_intermediate_code_on_later_ones(
    architecture: str, capability: tuple[int, int], expected: bool
) -> None:
    """The rule of NVIDIA's programming guide."""
    assert runs(architecture, capability) is expected
