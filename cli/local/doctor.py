"""`dream doctor`: what this machine has for dreaming, and what to do about what it lacks."""

import json
import os
import platform
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import httpx
import redis

from cli.errors import PortTaken
from cli.local import engine_room
from cli.local.finding import Finding
from cli.up.service import claim_port, url_of
from dream_core.catalogue import Catalogue
from dream_core.errors import DreamError, UnknownModel
from jobs.connection import connect, shown_url
from jobs.errors import BadSetting
from jobs.settings import NO_MODEL, Settings, load
from jobs.valkey import binary, socket_path

LEAST_MEMORY = 2 * 10**9  # a dream at 512 × 384 peaks at 1 GB, beside what torch itself takes
LEAST_DISK = 2 * 10**9
LEAST_REDIS = 7
CLOCK_APART_S = 5.0
MADE = 2026  # a clock that shows an earlier year was never set


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of lines.")
def doctor(as_json: bool) -> None:
    """Check what dreaming needs here: each line is ok, or says what to do.

    Exit status 0 when all is well, 1 when anything is not.
    """
    settings = load()
    found = []
    for finding in (finding for look in LOOKS for finding in look(settings)):
        found.append(finding)
        if not as_json:
            click.echo(str(finding))  # at once: a checksum takes a moment
    if as_json:
        click.echo(json.dumps([each.document for each in found], indent=2, ensure_ascii=False))
    if any(finding.fix for finding in found):
        raise click.exceptions.Exit(1)


def _python(_: Settings) -> Iterator[Finding]:
    yield Finding("python", f"{platform.python_version()} on {platform.platform(terse=True)}")


def _memory(_: Settings) -> Iterator[Finding]:
    try:
        from dream_core.executors.memory import free_bytes
    except (ImportError, OSError):  # torch's own line says so
        return
    free = free_bytes("cpu")
    if free is None:
        yield Finding("memory", "this system doesn't tell")
        return
    fix = "close something, or dream smaller (image_size)" if free < LEAST_MEMORY else ""
    yield Finding("memory", f"{free / 1e9:.1f} GB free", fix)


def _disk(settings: Settings) -> Iterator[Finding]:
    for name, folder, variable, least in (
        ("data", settings.data_dir, "DREAM_DATA_DIR", max(LEAST_DISK, settings.min_free_disk)),
        ("models", Catalogue.load().folder, "DREAM_MODEL_DIR", LEAST_DISK),
    ):
        there = next(each for each in (folder, *folder.parents) if each.exists())
        free = shutil.disk_usage(there).free
        fix = ""
        if not os.access(there, os.W_OK | os.X_OK):
            fix = f"give yourself write access to {there}, or set {variable}"
        elif free < least:
            fix = f"{least / 1e9:,.1f} GB are needed: free space there, or set {variable}"
        yield Finding(name, f"{free / 1e9:.1f} GB free in {folder}", fix)


def _weights(settings: Settings) -> Iterator[Finding]:
    from dream_core import weights

    catalogue = Catalogue.load()
    here = [model for model in catalogue if catalogue.weights(model.name).exists()]
    yield from _preload(settings.preload, catalogue)
    for model in here:
        try:
            found = weights.verify(model, catalogue.folder)
        except DreamError as error:
            yield Finding("weights", str(error), f"run `dream models pull {model.name}`")
        else:
            yield Finding("weights", f"{model.name}, sha256 {found[:12]}…")


def _preload(name: str, catalogue: Catalogue) -> Iterator[Finding]:
    """Look for the model that a worker has before its first job."""
    if name == NO_MODEL:
        return
    try:
        if not catalogue.weights(name).exists():
            said = f"{name} is not here, and DREAM_PRELOAD names it"
            yield Finding("weights", said, f"run `dream models pull {name}`")
    except UnknownModel as error:
        yield Finding("weights", str(error), "name another in DREAM_PRELOAD")


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
        told = client.info()  # all by INFO: who rents a Redis may not be let at its CONFIG
        seconds, micros = client.time()
    except redis.AuthenticationError as error:
        fix = "set DREAM_REDIS_PASSWORD to the one it was started with (requirepass)"
        yield Finding("redis", f"{where}: {error}", fix)
        return
    except redis.RedisError as error:
        yield Finding("redis", f"{where}: {error}", "start it, or set DREAM_REDIS_URL")
        return
    policy, aof = told.get("maxmemory_policy"), "AOF" if told.get("aof_enabled") else "no AOF"
    yield Finding(
        "redis", f"{told['redis_version']} at {where}, {policy}, {aof}", "; ".join(_amiss(told))
    )
    apart = abs(time.time() - seconds - micros / 1e6)
    if apart > CLOCK_APART_S:
        yield Finding("clock", f"{apart:.0f} s from that of Redis", "switch on time sync (NTP)")


def _amiss(told: dict[str, Any]) -> Iterator[str]:
    """Go through what a Redis is to be set to, before a ledger is trusted to it."""
    if int(told["redis_version"].split(".")[0]) < LEAST_REDIS:
        yield f"take version {LEAST_REDIS} or later: the ledger's scripts need it"
    if told.get("maxmemory_policy") != "noeviction":
        yield "set `maxmemory-policy noeviction`: it may forget jobs"
    if not told.get("aof_enabled"):
        yield "set `appendonly yes` and `appendfsync everysec`: a crash costs more than a second"
    elif told.get("aof_last_write_status") != "ok":
        yield "give its append-only file room: its last write failed"
    if told.get("role") != "master":
        yield "name the primary: a replica takes no dreams"


def _door(settings: Settings) -> Iterator[Finding]:
    try:
        settings.check_host()
    except BadSetting as error:
        yield Finding("door", str(error), "mend that first: no API starts so")
    else:
        said = "asks for the key" if settings.has_key else "open, to this machine alone"
        yield Finding("door", said)


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
        ours = (
            httpx.get(f"{url}/", timeout=2, trust_env=False).json().get("name") == "torch-inception"
        )
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
    engine_room.look,
    _memory,
    _disk,
    _weights,
    _redis,
    _door,
    _port,
    _clock,
)
