"""What a queued job waits for, in words."""

from collections.abc import Sequence

from jobs.presence import Presence

_MB = 1_000_000


def waits_for(position: int, workers: Sequence[Presence], *, paused: bool = False) -> str:
    """Return what has to happen before the job at `position` (1 is the next) starts."""
    if paused:
        return "the end of a pause: the queue is paused"
    ready = [worker for worker in workers if worker.state in ("idle", "dreaming")]
    if not ready:
        return _until_ready(workers)
    ahead = position - 1
    if ahead:
        return f"{ahead} {'dreams' if ahead > 1 else 'dream'} ahead"
    if any(worker.state == "idle" for worker in ready):
        return "an idle worker, which is about to take it"
    return "the dream that runs" if len(ready) == 1 else f"one of the {len(ready)} dreams that run"


def _until_ready(workers: Sequence[Presence]) -> str:
    """Return what the workers that are up are doing instead of dreaming."""
    for worker in workers:
        if worker.state == "pulling":
            return f"the weights of {worker.model}: {_amount(worker)}"
    if any(worker.state == "starting" for worker in workers):
        return "a worker that is starting"
    return "a worker; none is up"


def _amount(worker: Presence) -> str:
    done = (worker.bytes_done or 0) // _MB
    if not worker.bytes_total:
        return f"{done} MB"
    return f"{done} of {-(-worker.bytes_total // _MB)} MB"
