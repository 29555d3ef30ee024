"""`dream run`: one picture, one dream, in this process and without the service."""

from pathlib import Path
from typing import Any

import click

from cli.progress import Bar
from cli.saving import check_png, frame_name
from cli.spec_options import asked_spec, spec_options
from dream_core.catalogue import Catalogue


@click.command()
@click.argument("picture", metavar="IN", type=click.Path(path_type=Path))
@click.option("-o", "--out", required=True, type=click.Path(path_type=Path), help="PNG to write")
@click.option("--frames", type=click.Path(path_type=Path), help="folder to keep the frames in")
@click.option("--device", default="auto", help="auto, cpu, cuda, cuda:1 or mps [default: auto]")
@spec_options
def run(picture: Path, out: Path, frames: Path | None, device: str, **options: Any) -> None:
    """Dream on the picture IN and write the result, the same bytes as the service's.

    OUT appears when it is whole. The weights of the model are pulled where they are missing.
    """
    check_png(out, "--out")
    catalogue = Catalogue.load()
    spec = asked_spec(options, catalogue)

    from dream_core.picture import read, working_source, write_png

    seen = read(picture)
    spec.check_picture(seen.height, seen.width, catalogue[spec.model])
    size = spec.working_size(seen.height, seen.width)
    source, alpha = working_source(seen, size, spec.resampler)

    from cli.local.dreaming import load, probe, steps
    from dream_core.dream import Dream

    dream = Dream(source, spec, network=load(spec, catalogue, device), probe=probe())
    del seen, source  # a large picture has no room for three of it

    def keep(iteration: int) -> None:
        due = iteration % spec.save_every == 0 or iteration == spec.iterations
        if frames and due:
            frame = frames / frame_name(iteration, spec.iterations)
            write_png(frame, dream.picture().numpy(), spec.rounding, alpha)

    for folder in (out.parent, *([frames] if frames else [])):
        folder.mkdir(parents=True, exist_ok=True)
    keep(0)
    with Bar("dreaming") as bar:
        for step in steps(dream, bar):
            keep(step.iteration)
    write_png(out, dream.picture().numpy(), spec.rounding, alpha)
    click.echo(
        f"{out}: {size[1]} × {size[0]}, {spec.iterations} iterations on {dream.plan.device}, "
        f"{dream.plan.way}"
    )
