"""`python -P -m worker`: one worker in the foreground, set up by DREAM_… variables."""

import logging
import os
import sys

from dream_core.errors import DreamError
from jobs import logs
from jobs.process import end_with_parent
from jobs.settings import load

NICENESS = 10  # the API answers first, whatever the cores are busy with


def main() -> int:
    """Run one worker; return the exit status."""
    try:
        settings = load()
        end_with_parent(settings.parent_pid)
        logs.set_up(settings, "worker")
        os.nice(NICENESS)
        from worker.room import run

        return run(settings)
    except DreamError as error:
        logging.getLogger("worker").error("%s", error)
        return 1


if __name__ == "__main__":
    sys.exit(main())
