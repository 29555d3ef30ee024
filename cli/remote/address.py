"""Where the service is, and its key: what every command that asks it needs."""

import os
from collections.abc import Callable
from functools import wraps
from typing import Any, Final

import click

from cli.client import Service
from jobs.settings import load

VARIABLE: Final = "DREAM_URL"
DEFAULT: Final = "http://127.0.0.1:8000"
Command = Callable[..., None]


def asks_service(command: Command) -> Command:
    """Give a command the option --url, and itself a `Service` as its first argument."""

    @click.option(
        "--url",
        envvar=VARIABLE,
        default=DEFAULT,
        show_default=True,
        help=f"address of the service [{VARIABLE}]",
    )
    @wraps(command)
    def asking(*args: Any, url: str, **options: Any) -> None:
        with Service(url, key=load().key()) as service:
            command(service, *args, **options)

    return asking


def typed(service: Service, words: str) -> str:
    """Return a command as one would type it now, --url where it takes that."""
    here = service.url == os.environ.get(VARIABLE, DEFAULT)
    return f"dream {words}" if here else f"dream {words} --url {service.url}"
