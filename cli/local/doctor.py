"""`dream doctor`: what this machine has for dreaming, and what to do about what it lacks."""

import os
import platform
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import click
import httpx
import redis

from cli.errors import PortTaken
from cli.up.service import claim_port, url_of
from dream_core.catalogue import Catalogue
from dream_core.errors import DreamError
from jobs.connection import connect, shown_url
from jobs.settings import Settings, load
from jobs.valkey import binary, socket_path

LEAST_MEMORY = 2 * 10**9  # a dream at 512 × 384 peaks at 1 GB, beside what torch itself takes
LEAST_DISK = 2 * 10**9
CLOCK_APART_S = 5.0
MADE = 2026  # a clock that shows an earlier year was never set


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    name: str
    said: str
    fix: str = ""  # what to do; empty where all is well

    def __str__(self) -> str:
        """Return the line, or two, that a person reads."""
        line = f"{'!!' if self.fix else 'ok'}  {self.name:<8} {self.said}"
        return f"{line}\n             → {self.fix}" if self.fix else line


@click.command()
def doctor() -> None:
    """Check what dreaming needs here: each line is ok, or says what to do.

    Exit status 0 when all is well, 1 when anything is not.
    """
    settings = load()
    broken = 0
    for look in LOOKS:
        for finding in look(settings):
            click.echo(str(finding))
            broken += bool(finding.fix)
    if broken:
        raise click.exceptions.Exit(1)


def _python(_: Settings) -> Iterator[Finding]:
    yield Finding("python", f"{platform.python_version()} on {platform.platform(terse=True)}")


def _torch(settings: Settings) -> Iterator[Finding]:
    try:
        import torch
    except ImportError as error:
        yield Finding("torch", f"can't be imported: {error}", "run `make install`")
        return
    kernels = torch.backends.cpu.get_cpu_capability()
    yield Finding(
        "torch", f"{torch.__version__}, {kernels} kernels, {torch.get_num_threads()} threads"
    )
    from dream_core.executors.device import resolve_device

    try:
        device = resolve_device(settings.device)
    except DreamError as error:
        yield Finding("device", str(error), "set DREAM_DEVICE, or mend the driver (`nvidia-smi`)")
        return
    if device.type != "cuda":
        yield Finding("device", f"{device}")
        return
    major, minor = torch.cuda.get_device_capability(device)
    free, total = torch.cuda.mem_get_info(device)
    yield Finding(
        "device",
        f"{torch.cuda.get_device_name(device)}, compute capability {major}.{minor}, "
        f"CUDA {torch.version.cuda}, {free / 1e9:.1f} of {total / 1e9:.1f} GB free",
    )


def _memory(_: Settings) -> Iterator[Finding]:
    from dream_core.executors.memory import free_bytes

    free = free_bytes("cpu")
    if free is None:
        yield Finding("memory", "this system doesn't tell")
        return
    fix = "close something, or dream smaller (image_size)" if free < LEAST_MEMORY else ""
    yield Finding("memory", f"{free / 1e9:.1f} GB free", fix)


def _disk(settings: Settings) -> Iterator[Finding]:
    for name, folder, variable in (
        ("data", settings.data_dir, "DREAM_DATA_DIR"),
        ("models", Catalogue.load().folder, "DREAM_MODEL_DIR"),
    ):
        there = next(each for each in (folder, *folder.parents) if each.exists())
        free = shutil.disk_usage(there).free
        fix = ""
        if not os.access(there, os.W_OK | os.X_OK):
            fix = f"give yourself write access to {there}, or set {variable}"
        elif free < LEAST_DISK:
            fix = f"free some space there, or set {variable}"
        yield Finding(name, f"{free / 1e9:.1f} GB free in {folder}", fix)


def _weights(_: Settings) -> Iterator[Finding]:
    from dream_core import weights

    catalogue = Catalogue.load()
    here = [model for model in catalogue if catalogue.weights(model.name).exists()]
    if not here:
        yield Finding("weights", "none are here", "run `dream models pull vgg19`")
    for model in here:
        try:
            found = weights.verify(model, catalogue.folder)
        except DreamError as error:
            yield Finding("weights", str(error), f"run `dream models pull {model.name}`")
        else:
            yield Finding("weights", f"{model.name}, sha256 {found[:12]}…")


def _redis(settings: Settings) -> Iterator[Finding]:
    if settings.embedded and not socket_path(settings.data_dir).exists():
        try:
            yield Finding("redis", f"embedded, not running; `dream up` starts {binary().name}")
        except DreamError as error:
            yield Finding("redis", str(error), "install valkey, or set DREAM_REDIS_URL")
        return
    client = connect(settings)
    where = shown_url(settings)
    try:
        version = client.info("server")["redis_version"]
        policy = client.config_get("maxmemory-policy")["maxmemory-policy"]
        seconds, micros = client.time()
    except redis.RedisError as error:
        yield Finding("redis", f"{where}: {error}", "start it, or set DREAM_REDIS_URL")
        return
    fix = "" if policy == "noeviction" else "set `maxmemory-policy noeviction`: it may forget jobs"
    yield Finding("redis", f"{version} at {where}, {policy}", fix)
    apart = abs(time.time() - seconds - micros / 1e6)
    if apart > CLOCK_APART_S:
        yield Finding("clock", f"{apart:.0f} s from that of Redis", "switch on time sync (NTP)")


def _port(settings: Settings) -> Iterator[Finding]:
    url = url_of(settings)
    try:
        claim_port(settings.host, settings.port)
    except PortTaken as taken:
        yield _taken(url, taken)
    else:
        yield Finding("port", f"{settings.port} is free")


def _taken(url: str, taken: PortTaken) -> Finding:
    try:
        ours = httpx.get(f"{url}/", timeout=2).json().get("name") == "torch-inception"
    except (httpx.HTTPError, ValueError, AttributeError):
        ours = False
    if ours:
        return Finding("port", f"the service answers at {url}")
    return Finding("port", str(taken), "stop it, or set DREAM_PORT")


def _clock(_: Settings) -> Iterator[Finding]:
    now = time.gmtime()
    fix = "" if now.tm_year >= MADE else "set it: ids and certificates depend on the time"
    yield Finding("clock", time.strftime("%Y-%m-%d %H:%M:%S UTC", now), fix)


def _command(_: Settings) -> Iterator[Finding]:
    yield Finding("program", f"{Path(sys.prefix)}")


LOOKS: tuple[Callable[[Settings], Iterator[Finding]], ...] = (
    _command,
    _python,
    _torch,
    _memory,
    _disk,
    _weights,
    _redis,
    _port,
    _clock,
)
