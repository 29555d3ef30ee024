"""One network, several ways to run it, all behind one seam. `autograd` is the reference."""

from dream_core.executors.device import available_devices, resolve_device
from dream_core.executors.executor import Executor, ExecutorTape
from dream_core.executors.plan import Plan
from dream_core.executors.probe import Probe
from dream_core.executors.way import REFERENCE, Paces, Rated, Way

__all__ = [
    "REFERENCE",
    "Executor",
    "ExecutorTape",
    "Paces",
    "Plan",
    "Probe",
    "Rated",
    "Way",
    "available_devices",
    "resolve_device",
]
