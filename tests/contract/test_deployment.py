"""What a deployer writes down names settings that exist."""

import re
from pathlib import Path

import pytest

from jobs.settings import PREFIX, Settings

ROOT = Path(__file__).parents[2]
FILES = (
    ".env.example",
    "docker-compose.yml",
    "docker-compose.gpu.yml",
    "Dockerfile",
    "Dockerfile.gpu",
)

# Read by compose itself, or by the one function of the engine that reads the environment.
BESIDE_THE_SETTINGS = {"IMAGE", "REDIS_IMAGE", "WORKER_MEMORY", "MODEL_DIR"}
# Given by the compose files themselves, or by what starts a worker of many.
FIXED = {"DATA_DIR", "REDIS_URL", "HOST", "DEVICE", "PROBE_FILE", "WORKER_SLOT", "PARENT_PID"}
# Of `dream up` and of terminals: a container has one worker a device, and logs for a machine.
NOT_FOR_CONTAINERS = {"WORKERS", "LOG_FORMAT"}


@pytest.mark.parametrize("file", FILES)
def test_every_setting_that_is_named_exists(file: str) -> None:
    """A setting that nobody reads would be silently ignored."""
    named = set(re.findall(rf"\b{PREFIX}([A-Z_]+)", (ROOT / file).read_text()))

    known = {name.upper() for name in Settings.model_fields} | BESIDE_THE_SETTINGS
    assert named <= known


def test_every_knob_of_compose_stands_in_the_example() -> None:
    """`.env.example` is where a deployer looks for what can be set."""
    assert knobs() <= shown()


def test_every_line_of_the_example_reaches_a_container() -> None:
    """Compose passes on what its files name, and says nothing of the rest."""
    assert shown() - knobs() == {"COMPOSE_FILE"}  # which Compose reads for itself


def test_every_setting_can_be_set_in_a_container_or_is_none_of_its() -> None:
    """Who reads of a setting in the reference finds it in the example, as the page promises."""
    settings = {name.upper() for name in Settings.model_fields}

    shown_here = {name.removeprefix(PREFIX) for name in shown()}
    assert settings - shown_here == FIXED | NOT_FOR_CONTAINERS


def knobs() -> set[str]:
    """Return what the compose files take from `.env`."""
    compose = "".join((ROOT / file).read_text() for file in FILES if file.endswith(".yml"))
    return set(re.findall(r"\$\{([A-Z_]+)", compose))


def shown() -> set[str]:
    """Return what the example shows."""
    return set(re.findall(r"^#?([A-Z_]+)=", (ROOT / ".env.example").read_text(), re.MULTILINE))


def test_the_health_commands_of_compose_can_be_run() -> None:
    """A health command that isn't there makes every container unhealthy for ever."""
    modules = re.findall(r'"-m", "([a-z.]+)"', (ROOT / "docker-compose.yml").read_text())

    assert {module.split(".")[0] for module in modules} == {"api", "worker"}
    assert all((ROOT / module.replace(".", "/")).with_suffix(".py").exists() for module in modules)
