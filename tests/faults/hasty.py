"""A room of ours in which every waiting time is short: `python -P -m tests.faults.hasty ROOM`.

The code is the same, only its named constants are others, set here before it is imported. So a
test of a fault that takes minutes takes seconds, and the program itself needs no knob for tests.
The real times are tried by `make faults`.
"""

import os
import runpy
import sys
from pathlib import Path
from typing import Any

LEASE_S = 3
SWEPT_EVERY_S = 0.5
VISIBILITY_S = 1  # far shorter than any dream here: a broker's redelivery would show


def hurry() -> None:
    """Shorten the lease, the pulse, the sweep and the broker's patience."""
    import jobs.claim

    jobs.claim.LEASE_S = LEASE_S
    import jobs.presence

    jobs.presence.RENEWED_EVERY_S = 0.5  # type: ignore[assignment]
    import jobs.reaper

    jobs.reaper.UNSENT_AFTER_S = 2
    jobs.reaper.Reaper.__init__.__defaults__ = (SWEPT_EVERY_S, LEASE_S)
    import jobs.queue

    patient = jobs.queue.celery_app

    def celery_app(*given: Any) -> Any:
        app = patient(*given)
        app.conf.broker_transport_options["visibility_timeout"] = VISIBILITY_S
        return app

    jobs.queue.celery_app = celery_app
    import cli.up.service

    def module(name: str) -> tuple[str, ...]:
        hurried = () if name == "jobs.valkey" else ("tests.faults.hasty",)
        return (sys.executable, "-P", "-m", *hurried, name)

    cli.up.service.module = module


def confine(room: str) -> None:
    """Put a worker into the control group that FAULTS_WORKERS_IN names, if it does."""
    group = os.environ.get("FAULTS_WORKERS_IN")
    if group and room == "worker":
        Path(group, "cgroup.procs").write_text(str(os.getpid()))


if __name__ == "__main__":
    hurry()
    room = sys.argv.pop(1)
    confine(room)
    runpy.run_module(room, run_name="__main__", alter_sys=True)
