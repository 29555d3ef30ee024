"""Torchvision's own weights, by torchvision's own downloader."""

from pathlib import Path
from threading import Thread
from urllib.error import HTTPError, URLError

from dream_core.model import Model, Origin
from dream_core.weights.convert import Tensors
from dream_core.weights.errors import DownloadCorrupt
from dream_core.weights.progress import Count
from dream_core.weights.store import checksum

_REPORT_EVERY_S = 0.25


class HubFailed(Exception):
    """Nothing arrived; the text says why."""


def address(origin: Origin) -> str:
    """Return where torchvision keeps a network's weights of one version.

    Raises:
        HubFailed: torchvision is not installed, or for another torch than is here.
    """
    try:
        import torchvision  # type: ignore[import-untyped]
    except (ImportError, RuntimeError) as error:
        raise HubFailed(f"torchvision can't be imported: {error}") from error
    published = torchvision.models.get_model_weights(origin.name)
    return str(published[origin.version].url)


def prefix(url: str) -> str | None:
    """Return the first digits of a file's sha256, which torchvision writes into its name."""
    import torch.hub

    found = torch.hub.HASH_REGEX.search(url.rsplit("/", 1)[-1])
    return found[1] if found else None


def download(url: str, room: Path, count: Count, total: int | None = None) -> Path:
    """Download a file into `room` and return it, its checksum checked against its name.

    Raises:
        HubFailed: no connection, or it broke.
        DownloadCorrupt: what arrived isn't what the name says; half a file is that too.
    """
    import torch.hub

    landing = room / "torchvision"
    landing.mkdir()
    target = landing / "state.pth"
    failed: list[Exception] = []

    def fetch() -> None:
        try:
            torch.hub.download_url_to_file(url, str(target), prefix(url), progress=False)
        except Exception as error:
            failed.append(error)

    # The downloader tells nobody how far it is: it works aside while we look at what has arrived.
    aside = Thread(target=fetch, daemon=True)
    aside.start()
    while aside.is_alive():
        aside.join(_REPORT_EVERY_S)
        count(sum(_size(file) for file in landing.iterdir()), total)
    if failed:
        raise _ours(failed[0], url)
    count(_size(target), total)  # the thread may have ended before anybody looked
    return target


def check_file(file: Path, url: str) -> None:
    """Raise DownloadCorrupt unless a file is the one that the name in `url` means."""
    found, expected = checksum(file), prefix(url) or ""
    if not found.startswith(expected):
        raise DownloadCorrupt(str(file), found, expected)


def convert(model: Model, file: Path) -> Tensors:
    """Return a model's tensors from torchvision's state dict."""
    import torch

    from dream_core.weights.torchvision import convert as by_our_names

    return by_our_names(model, torch.load(file, map_location="cpu", weights_only=True))


def _ours(error: Exception, url: str) -> Exception:
    if isinstance(error, RuntimeError) and "invalid hash" in str(error):
        got = str(error).rsplit('"', 2)[1]
        return DownloadCorrupt(url.rsplit("/", 1)[-1], got, prefix(url) or "")
    if isinstance(error, HTTPError):
        error.close()  # it is an open response, too
    if isinstance(error, URLError | OSError):
        return HubFailed(str(getattr(error, "reason", error)))
    return error


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except FileNotFoundError:  # renamed meanwhile
        return 0
