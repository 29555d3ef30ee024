import pytest
import torch

from jobs.errors import BadSetting
from jobs.settings import Settings
from worker.device import take_device


def test_a_container_shares_what_it_has_time_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Torch counts the cores of its host."""
    monkeypatch.setattr("dream_core.executors.cores.cores", lambda: 6)
    before = torch.get_num_threads()
    try:
        for of_torch, expected in ((64, 3), (4, 2)):
            torch.set_num_threads(of_torch)
            take_device(Settings(device="cpu", workers=2))
            assert torch.get_num_threads() == expected
    finally:
        torch.set_num_threads(before)


def test_a_device_that_is_not_there_is_refused_with_those_that_are() -> None:
    """A worker that should use a GPU and can't says so at its start, not by being slow."""
    with pytest.raises(
        BadSetting, match=r"DREAM_DEVICE is 'cuda:99': there is no device 'cuda:99' here; use .*cpu"
    ):
        take_device(Settings(device="cuda:99"))
