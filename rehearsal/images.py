"""Our images, built by the very steps of the Dockerfiles, on a base that Debian's packages make."""

import json
import subprocess
import sys
from pathlib import Path

from rehearsal.compose import ROOT
from rehearsal.engine import Engine

BASE = "localhost/python-base"
REDIS = "localhost/valkey-stand-in"
NAME = "localhost/torch-inception"
SUITE = "bookworm"  # the Debian below the base image that the Dockerfiles name
PYTHON = "python3,python3-venv,ca-certificates"
# Where Debian's Python, and so a virtual environment made by it, looks for pip's settings.
PIP_CONF = Path("/etc/pip.conf")


def make_base(engine: Engine) -> None:
    """Make what stands in for python:3.11-slim: Debian's smallest system with its Python."""
    root = engine.folder / "base"
    subprocess.run(
        ["debootstrap", "--variant=minbase", f"--include={PYTHON}", SUITE, root],
        stdout=subprocess.DEVNULL,
        check=True,
    )
    (root / "usr/bin/python").symlink_to("python3")
    subprocess.run(["chroot", root, "apt-get", "clean"], check=True)
    with subprocess.Popen(["tar", "-C", root, "-c", "."], stdout=subprocess.PIPE) as tar:
        engine.podman("import", "--quiet", "-", BASE, stdin=tar.stdout)
    subprocess.run(["rm", "-rf", root], check=True)


def build(engine: Engine, dockerfile: str, target: str, tag: str) -> None:
    """Run the steps of one target."""
    engine.buildah(
        "bud",
        *("--isolation", "chroot"),
        *("--build-arg", f"BASE={BASE}"),
        *("--file", str(ROOT / dockerfile), "--target", target, "--tag", tag),
        *(part for mount in lent(engine.folder) for part in ("--volume", mount)),
        str(ROOT),
    )
    engine.podman("image", "prune", "--force")  # the stages that stay behind: gigabytes


def build_redis(engine: Engine) -> None:
    """Build what stands in for the image of Valkey, with the server out of the API's."""
    engine.buildah(
        "bud",
        *("--isolation", "chroot"),
        *("--build-arg", f"BASE={BASE}", "--build-arg", f"API={NAME}-api"),
        *("--tag", REDIS),
        str(ROOT / "rehearsal" / "redis"),
    )


def added_bytes(engine: Engine, tag: str) -> int:
    """Return what an image's own steps add to its base."""
    sizes = [json.loads(engine.podman("image", "inspect", name))[0]["Size"] for name in (tag, BASE)]
    added: int = sizes[0] - sizes[1]
    return added


def lent(folder: Path) -> list[str]:
    """Return the mounts that lend a container this host's way to its package registry.

    pip's settings are written out as one file, and what they name on this disk is mounted at the
    same place. Nothing of it stays in an image, or stands in a file of ours.
    """
    listed = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=True
    ).stdout
    settings: dict[str, str] = {}
    for line in listed.splitlines():
        key, _, value = line.partition("=")
        # A variable wins over a file, as in pip itself, and is listed first.
        settings.setdefault(key.removeprefix(":env:.").split(".")[-1], value.strip("'"))
    conf = folder / "pip.conf"
    conf.write_text("[global]\n" + "".join(f"{k} = {v}\n" for k, v in settings.items()))
    named = {
        Path(word.removeprefix("file://")) for said in settings.values() for word in said.split()
    }
    # An index on this disk names its files by a path beside it.
    here = {path.parent if path.name == "simple" else path for path in named if path.is_absolute()}
    mounts = [f"{path}:{path}:ro" for path in sorted(here) if path.exists()]
    return [f"{conf}:{PIP_CONF}:ro", *mounts]


def lending_file(folder: Path) -> str:
    """Write a file for Compose that lends the worker, which fetches weights, the same."""
    lending = folder / "lending.json"  # Compose reads YAML, and so JSON
    lending.write_text(json.dumps({"services": {"worker": {"volumes": lent(folder)}}}))
    return str(lending)
