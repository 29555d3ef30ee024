"""Rates: found by small dreams on this very machine; what they are is not for a test to know."""

from dataclasses import asdict

import pytest
import torch

from dream_core import rates
from dream_core.executors import REFERENCE, Way
from dream_core.rates import measure_rates


def test_each_way_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    """By dreams of its own: two here, as the others take longer."""
    monkeypatch.setattr(rates, "LOOKS", ((33, 40, "relu1_1"), (40, 32, "relu3_1")))
    ways = [REFERENCE, Way("direct", "exact")]

    found = measure_rates(torch.device("cpu"), ways)

    assert list(found) == ways
    for each in found.values():
        assert min(asdict(each).values()) >= 0
        assert each.saved > 0


def test_a_slow_machine_is_looked_at_for_no_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    """One look comes whatever it takes; the rest is reckoned from it."""
    looked: list[object] = []
    monkeypatch.setattr(rates, "LOOKS", ((33, 40, "relu1_1"), (33, 40, "relu1_1")))
    monkeypatch.setattr(rates, "LONGEST_S", 0.0)
    known = rates.fit
    monkeypatch.setattr(rates, "fit", lambda looks: looked.extend(looks) or known(looks))

    measure_rates(torch.device("cpu"), [REFERENCE])

    assert len(looked) == 1
