"""Our pages, followed to the letter: every block of shell, or it says why not; every Python one."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.client import Service
from cli.up.log import Log
from cli.up.service import stack
from jobs.settings import load
from tests.pages import PAGES, ROOT, Block, blocks

ADDRESS = "http://127.0.0.1:8000"
DREAM = '#!/bin/sh\nPYTHONPATH="{root}" exec "{python}" -P -m cli "$@"\n'


def runnable(language: str) -> dict[str, list[Block]]:
    """Return the blocks to run, by page."""
    found = {
        page.relative_to(ROOT).as_posix(): [
            block for block in blocks(page) if block.language == language and not block.not_run
        ]
        for page in PAGES
    }
    return {page: those for page, those in found.items() if those}


SHELL, PYTHON = runnable("sh"), runnable("python")


def as_delivered(models: Path) -> dict[str, str]:
    """Return the environment without a setting of ours: dreams run by whatever pays here."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("DREAM_")}
    return {**kept, "DREAM_MODEL_DIR": str(models)}


@pytest.fixture(scope="module")
def url(real_models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Give the address of a service as it is delivered, with VGG-19."""
    home = tmp_path_factory.mktemp("stack")
    with pytest.MonkeyPatch.context() as patch, (home / "log").open("w") as lines:
        for name in os.environ.keys() - as_delivered(real_models).keys():
            patch.delenv(name)
        patch.setenv("DREAM_MODEL_DIR", str(real_models))
        patch.setenv("DREAM_PROBE_FILE", str(home / "probe.json"))
        patch.setenv("PYTHONPATH", str(ROOT))
        settings = load(data_dir=home / "data", port=0, workers=1, device="cpu")
        with stack(settings, Log(lines)) as up:
            yield up.url


@pytest.fixture
def finished(url: str) -> str:
    """Give the id of a small dream that has ended: a page's `ID`, which it may delete."""
    with Service(url) as service:
        job = service.post(ROOT / "examples/cat.png", {"iterations": "12", "image_size": "64"})
        while job["status"] in {"queued", "running"}:
            time.sleep(0.1)
            job = service.job(job["id"])
    assert job["status"] == "succeeded"
    return str(job["id"])


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Give a folder that looks like a clone with its `.venv`, to a reader."""
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    tools = tmp_path / ".venv" / "bin"
    tools.mkdir(parents=True)
    (tools / "dream").write_text(DREAM.format(root=ROOT, python=sys.executable))
    (tools / "dream").chmod(0o755)
    (tmp_path / ".curlrc").write_text("fail-with-body\nsilent\nshow-error\n")
    return tmp_path


@pytest.mark.weights
@pytest.mark.timeout(900)  # a page of real dreams, on cores that may be busy
@pytest.mark.parametrize("page", SHELL)
def test_a_page_of_commands_does_what_it_says(
    page: str, url: str, finished: str, place: Path, real_models: Path
) -> None:
    """One reader, one shell, from the first block to the last, and none of them fails."""
    script = "\n".join(block.text for block in SHELL[page]).replace(ADDRESS, url)
    script = re.sub(r"\bID\b", finished, script)
    environment = {
        **as_delivered(real_models),
        "PATH": f"{place / '.venv' / 'bin'}:{os.environ['PATH']}",
        "DREAM_URL": url,
        "CURL_HOME": str(place),
        "DREAM_PROBE_FILE": str(place / "probe.json"),
    }

    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=place,
        env=environment,
        text=True,
        capture_output=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.weights
@pytest.mark.timeout(900)  # a page of real dreams, on cores that may be busy
@pytest.mark.parametrize("page", PYTHON)
def test_a_page_of_python_does_what_it_says(page: str, place: Path) -> None:
    """Warnings are errors here too."""
    program = "\n".join(block.text for block in PYTHON[page])

    subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        cwd=place,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=True,
    )
