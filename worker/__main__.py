"""`python -P -m worker`: one worker in the foreground, set up by DREAM_… variables."""

import sys

from dream_core.errors import DreamError
from jobs import exits, logs
from jobs.process import end_with_parent
from jobs.settings import load
from jobs.start import check


def main() -> int:
    """Run one worker; return the exit status."""
    try:
        settings = load()
        check(settings)
        end_with_parent(settings.parent_pid)
        logs.set_up(settings, "worker")
        from worker.room import run

        return run(settings)
    except DreamError as error:
        return exits.tell("worker", error)


if __name__ == "__main__":
    sys.exit(main())
