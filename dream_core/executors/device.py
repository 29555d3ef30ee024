"""From the name of a device to the device."""

import os

import torch

from dream_core.errors import DeviceMissing


def available_devices() -> list[str]:
    """Return the names of all devices here, the fastest kind first."""
    cuda = [f"cuda:{index}" for index in range(torch.cuda.device_count())]
    mps = ["mps"] if torch.backends.mps.is_available() else []
    return [*cuda, *mps, "cpu"]


def resolve_device(device: str | torch.device) -> torch.device:
    """Return the device of that name: cpu, cuda (the first), cuda:1 …, mps; auto is the fastest.

    Raises:
        DeviceMissing: it isn't here; lists those that are.
    """
    names = available_devices()
    name = str(device)
    wanted = {"auto": names[0], "cuda": "cuda:0"}.get(name, name)
    if wanted not in names:
        raise DeviceMissing(name, names)
    if wanted.startswith("cuda"):
        # cuBLAS gives the same bits twice only with workspaces asked for before it starts.
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    return torch.device(wanted)


def check_dtype(device: torch.device, dtype: torch.dtype) -> None:
    """Refuse what a device can't compute in.

    Raises:
        ValueError: float64 on Apple's GPUs.
    """
    if device.type == "mps" and dtype == torch.float64:
        raise ValueError("mps computes in float32 at most, not float64; take the device cpu for it")
