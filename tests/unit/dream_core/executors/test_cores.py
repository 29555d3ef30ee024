"""How many cores a process may use: what it is bound to, and what its control groups allow."""

import sys
from pathlib import Path

import pytest
import torch

from dream_core.executors.cores import _cores, cores, limit_threads
from dream_core.executors.memory import groups


@pytest.mark.parametrize(
    ("told", "group"),
    [
        ("0::/", ""),
        ("0::/system.slice/dream.service", "system.slice"),
        ("2:cpu,cpuacct:/docker/4f2a", "cpu,cpuacct"),
    ],
)
@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"cpu.max": "250000 100000"}, 2),
        ({"cpu.max": "50000 100000"}, 1),
        ({"cpu.max": "max 100000"}, 8),
        ({"cpu.max": "6400000 100000"}, 8),
        ({"cpu.cfs_quota_us": "300000", "cpu.cfs_period_us": "100000"}, 3),
        ({"cpu.cfs_quota_us": "-1", "cpu.cfs_period_us": "100000"}, 8),
        ({}, 8),
    ],
    ids=str,
)
def test_a_container_uses_the_cores_that_it_has_time_for(
    told: str, group: str, files: dict[str, str], expected: int, tmp_path: Path
) -> None:
    """With threads beyond that each layer waits for one that is stopped."""
    own, root = tmp_path / "own", tmp_path / "cgroup"
    own.write_text(f"1:name=systemd:/elsewhere\n{told}\n")
    (root / group).mkdir(parents=True)
    for name, text in files.items():
        (root / group / name).write_text(f"{text}\n")

    assert _cores(8, groups(own, root, "cpu")) == expected
    assert _cores(1, groups(own, root, "cpu")) == 1


def test_where_nobody_tells_nothing_is_known(tmp_path: Path) -> None:
    """A Mac binds no process, and has no control groups."""
    assert _cores(None, groups(tmp_path / "none", tmp_path, "cpu")) is None


def test_torch_takes_no_more_threads_than_there_are_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    """It counts those of the host; where nobody tells it is believed."""
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(5)
        for known, expected in ((None, 5), (8, 5), (3, 3)):
            monkeypatch.setattr("dream_core.executors.cores.cores", lambda known=known: known)
            limit_threads()
            assert torch.get_num_threads() == expected
    finally:
        torch.set_num_threads(before)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems don't tell")
def test_this_process_has_a_core() -> None:
    """Or it would not run."""
    found = cores()

    assert found is not None
    assert found >= 1
