"""`dream post`: ask the service for a dream."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from cli.client import Service
from cli.remote.address import asks_service, typed
from cli.remote.get import FILE
from cli.remote.watch import save_result, watch
from cli.saving import check_png
from cli.spec_options import given, spec_options

Command = Callable[..., None]


def takes_result(command: Command) -> Command:
    """Give a command that makes a dream the options to wait for it; `hand_over` obeys them."""
    wait = click.option("--wait", is_flag=True, help="wait for the end; Ctrl-C leaves it running")
    out = click.option("-o", "--out", type=FILE, help="PNG to write the result to; waits for it")
    return wait(out(command))


def hand_over(service: Service, job: dict[str, Any], wait: bool, out: Path | None) -> None:
    """Print the id of a dream that was just made; wait for it and save its result, where asked."""
    click.echo(job["id"])
    if wait or out:
        job = watch(service, job["id"])
    else:
        follow = typed(service, f"get {job['id']} --wait -o out.png")
        click.echo(f"waits for it: {follow}", err=True)
    if out:
        save_result(service, job, out)


@click.command()
@click.argument("picture", metavar="IN", type=click.Path(path_type=Path))
@takes_result
@click.option("--timeout-s", metavar="SECONDS", help="deadline: an end after so long, done or not")
@click.option("--queue", metavar="interactive|bulk", help="bulk waits beside what people wait for")
@spec_options
@asks_service
def post(
    service: Service,
    *,
    picture: Path,
    wait: bool,
    out: Path | None,
    timeout_s: str | None,
    queue: str | None,
    **options: Any,
) -> None:
    """Ask the service for a dream on the picture IN; print its id.

    The service knows its models and limits, and answers what is wrong.
    """
    if out:
        check_png(out, "--out")
    terms = {"timeout_s": timeout_s, "queue": queue}
    fields = given(options) | {name: [text] for name, text in terms.items() if text is not None}
    hand_over(service, service.post(picture, fields), wait, out)
