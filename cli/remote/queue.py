"""`dream queue`: what waits and runs, and a pause for maintenance."""

import json
from collections.abc import Iterator
from typing import Any

import click

from cli.client import Service
from cli.progress import duration
from cli.remote.address import asks_service, typed
from cli.remote.listing import age


@click.group()
def queue() -> None:
    """See what waits and runs; hold new starts for maintenance."""


@queue.command("ls")
@click.option("--json", "as_json", is_flag=True, help="print the service's document")
@asks_service
def list_queue(service: Service, as_json: bool) -> None:
    """Tell what waits, what runs, and who is there to run it."""
    state = service.queue()
    if as_json:
        click.echo(json.dumps(state, indent=2, ensure_ascii=False))
        return
    for line in lines(state):
        click.echo(line)


@queue.command()
@asks_service
def pause(service: Service) -> None:
    """Start no more dreams; those that run go on, and new ones are still taken."""
    service.pause()
    click.echo(f"paused; `{typed(service, 'queue resume')}` starts dreams again")


@queue.command()
@asks_service
def resume(service: Service) -> None:
    """Start dreams again."""
    service.resume()
    click.echo("resumed")


def lines(state: dict[str, Any]) -> Iterator[str]:
    """Give the lines that tell how the queue stands."""
    if state["paused"]:
        yield f"paused for {age(state['since'])}: no dream is started; `dream queue resume` ends it"
    yield f"{'running':<12} {state['running']:>6}"
    for name, line in state["queues"].items():
        waited = line["oldest_age_s"]
        oldest = "" if waited is None else f"   the oldest waits for {duration(waited)}"
        yield f"{name:<12} {line['queued']:>6}{oldest}"
    for worker in state["workers"]:
        doing = " ".join(part for part in (worker["state"], worker["job"]) if part)
        yield f"worker       {worker['host']}:{worker['slot']} {doing} on {worker['device']}"
    if not state["workers"]:
        yield "worker       none is up; `dream up` starts one"
