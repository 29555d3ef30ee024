"""SIGTERM: the job goes back to its queue between two steps, and the process is out in 5 s."""

import logging
import os
import threading
from collections.abc import Callable

log = logging.getLogger(__name__)

# Of the 5 s that a stack has to stop. The rest is for giving back and leaving, which took 1.4 s
# on two cores at a load of 6.
GRACE_S = 3.0


class Stopping:
    """Asks the running dream to stop; ends the process itself where a step takes too long."""

    def __init__(
        self,
        say: Callable[[], None],
        leave: Callable[[], None],
        end: Callable[[int], object] = os._exit,
        grace_s: float = GRACE_S,
    ) -> None:
        """Call `say` at once; after the grace `leave`, which gives the job back, and `end`."""
        self.asked = threading.Event()
        self._left = threading.Event()
        self._say = say
        self._leave = leave
        self._end = end
        self._grace_s = grace_s

    def begin(self) -> None:
        """Start to stop; called once more it changes nothing."""
        if not self.asked.is_set():
            self.asked.set()
            # Not here: we may be in a signal handler, in the middle of anything.
            threading.Thread(target=self._insist, daemon=True, name="stopping").start()

    def finish(self) -> None:
        """Say that the process leaves by itself."""
        self._left.set()

    def _insist(self) -> None:
        self._say()
        if not self._left.wait(self._grace_s):
            log.warning("the step takes longer than %g s: its job is given back", self._grace_s)
            self._leave()
            self._end(0)
