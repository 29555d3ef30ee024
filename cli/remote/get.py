"""`dream get`: how one dream stands, its pictures, its result."""

import json
from pathlib import Path

import click

from cli.client import Service
from cli.remote.address import asks_service
from cli.remote.listing import described
from cli.remote.watch import Folder, save_result, watch
from cli.saving import check_png

FILE = click.Path(dir_okay=False, path_type=Path)


@click.command()
@click.argument("job_id", metavar="ID")
@click.option("-o", "--out", type=FILE, help="PNG to write the result to")
@click.option(
    "--frames",
    type=click.Path(file_okay=False, path_type=Path),
    help="folder to fetch the frames into; with --wait as they come",
)
@click.option("--wait", is_flag=True, help="wait for the end first; Ctrl-C leaves it running")
@click.option("--json", "as_json", is_flag=True, help="print the service's document")
@asks_service
def get(
    service: Service,
    *,
    job_id: str,
    out: Path | None,
    frames: Path | None,
    wait: bool,
    as_json: bool,
) -> None:
    """Tell how the dream ID stands, and fetch its pictures."""
    if out:
        check_png(out, "--out")
    folder = Folder(service, frames) if frames else None
    job = watch(service, job_id, folder) if wait else service.job(job_id)
    if folder:
        folder.fetch(job)
    if out:
        save_result(service, job, out)
    if as_json:
        click.echo(json.dumps(job, indent=2, ensure_ascii=False))
    elif not out:
        for line in described(job, service.url):
            click.echo(line)
