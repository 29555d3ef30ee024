"""`dream ls`: what there is, the newest first."""

import json
from urllib.parse import parse_qs, urlsplit

import click

from cli.client import STATUSES, Service
from cli.remote.address import asks_service, typed
from cli.remote.listing import table, terminal_width


@click.command()
@click.option("--status", type=click.Choice(STATUSES), help="only dreams that stand so")
@click.option(
    "-n",
    "--limit",
    type=click.IntRange(1, 1000),
    default=20,
    show_default=True,
    help="how many at most",
)
@click.option("--before", metavar="ID", help="only dreams older than this one: the next page")
@click.option("--json", "as_json", is_flag=True, help="print the service's document")
@asks_service
def ls(service: Service, status: str | None, limit: int, before: str | None, as_json: bool) -> None:
    """List dreams, the newest first.

    On a terminal, long layers are cut to fit; a pipe gets everything.
    """
    page = service.page(limit, before=before, status=status)
    if as_json:
        click.echo(json.dumps(page, indent=2, ensure_ascii=False))
        return
    jobs = page["dreams"]
    if not jobs:
        click.echo("no dreams; `dream post IN` asks for one", err=True)
        return
    for line in table(jobs, terminal_width()):
        click.echo(line)
    if page["next"]:
        only = f" --status {status}" if status else ""
        older = typed(service, f"ls{only} -n {limit} --before {older_than(page['next'])}")
        click.echo(f"older ones: {older}", err=True)


def older_than(address: str) -> str:
    """Return the id that the address of a next page begins after."""
    return parse_qs(urlsplit(address).query)["before"][0]
