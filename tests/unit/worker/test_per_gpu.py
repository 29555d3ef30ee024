"""One worker a GPU: who is chosen, what each sees, how they end."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from jobs.errors import BadSetting
from jobs.settings import Settings, load
from worker.per_gpu import child_environment, choose

ROOT = Path(__file__).parents[3]

# Runs `keep` on two GPUs whose workers say so and then do as they are told.
PARENT = """
import sys
from jobs.settings import Settings
from worker.per_gpu import keep
sys.exit(keep(Settings(), [0, 1], [sys.executable, "-c", sys.argv[1]]))
"""
WAITS = """
import os, signal
os.write(1, os.environ["CUDA_VISIBLE_DEVICES"].encode() + b"\\n")  # at once, both into one pipe
signal.pause()
"""
SECOND_FAILS = """
import os, signal, sys
if os.environ["DREAM_WORKER_SLOT"] == "1": sys.exit(3)
signal.pause()
"""


def start(child: str) -> "subprocess.Popen[str]":
    """Start two such workers."""
    return subprocess.Popen(
        [sys.executable, "-c", PARENT, child],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize(
    ("asked", "count", "chosen"),
    [("all", 3, [0, 1, 2]), ("0,2", 3, [0, 2]), ("2,0,0", 3, [0, 2]), ("1", 2, [1])],
)
def test_gpus_are_chosen_by_number(asked: str, count: int, chosen: list[int]) -> None:
    """In order, and each once."""
    assert choose(asked, count) == chosen


@pytest.mark.parametrize(
    ("asked", "count", "fix"),
    [
        ("0,3", 2, "no GPU 3 here; there are 0, 1"),
        ("all", 0, "no GPU here"),
        ("0", 0, "nvidia-smi"),
    ],
)
def test_a_gpu_that_is_not_there_is_refused(asked: str, count: int, fix: str) -> None:
    """Three workers where four were asked for would be a quarter slower, and nobody told."""
    with pytest.raises(BadSetting, match=rf"DREAM_GPUS is '{asked}': .*{fix}"):
        choose(asked, count)


@pytest.mark.parametrize("gpus", ["", "none", "0;1", "-1", "0,", "0, 1"])
def test_gpus_are_all_or_numbers(gpus: str) -> None:
    """The sentence names the setting and what it takes."""
    with pytest.raises(BadSetting, match=r"DREAM_GPUS.*give all, or numbers"):
        load(gpus=gpus)


def test_a_worker_sees_its_own_gpu_and_has_its_share_of_the_cores(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Numbered as nvidia-smi does; its slot tells it from the others on this host."""
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    env = child_environment(Settings(), gpu=2, gpus=3)

    assert (env["CUDA_DEVICE_ORDER"], env["CUDA_VISIBLE_DEVICES"]) == ("PCI_BUS_ID", "2")
    assert (env["DREAM_DEVICE"], env["DREAM_WORKER_SLOT"], env["DREAM_WORKERS"]) == (
        "cuda",
        "2",
        "3",
    )
    assert env["DREAM_PARENT_PID"] == str(os.getpid())


@pytest.mark.parametrize(("seen", "own"), [("5,6,7", "7"), ("GPU-8a, GPU-1c, GPU-5e", "GPU-5e")])
def test_of_a_host_that_gives_us_some_gpus_no_others_are_taken(
    seen: str, own: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a cluster's scheduler sets it, by numbers or names; ours count among those."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", seen)

    assert child_environment(Settings(), gpu=2, gpus=3)["CUDA_VISIBLE_DEVICES"] == own


def test_told_to_stop_all_stop() -> None:
    """Compose tells the first process of a container alone."""
    parent = start(WAITS)
    assert parent.stdout is not None
    seen = {parent.stdout.readline(), parent.stdout.readline()}

    parent.send_signal(signal.SIGTERM)
    parent.communicate()

    assert seen == {"0\n", "1\n"}
    assert parent.returncode == 0


def test_when_one_ends_all_end_and_the_container_can_start_anew() -> None:
    """A host with one worker missing would look well and be slow."""
    parent = start(SECOND_FAILS)
    _, said = parent.communicate()

    assert parent.returncode == 3
    assert "exit status 3" in said
