"""`dream demo`: the whole service once, from upload to film, on one photograph."""

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from cli.album import Album
from cli.client import Service
from cli.errors import NoSuchPicture
from cli.progress import Bar, duration, tell
from cli.pulling import ensure_weights
from cli.up.log import Log
from cli.up.service import stack
from cli.up.stack import Stack
from dream_core.catalogue import Catalogue
from jobs.settings import Settings, load

DREAM = {"model": "vgg19", "layers": "relu5_1", "dose": "1000", "iterations": "30"}
# What two cores dream 30 times in about a minute, and a GPU in seconds.
IMAGE_SIZE_CPU, IMAGE_SIZE_GPU = 384, 512
EXAMPLES = Path(__file__).parent.parent / "examples"
LOG_FILE = "service.log"


@click.command()
@click.option("--image", type=click.Path(path_type=Path), help="picture [default: an example]")
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("out/demo"),
    show_default=True,
    help="folder for frames, result, contact sheet and film",
)
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:1 or mps")
@click.option("--started", type=float, hidden=True, help="when `make demo` began, in Unix time")
def demo(image: Path | None, out: Path, device: str, started: float | None) -> None:
    """See the whole service dream on a photograph: upload, queue, worker, frames, film.

    Starts a stack of its own in a temporary folder, so it runs beside `dream up`, and stops
    it again.
    """
    phases: dict[str, float] = {}
    if started is not None:
        phases["install"] = time.time() - started
    image = image or example()
    if not image.is_file():
        raise NoSuchPicture(image, "there is no such file")
    from cli.local.device import kind

    size = IMAGE_SIZE_CPU if kind(device) == "cpu" else IMAGE_SIZE_GPU
    catalogue = Catalogue.load()
    album = Album(out, int(DREAM["iterations"]))
    with _timed(phases, "weights"):
        ensure_weights(catalogue[DREAM["model"]], catalogue.folder)
    with (
        tempfile.TemporaryDirectory(prefix="dream-", ignore_cleanup_errors=True) as folder,
        (out / LOG_FILE).open("w", encoding="utf-8") as lines,
    ):
        service = stack(own_settings(Path(folder), device), Log(lines))
        click.echo(f"starting the service (its log: {out / LOG_FILE})")
        try:
            _through_the_service(service, size, image, album, phases)
        finally:
            with _timed(phases, "stop"):
                service.stop()
    with _timed(phases, "sheet, film"):
        album.bind()
    for line in summary(album, phases):
        click.echo(line)


def own_settings(data_dir: Path, device: str) -> Settings:
    """Return the settings of a stack that has nothing in common with the user's own."""
    settings = load(data_dir=data_dir, host="127.0.0.1", port=0, workers=1, device=device)
    door = ("publish", "api_key", "api_key_file", "allowed_hosts", "cors_origins")
    apart = dict.fromkeys(("redis_url", "redis_password", *door))
    return settings.model_copy(update={**apart, "log_format": "text"})


def example() -> Path:
    """Return the first photograph of examples/.

    Raises:
        NoSuchPicture: there is none, as in an installation without the repository.
    """
    found = sorted(path for path in EXAMPLES.glob("*") if path.suffix in (".jpg", ".png"))
    if not found:
        raise NoSuchPicture(EXAMPLES, "there is no photograph in it")
    return found[0]


def summary(album: Album, phases: dict[str, float]) -> Iterator[str]:
    """Give the lines that end the demo: where everything is, and how long each phase took."""
    yield ""
    for path, what in album.contents():
        yield f"  {path!s:<32} {what}"
    yield ""
    for phase, seconds in phases.items():
        yield f"  {phase:<14} {duration(seconds):>12}"
    yield f"  {'total':<14} {duration(sum(phases.values())):>12}"


def _through_the_service(
    service: Stack, size: int, image: Path, album: Album, phases: dict[str, float]
) -> None:
    with _timed(phases, "start"):
        service.start()
    with Service(service.url) as client:
        posted = time.monotonic()
        accepted = client.post(image, {**DREAM, "image_size": str(size)})
        click.echo(f"{image.name} → {service.url}{accepted['links']['self']}, {size} pixels")
        album.put_source(client.picture(accepted["links"]["source"]))
        began = posted
        with Bar("dreaming") as bar:
            for job in client.follow(accepted["id"]):
                service.check()
                began = time.monotonic() if job["status"] == "queued" else began
                _collect(client, job, album)
                tell(bar, job)
        album.put_result(client.picture(job["links"]["result"]))
        phases["queue"], phases["dream"] = began - posted, time.monotonic() - began


def _collect(client: Service, job: dict[str, Any], album: Album) -> None:
    if job["frames"]["latest"] in (None, album.latest):
        return
    for frame in client.frames(job["id"], after=album.latest):
        album.put_frame(frame["iteration"], client.picture(frame["url"]))


@contextmanager
def _timed(phases: dict[str, float], name: str) -> Iterator[None]:
    began = time.monotonic()
    try:
        yield
    finally:
        phases[name] = time.monotonic() - began
