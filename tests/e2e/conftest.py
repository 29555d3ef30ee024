import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cli.main import run
from cli.up.log import Log
from cli.up.service import stack
from cli.up.stack import Stack
from dream_core.catalogue import default_model_dir
from jobs.settings import load

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests" / "golden"
THIN = "thin"
Supervisor = subprocess.Popen[str]


@pytest.fixture(scope="session")
def picture() -> Path:
    """Give a small picture."""
    return GOLDEN / "inputs" / "scene_65x41.png"


@pytest.fixture(scope="session")
def thin_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder of models that has a thin VGG-19, added as a user adds one."""
    folder = tmp_path_factory.mktemp("models")
    caffe = GOLDEN / "models"
    with in_environment(DREAM_MODEL_DIR=str(folder)):
        weights, prototxt = caffe / "thin_vgg19.caffemodel", caffe / "thin_vgg19.prototxt"
        added = run(["models", "add", THIN, "--weights", str(weights), "--prototxt", str(prototxt)])
    assert added == 0
    return folder


@pytest.fixture(scope="module")
def environment(thin_models: Path, real_models: Path) -> Iterator[dict[str, str]]:
    """Set what every stack of these tests is started with, nothing of the user's own."""
    _ = real_models  # found before the variable that names them is changed
    ours = {
        "DREAM_MODEL_DIR": str(thin_models),
        "DREAM_PRELOAD": "none",
        "PYTHONPATH": str(ROOT),  # the rooms of this very tree, wherever Python was installed
    }
    theirs = {name: None for name in os.environ if name.startswith("DREAM_")}
    with in_environment(**{**theirs, **ours}):
        yield dict(os.environ)


@pytest.fixture(scope="module")
def thin_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the folder that the thin stack keeps everything in."""
    return tmp_path_factory.mktemp("stack") / "data"


@pytest.fixture(scope="module")
def thin_stack(environment: dict[str, str], thin_data: Path) -> Iterator[Stack]:
    """Give a stack with one worker that knows the thin model."""
    _ = environment
    with (
        thin_data.with_name("log").open("w") as lines,
        stack(load(data_dir=thin_data, port=0, workers=1, device="cpu"), Log(lines)) as up,
    ):
        yield up


@pytest.fixture(scope="session")
def real_models() -> Path:
    """Give the user's own folder of models; `make weights` has pulled VGG-19 into it."""
    return default_model_dir()


@pytest.fixture
def supervise(environment: dict[str, str]) -> Iterator[Callable[..., Supervisor]]:
    """Start `dream up` as a user does; whatever a test left running ends with it."""
    started: list[Supervisor] = []

    def start(data_dir: Path, *options: str) -> Supervisor:
        command = [sys.executable, "-P", "-m", "cli", "up", "--data-dir", str(data_dir), *options]
        started.append(
            subprocess.Popen(
                command,
                env=environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
        )
        return started[-1]

    yield start
    for supervisor in started:
        if supervisor.poll() is None:
            supervisor.send_signal(signal.SIGTERM)
        if supervisor.stdout and not supervisor.stdout.closed:
            supervisor.communicate()


@contextmanager
def in_environment(**variables: str | None) -> Iterator[None]:
    """Set variables, or unset those that are None, and put things back."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in variables.items():
            if value is None:
                patch.delenv(name, raising=False)
            else:
                patch.setenv(name, value)
        yield


@pytest.fixture
def eventually() -> Callable[..., None]:
    """Wait until something is true, no longer than a generous deadline."""

    def wait(true: Callable[[], bool], what: str, within_s: float = 60.0) -> None:
        until = time.monotonic() + within_s
        while not true():
            assert time.monotonic() < until, f"not within {within_s:g} s: {what}"
            threading.Event().wait(0.02)

    return wait
