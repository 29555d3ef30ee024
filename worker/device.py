"""Where a worker computes: its device, and its share of the CPU's cores."""

import torch

from dream_core.errors import DeviceMissing
from dream_core.executors.cores import cores
from dream_core.executors.device import resolve_device
from jobs.errors import BadSetting
from jobs.settings import Settings
from worker.gpu import check_gpu


def take_device(settings: Settings) -> torch.device:
    """Return the device that the settings ask for, with the threads of this process set.

    Raises:
        BadSetting: it isn't here; lists those that are.
        DriverUnfit, GpuUnfit: it is, but torch can't compute on it.
    """
    try:
        device = resolve_device(settings.device)
    except DeviceMissing as error:
        raise BadSetting("DREAM_DEVICE", settings.device, str(error), "device") from error
    if device.type == "cuda":
        check_gpu(device)
    torch.set_num_threads(threads(settings, torch.get_num_threads()))
    return device


def threads(settings: Settings, of_torch: int) -> int:
    """Return how many threads a worker may use: its share of those that torch would take.

    torch counts physical cores, so that the workers of a host don't get into each other's way; a
    container may have time on fewer.
    """
    if settings.threads is not None:
        return settings.threads
    return max(1, min(of_torch, cores() or of_torch) // max(settings.workers, 1))
