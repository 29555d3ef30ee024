from pathlib import Path

import pytest
from PIL import Image

from cli import album
from cli.album import Album


def png(path: Path, size: tuple[int, int] = (40, 33)) -> bytes:
    """Return a small picture as a file's bytes."""
    Image.new("RGB", size).save(path, "PNG")
    return path.read_bytes()


def test_the_sheet_shows_the_source_and_then_what_was_dreamed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Frame 0 looks like the source: side by side they would seem a mistake."""
    captions: list[str] = []

    def sheet(_pictures: object, said: list[str]) -> Image.Image:
        captions.extend(said)
        return Image.new("RGB", (1, 1))

    monkeypatch.setattr(album, "contact_sheet", sheet)
    kept = Album(tmp_path / "out", 30)
    picture = png(tmp_path / "x.png")
    kept.put_source(picture)
    for iteration in range(3):
        kept.put_frame(iteration, picture)

    kept.bind()

    assert captions == ["source", "iteration 1", "iteration 2"]
    with Image.open(tmp_path / "out" / album.FILM) as film:
        assert getattr(film, "n_frames", 1) >= 1
