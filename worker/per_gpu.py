"""`python -P -m worker.per_gpu`: one worker a GPU, on those that DREAM_GPUS names.

When one of them ends, all do, and whoever started us starts us again: jobs that were given back go
on from their checkpoints.
"""

import logging
import os
import signal
import subprocess
import sys
from collections.abc import Sequence

from dream_core.errors import DreamError
from jobs import exits, logs
from jobs.errors import BadSetting
from jobs.process import end_with_parent
from jobs.settings import Settings, environment, load

log = logging.getLogger(__name__)


def main() -> int:
    """Run the workers until SIGTERM, or until one ends; return the exit status."""
    try:
        settings = load()
        end_with_parent(settings.parent_pid)
        logs.set_up(settings, "worker")
        return keep(settings, choose(settings.gpus, present()))
    except DreamError as error:
        return exits.tell("worker", error)


def present() -> int:
    """Return how many GPUs this host shows us; none is touched."""
    os.environ["CUDA_DEVICE_ORDER"] = "PCI_BUS_ID"  # as nvidia-smi counts them
    import torch

    return torch.cuda.device_count()


def choose(asked: str, count: int) -> list[int]:
    """Return the numbers of the GPUs to use, in order.

    Raises:
        BadSetting: one of them isn't here, or there is none at all.
    """
    chosen = range(count) if asked == "all" else sorted({int(gpu) for gpu in asked.split(",")})
    missing = [gpu for gpu in chosen if gpu >= count]
    if not count:
        fix = "torch sees no GPU here; nvidia-smi must list it, in the container too"
        raise BadSetting("DREAM_GPUS", asked, fix)
    if missing:
        there = ", ".join(map(str, range(count)))
        raise BadSetting(
            "DREAM_GPUS", asked, f"there is no GPU {missing[0]} here; there are {there}"
        )
    return list(chosen)


def child_environment(settings: Settings, gpu: int, gpus: int) -> dict[str, str]:
    """Return what makes a worker one of `gpus`, which sees its own GPU alone.

    GPUs are counted among those that this process may see, which may be some of the host's.
    """
    seen = os.environ.get("CUDA_VISIBLE_DEVICES")
    ours = {"workers": gpus, "worker_slot": gpu, "device": "cuda", "parent_pid": os.getpid()}
    return {
        **environment(settings.model_copy(update=ours)),
        "CUDA_DEVICE_ORDER": "PCI_BUS_ID",
        "CUDA_VISIBLE_DEVICES": seen.split(",")[gpu].strip() if seen else str(gpu),
    }


def keep(
    settings: Settings,
    gpus: Sequence[int],
    command: Sequence[str] = (sys.executable, "-P", "-m", "worker"),
) -> int:
    """Run a worker on each GPU; stop all when told to, or when the first ends."""
    workers: list[subprocess.Popen[bytes]] = []
    told = False

    def stop(*_: object) -> None:
        nonlocal told
        told = True
        for worker in workers:
            worker.terminate()

    signal.signal(signal.SIGTERM, stop)
    for gpu in gpus:
        if not told:
            env = child_environment(settings, gpu, len(gpus))
            workers.append(subprocess.Popen(command, env=env))
    _, status = os.wait()
    by_itself, code = not told, os.waitstatus_to_exitcode(status)
    stop()
    for worker in workers:
        worker.wait()
    if by_itself:
        log.error("a worker ended (exit status %d), and the others with it", code)
    return (abs(code) or 1) if by_itself else 0


if __name__ == "__main__":
    sys.exit(main())
