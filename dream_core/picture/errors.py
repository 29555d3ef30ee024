"""What can be wrong with a picture that comes in, or with one that goes out.

Refused
├── PictureRefused
│   ├── PictureTooLarge            megapixels
│   ├── PictureSideTooLong
│   ├── PictureTooThin
│   ├── PictureTooSmall
│   ├── PictureTruncated           begins well and breaks off
│   ├── PictureUnreadable          damaged from the start
│   └── PictureFormatUnsupported
│       └── PictureIsHeic          the same code, and how to export
└── PictureNotFinite               a dream that ran away can't be saved
"""

from dream_core.errors import FieldFault, Refused

READABLE = "PNG, JPEG, WebP, GIF, TIFF, BMP or AVIF"


class PictureRefused(Refused):
    """A picture that can't be dreamed on; the fault is laid to the field `image`."""

    def __init__(self, message: str, value: object = None) -> None:
        """Lay the fault to the field that the picture came in."""
        super().__init__(message)
        self.faults = (FieldFault("image", value, message),)


class PictureTooLarge(PictureRefused):
    """More pixels than we decode."""

    code = "picture-too-large"
    title = "Picture too large"

    def __init__(self, pixels: int, limit: int) -> None:
        """Count in megapixels, as cameras do; never round down to the limit itself."""
        digits = 1 if pixels >= limit * 1.01 else 6
        super().__init__(
            f"the picture has {pixels / 1e6:.{digits}f} megapixels, the limit is {limit / 1e6:g}; "
            "scale it down",
            pixels,
        )


class PictureSideTooLong(PictureRefused):
    """One side is longer than we take."""

    code = "picture-side-too-long"
    title = "Picture too long"

    def __init__(self, height: int, width: int, limit: int) -> None:
        """Name both sides, width first as people do."""
        super().__init__(
            f"the picture is {width} × {height} pixels, the longest side allowed is {limit}; "
            "scale it down",
            max(height, width),
        )


class PictureTooThin(PictureRefused):
    """One side is too many times the other."""

    code = "picture-too-thin"
    title = "Picture too thin"

    def __init__(self, height: int, width: int, limit: float) -> None:
        """Name the ratio."""
        ratio = max(height, width) / min(height, width)
        super().__init__(
            f"the picture is {width} × {height} pixels, one side {ratio:.4g} times the other; "
            f"the limit is {limit:g}; crop it",
            ratio,
        )


class PictureTooSmall(PictureRefused):
    """Too few pixels to see anything in."""

    code = "picture-too-small"
    title = "Picture too small"

    def __init__(self, height: int, width: int, limit: int) -> None:
        """Name both sides."""
        super().__init__(
            f"the picture is {width} × {height} pixels, the shortest side allowed is {limit}; "
            "take a larger one, or scale it up",
            min(height, width),
        )


class PictureTruncated(PictureRefused):
    """The file begins well and breaks off."""

    code = "picture-truncated"
    title = "Picture cut off"

    def __init__(self, name: str, size: int) -> None:
        """Say how much arrived: the sender sees what is missing."""
        super().__init__(
            f"the {name} picture breaks off: {size} bytes don't hold all of its pixels; "
            "send the whole file again",
            size,
        )


class PictureUnreadable(PictureRefused):
    """The file can't be made sense of."""

    code = "picture-unreadable"
    title = "Picture unreadable"

    def __init__(self, reason: str) -> None:
        """Give the reason as far as it is known."""
        super().__init__(
            f"the picture can't be read: {reason}; open it in a viewer, export it and try that"
        )


class PictureFormatUnsupported(PictureRefused):
    """A file of a kind that we don't read."""

    code = "picture-format-unsupported"
    title = "Format not supported"

    def __init__(self, found: str | None, way_out: str = f"send {READABLE}") -> None:
        """Name what the content looks like, whatever the file is called; None: like no picture."""
        what = f"is {found}, which can't be dreamed on" if found else "isn't a picture we can read"
        super().__init__(f"the file {what}; {way_out}", found)


class PictureIsHeic(PictureFormatUnsupported):
    """The format of iPhones: by far the likeliest that we don't read."""

    def __init__(self) -> None:
        """Say how to get a JPEG out of the phone."""
        super().__init__(
            "a HEIC picture",
            "export it as JPEG: on a Mac in Preview by File → Export, on an iPhone by Settings → "
            "Camera → Formats → Most Compatible for new pictures",
        )


class PictureNotFinite(Refused):
    """A dream left the numbers; there is nothing to save."""

    code = "picture-not-finite"
    title = "The dream ran away"

    def __init__(self, count: int, total: int) -> None:
        """Say how many values are lost, and what holds a dream."""
        super().__init__(
            f"{count} of {total} values of the picture are not finite; "
            "a smaller learning_rate or a dose nearer to 1 holds it"
        )
