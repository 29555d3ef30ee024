"""Where a worker computes: its device, and its share of the CPU's cores."""

import torch

from dream_core.errors import DeviceMissing
from dream_core.executors.cores import limit_threads
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
    limit_threads()  # torch counts physical cores; a container may have time on fewer
    torch.set_num_threads(settings.threads_of_each(torch.get_num_threads()))
    return device
