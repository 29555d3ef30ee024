import sys
from pathlib import Path

import pytest
import torch

from dream_core.executors.memory import (
    _host_bytes,
    _host_total,
    free_bytes,
    groups,
    process_bytes,
    ran_out,
    total_bytes,
)


def test_torch_running_out_is_recognized_by_what_it_really_says() -> None:
    """The sentence is torch's own and may change with it."""
    with pytest.raises(RuntimeError) as caught:
        torch.empty(1 << 50)

    assert ran_out(caught.value)


@pytest.mark.parametrize(
    "said",
    [
        "MPS backend out of memory (MPS allocated: 17.89 GiB, max allowed: 18.13 GiB)",
        "Invalid buffer size: 24.00 GiB",
        "CUDA error: out of memory",
        "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
        "cuDNN error: CUDNN_STATUS_ALLOC_FAILED",
    ],
)
def test_so_is_what_runs_out_on_a_gpu(said: str) -> None:
    """None of these is torch's own class for it."""
    assert ran_out(RuntimeError(said))


def test_so_is_what_hides_behind_another_error() -> None:
    """A graph's capture in which memory runs out ends with the word that it is invalid."""
    with pytest.raises(RuntimeError) as caught:  # noqa: PT012
        try:
            raise torch.OutOfMemoryError("CUDA out of memory")
        finally:
            raise RuntimeError("operation failed due to a previous error during capture")

    assert ran_out(caught.value)


def test_other_errors_are_not_taken_for_a_lack_of_memory() -> None:
    """A wrong shape is a fault of ours, and no smaller picture helps."""
    with pytest.raises(RuntimeError) as caught:
        torch.ones(2, 3) @ torch.ones(2, 3)

    assert not ran_out(caught.value)


def test_what_is_left_is_the_hosts_or_the_containers_whichever_is_less(tmp_path: Path) -> None:
    """A container of 1 GB on a host of 64 GB has less than 1 GB."""
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal: 64000000 kB\nMemAvailable:    1000 kB\n")
    (tmp_path / "memory.max").write_text("900000\n")
    (tmp_path / "memory.current").write_text("400000\n")

    assert _host_bytes(meminfo, [tmp_path]) == 500_000

    (tmp_path / "memory.stat").write_text("anon 300000\ninactive_file 60000\n")
    assert _host_bytes(meminfo, [tmp_path]) == 560_000  # files that were read are given up

    (tmp_path / "memory.max").write_text("max\n")
    assert _host_bytes(meminfo, [tmp_path]) == 1_024_000
    assert _host_bytes(tmp_path / "none", [tmp_path]) is None


@pytest.mark.parametrize(
    ("told", "group", "limit", "used"),
    [
        ("0::/box/worker", "box/worker", "memory.max", "memory.current"),
        ("0::/box/worker", "box", "memory.max", "memory.current"),
        ("0::/", "", "memory.max", "memory.current"),
        (
            "5:cpu:/\n4:memory:/box\n0::/",
            "memory/box",
            "memory.limit_in_bytes",
            "memory.usage_in_bytes",
        ),
        # A container sees its own group at the root, and is told the name that it has outside.
        (
            "4:memory:/docker/4f2a",
            "memory",
            "memory.limit_in_bytes",
            "memory.usage_in_bytes",
        ),
    ],
)
def test_the_least_limit_of_the_groups_above_a_process_counts(
    tmp_path: Path, told: str, group: str, limit: str, used: str
) -> None:
    """A container, a service of systemd, a user's slice; with control groups of either version."""
    meminfo, own, root = tmp_path / "meminfo", tmp_path / "own", tmp_path / "cgroup"
    meminfo.write_text("MemAvailable: 1000 kB\n")
    own.write_text(f"{told}\n")
    (root / group).mkdir(parents=True)
    (root / group / limit).write_text("900000\n")
    (root / group / used).write_text("400000\n")

    assert _host_bytes(meminfo, groups(own, root)) == 500_000
    assert _host_bytes(meminfo, groups(tmp_path / "none", root)) == 1_024_000


def test_what_there_is_in_all_is_the_hosts_or_the_containers(tmp_path: Path) -> None:
    """A container without a limit has all of its host; one with more than that has no more."""
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal:  2000 kB\nMemAvailable:  1000 kB\n")

    assert _host_total(meminfo, [tmp_path]) == 2_048_000
    (tmp_path / "memory.max").write_text("max\n")
    assert _host_total(meminfo, [tmp_path]) == 2_048_000
    (tmp_path / "memory.max").write_text("600000\n")
    assert _host_total(meminfo, [tmp_path]) == 600_000
    (tmp_path / "memory.max").write_text("9000000\n")
    assert _host_total(meminfo, [tmp_path]) == 2_048_000
    assert _host_total(tmp_path / "none", [tmp_path]) is None


@pytest.mark.skipif(sys.platform != "linux", reason="other systems don't tell")
def test_this_process_is_smaller_than_what_it_runs_on() -> None:
    """Linux tells all three."""
    own, free, total = process_bytes(), free_bytes("cpu"), total_bytes("cpu")

    assert own is not None
    assert free is not None
    assert total is not None
    assert 0 < own < total
    assert 0 < free <= total
