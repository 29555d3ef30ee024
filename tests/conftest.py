"""What no test may depend on: how fast this machine is, and who has started the tests."""

import os
import signal
import sys

import pytest

# Read with the settings of every process that a test starts, and by those started in this one:
# dreams run by the reference executor where a test asks for nothing else, and nothing is measured.
os.environ["DREAM_EXECUTOR"] = "autograd"
# A shell starts what runs in its background with Ctrl-C ignored, which processes inherit.
signal.signal(signal.SIGINT, signal.default_int_handler)
PROBE = "dream_core.executors.probe"


@pytest.fixture(autouse=True)
def _run_by_the_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same for dreams that are made in a test."""
    if PROBE in sys.modules:  # else the test needs no torch
        probe = sys.modules[PROBE]
        monkeypatch.setattr(probe, "HERE", probe.Probe(executor="autograd"))
