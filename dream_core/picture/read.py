"""Bytes of anyone to a picture: known by content, measured before decoding, never trusted."""

import re
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from PIL import (
    AvifImagePlugin,
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    ImageFile,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from dream_core.errors import DreamError
from dream_core.picture.color import to_srgb
from dream_core.picture.errors import (
    PictureFormatUnsupported,
    PictureIsHeic,
    PictureSideTooLong,
    PictureTooLarge,
    PictureTooSmall,
    PictureTooThin,
    PictureTruncated,
    PictureUnreadable,
)
from dream_core.picture.picture import Picture

READERS: dict[str, type[ImageFile.ImageFile]] = {
    "PNG": PngImagePlugin.PngImageFile,
    "JPEG": JpegImagePlugin.JpegImageFile,
    "WebP": WebPImagePlugin.WebPImageFile,
    "GIF": GifImagePlugin.GifImageFile,
    "TIFF": TiffImagePlugin.TiffImageFile,
    "BMP": BmpImagePlugin.BmpImageFile,
    "AVIF": AvifImagePlugin.AvifImageFile,
}

SIGNATURES = (
    (rb"\x89PNG\r\n\x1a\n", "PNG"),
    (rb"\xff\xd8\xff", "JPEG"),
    (rb"RIFF....WEBP", "WebP"),
    (rb"GIF8[79]a", "GIF"),
    (rb"II[*+]\0|MM\0[*+]", "TIFF"),
    (rb"BM", "BMP"),
    (rb"....ftyp", "a video, or a picture kept like one"),
    (rb"%PDF", "a PDF"),
    (rb"8BPS", "a Photoshop document"),
    (rb"\xff\x0a|\0\0\0\x0cJXL ", "a JPEG XL picture"),
    (rb"\xff\x4f\xff\x51|\0\0\0\x0cjP  ", "a JPEG 2000 picture"),
    (rb"\0\0[\x01\x02]\0", "an icon"),
    (rb"PK\x03\x04", "a zip archive"),
    (rb"\s*<(\?xml|svg|!DOCTYPE)", "a text with markup, maybe an SVG or a web page"),
)
HEIC_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}

TURNS = {  # EXIF orientation → what undoes it
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
ORIENTATION = 0x0112
SIDEWAYS = (5, 6, 7, 8)
UPRIGHT_BY_HEADER = ("TIFF",)  # Pillow tells its sides as they will be

# One at a time in a process: what is stated below for one picture is then true for all, and the
# filter of warnings, which belongs to the process, is never taken by two.
_decoding = threading.Lock()


@dataclass(frozen=True)
class Limits:
    """What a picture may measure, checked on its header."""

    max_pixels: int = 40_000_000
    max_side: int = 12_000
    max_aspect: float = 40
    min_side: int = 32

    def check(self, height: int, width: int) -> None:
        """Check a picture's sides.

        Raises:
            PictureTooSmall, PictureTooThin, PictureSideTooLong, PictureTooLarge.
        """
        if min(height, width) < self.min_side:
            raise PictureTooSmall(height, width, self.min_side)
        if max(height, width) > self.max_aspect * min(height, width):
            raise PictureTooThin(height, width, self.max_aspect)
        if height * width > self.max_pixels:
            raise PictureTooLarge(height * width, self.max_pixels)
        if max(height, width) > self.max_side:
            raise PictureSideTooLong(height, width, self.max_side)


LIMITS = Limits()


def read(data: bytes | Path, limits: Limits = LIMITS) -> Picture:
    """Return the picture in a file: its first frame, upright, in sRGB, without metadata.

    At 40 megapixels, beside the bytes given: 160 MB for RGB, 310 when it is turned or its colors
    are converted, 610 for WebP and for float TIFF (measured, Pillow 13).

    Raises:
        PictureRefused: and nothing else, whatever the bytes are.
    """
    content = _content(data)
    name = _format_of(content)
    with _decoding, _borders(name, content, limits):
        image = READERS[name](BytesIO(content))
        limits.check(image.height, image.width)
        image.load()  # verify() would pass a JPEG that is cut off
        if name == "PNG" and b"IEND" not in content:  # Pillow is content with the pixels
            raise PictureTruncated(name, len(content))
        return Picture(to_srgb(_upright(image)))


def measure(data: bytes | Path, limits: Limits = LIMITS) -> tuple[int, int]:
    """Return (height, width) of the picture in a file, upright, by its header alone.

    As `read` would find it, but for a PNG that tells of its turn only behind its pixels.

    Raises:
        PictureRefused: what `read` would refuse before it decodes.
    """
    content = _content(data)
    name = _format_of(content)
    with _decoding, _borders(name, content, limits):
        image = READERS[name](BytesIO(content))
        limits.check(image.height, image.width)
        # Asked for the orientation, Pillow would decode a PNG that hasn't told it so far.
        told = name != "PNG" or "exif" in image.info
        turned = told and name not in UPRIGHT_BY_HEADER and _orientation(image) in SIDEWAYS
        return (image.width, image.height) if turned else (image.height, image.width)


def _content(data: bytes | Path) -> bytes:
    if isinstance(data, Path):
        try:
            content = data.read_bytes()
        except OSError as error:
            raise PictureUnreadable(f"{data}: {error.strerror}") from error
    else:
        content = data
    if not content:
        raise PictureUnreadable("the file is empty")
    return content


def _format_of(content: bytes) -> str:
    """Return the key of READERS that the first bytes ask for, whatever the file is called."""
    start = content[:4096]
    if start[4:8] == b"ftyp":
        box = start[8 : max(int.from_bytes(start[:4], "big"), 12)]
        brands = {box[at : at + 4] for at in range(0, len(box), 4)}
        if brands & {b"avif", b"avis"}:
            return "AVIF"
        if brands & HEIC_BRANDS:
            raise PictureIsHeic
    found = (name for pattern, name in SIGNATURES if re.match(pattern, start, re.DOTALL))
    name = next(found, None)
    if name is None or name not in READERS:
        raise PictureFormatUnsupported(name)
    return name


@contextmanager
def _borders(name: str, content: bytes, limits: Limits) -> Iterator[None]:
    """Turn whatever a decoder says about hostile bytes into one of ours.

    Every exception is caught, because that is what decoders raise: struct.error, KeyError,
    zlib.error, RecursionError … have all been seen. None of them is a fault of ours.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # "Corrupt EXIF data" tells neither user nor host
            yield
    except DreamError:
        raise
    except Image.DecompressionBombError as error:
        pixels = re.search(r"\d+", str(error))
        raise PictureTooLarge(int(pixels[0]) if pixels else 0, limits.max_pixels) from error
    except Exception as error:
        if "truncated" in str(error).lower() or _ends_early(name, content):
            raise PictureTruncated(name, len(content)) from error
        raise PictureUnreadable(f"its {name} data are damaged ({error})") from error


def _ends_early(name: str, content: bytes) -> bool:
    """Whether the file itself says that it should be longer."""
    return name == "WebP" and int.from_bytes(content[4:8], "little") + 8 > len(content)


def _upright(image: Image.Image) -> Image.Image:
    """Return the picture as the camera was held; TIFF and AVIF come out of Pillow so."""
    turn = TURNS.get(_orientation(image))
    return image if turn is None else image.transpose(turn)


def _orientation(image: Image.Image) -> int:
    try:
        found: int = image.getexif().get(ORIENTATION, 1)
    except Exception:  # a damaged EXIF block is no reason to refuse the pixels
        return 1
    return found
