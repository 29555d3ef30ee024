"""How often a fault is tried: a few times in `make test`, twenty times in `make faults`."""

import os

import pytest

MANY = os.environ.get("FAULTS") == "many"
TIMES = 20


def trials(few: int = 1) -> pytest.MarkDecorator:
    """Return a mark that runs a test that often; its number is `trial`."""
    return pytest.mark.parametrize("trial", range(TIMES if MANY else few), indirect=True)
