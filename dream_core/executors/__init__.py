"""One network, several ways to run it, all behind one seam. `autograd` is the reference."""

from dream_core.executors.device import available_devices, resolve_device
from dream_core.executors.executor import Executor, ExecutorTape
from dream_core.executors.plan import Plan

__all__ = ["Executor", "ExecutorTape", "Plan", "available_devices", "resolve_device"]
