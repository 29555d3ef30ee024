import pytest

from jobs.errors import BadSetting
from jobs.settings import Settings
from worker.device import take_device, threads


def test_workers_share_the_cores_of_a_host() -> None:
    """Two workers with all cores each would be slower than one."""
    assert threads(Settings(workers=1), of_torch=1) == 1
    assert threads(Settings(workers=64), of_torch=2) == 1
    assert threads(Settings(workers=2, threads=7), of_torch=4) == 7


def test_a_container_shares_what_it_has_time_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Torch counts the cores of its host."""
    monkeypatch.setattr("worker.device.cores", lambda: 6)

    assert threads(Settings(workers=2), of_torch=64) == 3
    assert threads(Settings(workers=2), of_torch=4) == 2


def test_a_device_that_is_not_there_is_refused_with_those_that_are() -> None:
    """A worker that should use a GPU and can't says so at its start, not by being slow."""
    with pytest.raises(
        BadSetting, match=r"DREAM_DEVICE is 'cuda:99': there is no device 'cuda:99' here; use .*cpu"
    ):
        take_device(Settings(device="cuda:99"))
