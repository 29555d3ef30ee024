"""A process that is a part of a stack: it ends when the stack's supervisor does."""

import ctypes
import os
import signal
import sys
import threading
import time

_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_LOOKED_AT_EVERY_S = 1.0


def end_with_parent(parent: int | None) -> None:
    """Ask to be sent SIGTERM when `parent` is no longer our parent; None: live on alone.

    On Linux the kernel does it, also after an exec; it means the *thread* that started us, so a
    supervisor starts its children from its main thread. Elsewhere a thread looks every second.
    """
    if parent is None:
        return
    if sys.platform == "linux":
        ask_kernel()
    else:
        threading.Thread(target=_watch, args=(parent,), daemon=True, name="parent").start()
    if os.getppid() != parent:  # it was gone before we asked
        os.kill(os.getpid(), signal.SIGTERM)


def ask_kernel() -> None:
    """Have Linux send us SIGTERM when our parent ends."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_LOOKED_AT_EVERY_S)
    os.kill(os.getpid(), signal.SIGTERM)
