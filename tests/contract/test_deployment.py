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


@pytest.mark.parametrize("file", FILES)
def test_every_setting_that_is_named_exists(file: str) -> None:
    """A setting that nobody reads would be silently ignored."""
    named = set(re.findall(rf"\b{PREFIX}([A-Z_]+)", (ROOT / file).read_text()))

    known = {name.upper() for name in Settings.model_fields} | BESIDE_THE_SETTINGS
    assert named <= known


def test_every_knob_of_compose_stands_in_the_example() -> None:
    """`.env.example` is where a deployer looks for what can be set."""
    compose = "".join((ROOT / file).read_text() for file in FILES if file.endswith(".yml"))
    knobs = set(re.findall(r"\$\{([A-Z_]+)", compose))

    shown = set(re.findall(r"^#?([A-Z_]+)=", (ROOT / ".env.example").read_text(), re.MULTILINE))
    assert knobs <= shown


def test_the_health_commands_of_compose_can_be_run() -> None:
    """A health command that isn't there makes every container unhealthy for ever."""
    modules = re.findall(r'"-m", "([a-z.]+)"', (ROOT / "docker-compose.yml").read_text())

    assert {module.split(".")[0] for module in modules} == {"api", "worker"}
    assert all((ROOT / module.replace(".", "/")).with_suffix(".py").exists() for module in modules)
