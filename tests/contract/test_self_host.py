"""The page that a deployer follows to the letter: its commands exist, its settings are shown."""

import re
import shlex
import subprocess
import sys
from pathlib import Path
from platform import machine

import pytest

from jobs.exits import BAD_SETUP
from jobs.settings import Settings
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
ELSEWHERE = ("curl ", "ssh ", "cp ", "git pull", "docker image prune", "docker run ", "dream ls ")
MAKE_KEY = [line for line in LINES if re.match("(mkdir|openssl|chmod|export) ", line)]


def test_there_is_something_to_hold() -> None:
    """A page that is laid out anew still counts."""
    assert len(COMPOSE) >= 8
    assert len(SETTINGS) >= 2


def test_every_line_of_a_block_is_known() -> None:
    """A new command on the page brings its test."""
    known = [*SETTINGS, *COMPOSE, *MAKE_KEY]

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


def test_the_commands_that_make_a_key_make_one(tmp_path: Path) -> None:
    """Which the service takes, and everybody may read who gets past the folder: the container."""
    script = "\n".join(["set -eu", *MAKE_KEY, 'printf %s "$DREAM_API_KEY"'])
    shown = subprocess.run(
        ["sh", "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True
    ).stdout
    made = tmp_path / "secrets" / "api_key"

    assert len(MAKE_KEY) == 4
    key = Settings(api_key_file=made).key()
    assert key is not None
    assert key.get_secret_value() == shown
    assert (made.parent.stat().st_mode & 0o777, made.stat().st_mode & 0o777) == (0o700, 0o644)
    assert f"DREAM_API_KEY_FILE=./{made.relative_to(tmp_path)}" in SETTINGS


def test_a_door_that_refuses_to_open_ends_with_the_status_of_the_page() -> None:
    """Who writes a unit or a script around it goes by that number."""
    assert set(re.findall(r"exit status (\d+)", PAGE)) == {str(BAD_SETUP)}


@pytest.mark.parametrize("line", [line for line in COMPOSE if " exec api " in line])
def test_what_is_typed_in_the_apis_container_needs_no_torch(line: str) -> None:
    """Its image has none. Nobody answers here, and that is what `dream` says."""
    words = line.split(" exec api dream ")[1].split()
    program = (
        f"import sys; sys.modules['torch'] = None\nfrom cli.main import run\nsys.exit(run({words}))"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", program],
        env={"PYTHONPATH": str(ROOT), "DREAM_URL": "http://127.0.0.1:1"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert re.fullmatch(r"dream: .*http://127\.0\.0\.1:1.*\n", done.stderr)
    assert done.returncode == 1


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
