"""Whether torch and this host's driver and GPU can work together; asked before the first job."""

from typing import Protocol

import torch

from worker.errors import DriverUnfit, GpuUnfit


class Cuda(Protocol):
    """What is asked of torch.cuda."""

    def init(self) -> None:
        """Start CUDA, or raise."""

    def get_arch_list(self) -> list[str]:
        """Return what torch was built for: sm_86, compute_90 and so on."""

    def get_device_capability(self, device: torch.device) -> tuple[int, int]:
        """Return (8, 6) for 8.6."""

    def get_device_name(self, device: torch.device) -> str:
        """Return what its maker calls it."""


def check_gpu(device: torch.device, cuda: Cuda = torch.cuda) -> None:
    """Return where torch can compute on the device.

    Raises:
        DriverUnfit: CUDA doesn't start, mostly as the driver is older than torch's CUDA.
        GpuUnfit: torch was built without code for it.
    """
    try:
        cuda.init()
    except (RuntimeError, AssertionError) as error:
        raise DriverUnfit(torch.__version__, torch.version.cuda, str(error)) from error
    capability = cuda.get_device_capability(device)
    architectures = cuda.get_arch_list()
    if not any(runs(architecture, capability) for architecture in architectures):
        raise GpuUnfit(cuda.get_device_name(device), capability, torch.__version__, architectures)


def runs(architecture: str, capability: tuple[int, int]) -> bool:
    """Whether code built for sm_86 or compute_90 runs on a GPU of that compute capability.

    Machine code runs on the same major version from its minor version on; the intermediate code of
    compute_… is translated by the driver for any later GPU.

    Source: CUDA C++ Programming Guide, "Application Compatibility".
    """
    kind, _, digits = architecture.rstrip("af").partition("_")
    built = (int(digits[:-1]), int(digits[-1]))
    if kind == "compute":
        return built <= capability
    return built[0] == capability[0] and built[1] <= capability[1]
