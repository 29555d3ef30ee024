"""Torchvision's downloader against a server of our own: the real one can't be asked in a test."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from dream_core.architectures import BUILT_IN
from dream_core.weights import hub
from dream_core.weights.errors import DownloadCorrupt
from dream_core.weights.hub import HubFailed, address, check_file, download, prefix

CONTENT = b"weights" * 1000
DIGITS = hashlib.sha256(CONTENT).hexdigest()[:8]


@contextmanager
def serving(body: bytes, promised: int | None = None, status: int = 200) -> Iterator[str]:
    """Serve `body` to anybody on loopback; yield the address of the root."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body) if promised is None else promised))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


class AtOnce(Thread):
    """A thread that is done when it has been started."""

    def start(self) -> None:
        super().start()
        self.join()


@pytest.fixture
def counted() -> list[tuple[int, int | None]]:
    """What the download said of itself."""
    return []


def test_a_file_arrives_whole_and_counted(
    tmp_path: Path, counted: list[tuple[int, int | None]]
) -> None:
    """Its last count is all of it."""
    with serving(CONTENT) as root:
        file = download(
            f"{root}/tiny-{DIGITS}.pth", tmp_path, lambda *now: counted.append(now), len(CONTENT)
        )

    assert file.read_bytes() == CONTENT
    assert counted[-1] == (len(CONTENT), len(CONTENT))


def test_a_file_that_arrives_before_anybody_looks_is_counted_too(
    tmp_path: Path, counted: list[tuple[int, int | None]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A small one, or a quick disk."""
    monkeypatch.setattr(hub, "Thread", AtOnce)

    with serving(CONTENT) as root:
        download(f"{root}/tiny-{DIGITS}.pth", tmp_path, lambda *now: counted.append(now))

    assert counted == [(len(CONTENT), None)]


@pytest.mark.parametrize("body", [CONTENT + b"\0", CONTENT[:-1]])
def test_a_file_with_another_checksum_than_its_name_is_refused(
    tmp_path: Path, counted: list[tuple[int, int | None]], body: bytes
) -> None:
    """One byte more, one byte less."""
    with serving(body) as root, pytest.raises(DownloadCorrupt, match=DIGITS):
        download(f"{root}/tiny-{DIGITS}.pth", tmp_path, lambda *now: counted.append(now))

    assert not list((tmp_path / "torchvision").iterdir())


def test_a_download_that_breaks_off_leaves_nothing(
    tmp_path: Path, counted: list[tuple[int, int | None]]
) -> None:
    """The server promises more than it sends and hangs up."""
    with (
        serving(CONTENT[:100], promised=len(CONTENT)) as root,
        pytest.raises((DownloadCorrupt, HubFailed)),
    ):
        download(f"{root}/tiny-{DIGITS}.pth", tmp_path, lambda *now: counted.append(now))

    assert not list((tmp_path / "torchvision").iterdir())


def test_a_server_that_has_not_the_file_is_told(
    tmp_path: Path, counted: list[tuple[int, int | None]]
) -> None:
    """Its own word is in the reason."""
    with serving(b"", status=404) as root, pytest.raises(HubFailed, match="Not Found"):
        download(f"{root}/tiny-{DIGITS}.pth", tmp_path, lambda *now: counted.append(now))


def test_no_server_at_all_is_told(tmp_path: Path, counted: list[tuple[int, int | None]]) -> None:
    """Offline, nobody listens."""
    with serving(CONTENT) as root:
        pass

    with pytest.raises(HubFailed):
        download(f"{root}/tiny-{DIGITS}.pth", tmp_path, lambda *now: counted.append(now))


def test_every_address_of_the_catalogue_has_a_checksum_in_its_name() -> None:
    """Without one, anything that arrives would be taken."""
    wanted = [model.origin for model in BUILT_IN.values() if model.origin.kind == "torchvision"]

    addresses = [address(origin) for origin in wanted]

    assert addresses
    assert all(len(prefix(url) or "") >= 8 for url in addresses)


def test_a_file_brought_by_hand_is_held_to_the_same_name(tmp_path: Path) -> None:
    """The name in torchvision's address has the first digits of the checksum."""
    file = tmp_path / "renamed.pth"
    url = f"https://weights.example/models/tiny-{DIGITS}.pth"
    file.write_bytes(CONTENT)

    assert prefix(url) == DIGITS
    check_file(file, url)

    file.write_bytes(CONTENT[1:])
    with pytest.raises(DownloadCorrupt, match=DIGITS):
        check_file(file, url)
