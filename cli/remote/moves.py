"""`dream cancel`, `rm`, `retry`, `continue`: what is done to dreams that there are."""

from collections.abc import Callable, Iterable
from pathlib import Path

import click

from cli.client import Service
from cli.errors import ServiceRefused, SomeRefused
from cli.remote.address import asks_service
from cli.remote.post import hand_over, takes_result

IDS = click.argument("job_ids", metavar="ID…", nargs=-1, required=True)
ID = click.argument("job_id", metavar="ID")


@click.command()
@IDS
@asks_service
def cancel(service: Service, job_ids: tuple[str, ...]) -> None:
    """Stop dreams: at once where they wait, after the present iteration where they run.

    Frames stay, and a canceled dream can be continued. Done twice it does nothing more.
    """

    def one(job_id: str) -> str:
        return str(service.cancel(job_id)["status"])

    _each(job_ids, one)


@click.command()
@IDS
@asks_service
def rm(service: Service, job_ids: tuple[str, ...]) -> None:
    """Delete dreams with all their pictures, running ones too."""

    def one(job_id: str) -> str:
        service.delete(job_id)
        return "deleted"

    _each(job_ids, one)


@click.command()
@ID
@takes_result
@asks_service
def retry(service: Service, job_id: str, wait: bool, out: Path | None) -> None:
    """Ask for the dream ID once more, from its source; print the new dream's id."""
    hand_over(service, service.retry(job_id), wait, out)


@click.command("continue")
@ID
@click.option("--iterations", type=click.IntRange(1), required=True, help="how many more")
@takes_result
@asks_service
def continue_(service: Service, job_id: str, iterations: int, wait: bool, out: Path | None) -> None:
    """Go on from the last state of the dream ID; print the new dream's id.

    The new dream counts on: after 30 iterations, 10 more are frames 30 to 40.
    """
    hand_over(service, service.continue_(job_id, iterations), wait, out)


def _each(job_ids: Iterable[str], move: Callable[[str], str]) -> None:
    """Move each dream, also after one that was refused.

    Raises:
        SomeRefused: at the end, when any was.
    """
    refused: list[ServiceRefused] = []
    for job_id in job_ids:
        try:
            click.echo(f"{job_id} {move(job_id)}")
        except ServiceRefused as error:
            refused.append(error)
    if refused:
        raise SomeRefused(refused)
