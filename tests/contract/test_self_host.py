"""The page that a deployer follows to the letter: its commands exist, its settings are shown."""

import re
import shlex
import subprocess
import sys
from platform import machine

import pytest

from rehearsal.__main__ import NOT_EXERCISED
from rehearsal.compose import ROOT, binary
from tests.pages import blocks

PAGE = (ROOT / "docs/how-to/self-host.md").read_text()
TYPED = [
    block for block in blocks(ROOT / "docs/how-to/self-host.md") if block.language in {"sh", "ini"}
]
LINES = [line for block in TYPED for line in block.text.splitlines()]
SETTINGS = [line for line in LINES if re.match(r"[A-Z_]+=", line)]
COMPOSE = [line for line in LINES if line.startswith("docker compose ")]
COMPOSE += re.findall(r"`(docker compose [^`]+)`", PAGE)
# Held by a test or a rehearsal, or said on the page not to have been run.
ELSEWHERE = ("curl ", "ssh ", "cp ", "git pull", "docker image prune", "docker run ")


def test_there_is_something_to_hold() -> None:
    """A page that is laid out anew still counts."""
    assert len(COMPOSE) >= 8
    assert len(SETTINGS) >= 2


def test_every_line_of_a_block_is_known() -> None:
    """A new command on the page brings its test."""
    known = [*SETTINGS, *COMPOSE]

    assert [line for line in LINES if line not in known and not line.startswith(ELSEWHERE)] == []


@pytest.mark.skipif(
    (sys.platform, machine()) != ("linux", "x86_64"),
    reason="the package registry has Compose for Linux on x86_64 only",
)
@pytest.mark.parametrize("line", sorted(set(COMPOSE)))
def test_compose_knows_each_of_its_commands(line: str) -> None:
    """With each of its options."""
    _, _, command, *words = shlex.split(line)

    told = subprocess.run([binary(), command, "--help"], capture_output=True, text=True, check=True)

    options = [word for word in words if word.startswith("-")]
    assert all(re.search(rf"(^|\s){option}\b", told.stdout) for option in options)


def test_the_example_shows_each_setting_of_the_page() -> None:
    """The page says what to set; the example has the line to uncomment."""
    example = (ROOT / ".env.example").read_text()

    assert all(f"\n#{line.split('=')[0]}=" in example for line in SETTINGS)


def test_every_make_target_of_the_page_exists() -> None:
    """`make smoke` and `make rehearse` are what a deployer and we ourselves trust."""
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)

    assert set(re.findall(r"`make ([a-z]+)", PAGE)) <= set(targets)


def test_what_stood_in_for_what_is_said_of_the_files_as_they_are() -> None:
    """A new base image is not claimed to have been rehearsed."""
    files = (ROOT / "Dockerfile").read_text() + (ROOT / "docker-compose.yml").read_text()
    images = [what for what, _ in NOT_EXERCISED if re.search(r":\d", what)]

    assert len(images) == 2
    assert all(image in files for image in images)
    assert "python:3.11.14-slim-bookworm" in PAGE
