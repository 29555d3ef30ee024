"""The folder that a dream leaves behind: frames, result, contact sheet, film."""

from collections.abc import Iterator, Sequence
from io import BytesIO
from pathlib import Path

from cli.saving import frame_name
from dream_core.picture import contact_sheet, film_webp, write_bytes

SHEET_FRAMES = 11  # beside the source: a sheet of 3 × 4
SOURCE, RESULT, SHEET, FILM = "source.png", "result.png", "contact_sheet.png", "dream.webp"


class Album:
    """Pictures as they come from the service, and what is made of them at the end."""

    def __init__(self, folder: Path, iterations: int) -> None:
        """Make the folder, and take away what an earlier dream left under the same names."""
        self.folder = folder
        self.latest: int | None = None  # frame
        self._iterations = iterations
        self._frames: dict[int, Path] = {}
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("frame_*.png", SOURCE, RESULT, SHEET, FILM):
            for old in folder.glob(name):
                old.unlink()

    def put_source(self, png: bytes) -> None:
        """Keep the picture that was posted, as the service has it."""
        write_bytes(self.folder / SOURCE, png)

    def put_frame(self, iteration: int, png: bytes) -> None:
        """Keep a frame; they come in ascending order."""
        path = self.folder / frame_name(iteration, self._iterations)
        write_bytes(path, png)
        self._frames[iteration] = path
        self.latest = iteration

    def put_result(self, png: bytes) -> None:
        """Keep the last picture."""
        write_bytes(self.folder / RESULT, png)

    def bind(self) -> None:
        """Make the contact sheet and the film of the frames there are."""
        # Frame 0 is the source at the dream's own size: on a sheet the two look the same.
        dreamed = [iteration for iteration in sorted(self._frames) if iteration]
        chosen = evenly(dreamed, SHEET_FRAMES)
        sheet = contact_sheet(
            [self.folder / SOURCE, *(self._frames[iteration] for iteration in chosen)],
            ["source", *(f"iteration {iteration}" for iteration in chosen)],
        )
        encoded = BytesIO()
        sheet.save(encoded, "PNG")
        write_bytes(self.folder / SHEET, encoded.getvalue())
        film_webp(
            [self._frames[iteration] for iteration in sorted(self._frames)], self.folder / FILM
        )

    def contents(self) -> Iterator[tuple[Path, str]]:
        """Give what lies where, and what it is."""
        first, last = min(self._frames.values()), max(self._frames.values())
        yield first, f"… {last.name}: {len(self._frames)} frames, numbered by iteration"
        yield self.folder / RESULT, "the result"
        yield self.folder / SHEET, "source and frames on one sheet"
        yield self.folder / FILM, "the dream as an animated picture"


def evenly(numbers: Sequence[int], most: int) -> list[int]:
    """Return up to `most` of the numbers, evenly spread, the first and the last among them."""
    count = min(most, len(numbers))
    if count < 2:
        return list(numbers[:count])
    last = len(numbers) - 1
    return [numbers[round(place * last / (count - 1))] for place in range(count)]
