"""`dream estimate`: what a dream would cost, before it is posted."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from cli.client import Service
from cli.progress import duration
from cli.remote.address import asks_service
from cli.spec_options import given, spec_options
from dream_core.picture import measure


@click.command()
@click.argument("picture", metavar="IN", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="print the service's document")
@spec_options
@asks_service
def estimate(service: Service, *, picture: Path, as_json: bool, **options: Any) -> None:
    """Tell what a dream on the picture IN would cost: time, memory, disk.

    Nothing is posted, and the picture stays here: the service is told how large it is. The time
    rests on what its workers measured of their machine, corrected by earlier dreams there; where
    these are enough, it says how far such estimates were off.
    """
    height, width = measure(picture)
    size = {"width": [str(width)], "height": [str(height)]}
    asked = given(options)
    found = service.estimate(asked | size)
    if as_json:
        click.echo(json.dumps(found, indent=2, ensure_ascii=False))
        return
    for line in lines(found, *asked.get("precision", [])[:1]):
        click.echo(line)


def lines(found: dict[str, Any], asked: str | None = None) -> Iterator[str]:
    """Give the two lines that tell an estimate, and why it has more bits than were asked."""
    seconds, wait_s = found["seconds"], found["wait_s"]
    time = "time unknown" if seconds is None else f"about {duration(seconds)}"
    waits = "an unknown wait" if wait_s is None else f"{duration(wait_s)} of waiting"
    yield f"{time}{f', after {waits}' if wait_s != 0 else ''} ({found['basis']})"
    precision = found["precision"]
    computed = f", {precision}" if precision else ""
    if precision and asked in ("balanced", "fast") and precision != asked:
        computed += f" as {asked} is no faster there"
    yield (
        f"{found['iterations']} iterations at {found['width']} × {found['height']}{computed}: "
        f"{_amount(found['memory_bytes'])} of memory, "
        f"at most {_amount(found['disk_bytes'])} of disk for {found['frames']} frames"
    )


def _amount(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"
