"""The disk that a dream may take, known before it is accepted."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from dream_core.spec import scaled_size

# A checkpoint holds the picture and what the optimizer knows, in float32 RGB: Adam two moments;
# L-BFGS the gradient, and ten moves with what each changed.
_FLOATS = {"adam": 3 * 3, "lbfgs": 3 * 22}
_CHECKPOINT_EXTRA = 64 * 1024  # names, numbers, the checksum
_CHECKPOINTS_AT_ONCE = 3  # two kept and the one that is being written

# What deflate adds where nothing can be made smaller: 5 bytes for each stored block of a PNG's
# rows, of 16 KB; and the file's own header, end and chunks.
_BLOCK, _BLOCK_EXTRA, _PNG_EXTRA = 16_000, 5, 1024


@dataclass(frozen=True)
class Footprint:
    """What one dream may take, at most."""

    height: int  # of its frames
    width: int
    begins_at: int
    iterations: int
    save_every: int
    frame_bytes: int  # one frame
    fixed_bytes: int  # the source and the checkpoints

    @classmethod
    def of(
        cls,
        spec: Mapping[str, Any],
        height: int,
        width: int,
        *,
        has_alpha: bool = True,
        begins_at: int = 0,
        source_bytes: int = 0,
    ) -> Self:
        """Return what a dream of `spec` on a picture of (height, width) may take.

        Args:
            spec: resolved, as a job record has it.
            height: of the picture that was posted.
            width: of the same.
            has_alpha: whether frames keep an alpha channel.
            begins_at: iteration of its first frame.
            source_bytes: of the stored source, as far as it isn't on the disk yet.
        """
        frame = scaled_size(height, width, spec["image_size"])
        checkpoint = frame[0] * frame[1] * _FLOATS[spec["optimizer"]] * 4 + _CHECKPOINT_EXTRA
        return cls(
            *frame,
            begins_at,
            spec["iterations"],
            spec["save_every"],
            largest_png(*frame, 4 if has_alpha else 3),
            source_bytes + _CHECKPOINTS_AT_ONCE * checkpoint,
        )

    @property
    def frames(self) -> int:
        """How many frames it keeps."""
        return frames_kept(self.begins_at, self.iterations, self.save_every)

    @property
    def bytes(self) -> int:
        """All of it, at most."""
        return self.fixed_bytes + self.frames * self.frame_bytes

    def frames_that_fit(self, room: int) -> int:
        """Return how many frames `room` bytes hold."""
        return max(0, (room - self.fixed_bytes) // self.frame_bytes)

    def save_every_that_fits(self, room: int) -> int | None:
        """Return the smallest `save_every` with which it fits; None where none is large enough."""
        fitting = self.frames_that_fit(room)
        for save_every in range(self.save_every + 1, self.iterations + 1):
            if frames_kept(self.begins_at, self.iterations, save_every) <= fitting:
                return save_every
        return None


def frames_kept(begins_at: int, iterations: int, save_every: int) -> int:
    """Return how many frames there are: the first, all multiples past it, and the last one."""
    multiples = iterations // save_every - begins_at // save_every
    last = iterations % save_every != 0 and iterations > begins_at
    return 1 + multiples + last


def largest_png(height: int, width: int, channels: int) -> int:
    """Return the bytes of a PNG of 8 bits a channel that can't be made smaller."""
    rows = height * (1 + width * channels)
    return rows + (rows // _BLOCK + 1) * _BLOCK_EXTRA + _PNG_EXTRA
