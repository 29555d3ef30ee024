"""`dream up`: serve in the foreground until Ctrl-C."""

import sys

import click

from cli.up.log import Log
from cli.up.room import SUPERVISOR
from cli.up.service import stack
from jobs.settings import Settings, load


def setting(name: str) -> str:
    """Return the help of a setting, with the variable that also sets it."""
    return f"{Settings.model_fields[name].description} [DREAM_{name.upper()}]"


@click.command()
@click.option("--host", help=setting("host"))
@click.option("--port", type=click.IntRange(0, 65_535), help=setting("port"))
@click.option("--workers", type=click.IntRange(0, 64), help=setting("workers"))
@click.option("--device", help=setting("device"))
@click.option("--data-dir", type=click.Path(file_okay=False), help=setting("data_dir"))
def up(**options: object) -> None:
    """Start the whole service: Valkey, API and workers, in the foreground.

    Every setting can also come from the environment (DREAM_PORT=9000); an option wins.
    DREAM_REDIS_URL names a Redis of your own. Ctrl-C stops everything within 5 s.
    """
    settings = load(**options)
    if settings.log_format == "auto":  # the rooms speak into a pipe, the reader is a person
        settings = settings.model_copy(update={"log_format": "text"})
    log = Log(sys.stdout)
    try:
        with stack(settings, log) as service:
            log.say(SUPERVISOR, f"serving on {service.url} (Ctrl-C stops it)")
            log.say(SUPERVISOR, f"everything is kept in {settings.data_dir}")
            service.wait()
    except KeyboardInterrupt:
        # How one stops it, so no failure: exit status 0.
        log.say(SUPERVISOR, "stopped")
