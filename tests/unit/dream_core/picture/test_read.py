"""What a picture becomes: modes, orientation, profiles, and that the store gives it back."""

import struct
import zlib
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image, ImageCms, ImageDraw, ImageFile, PngImagePlugin

from dream_core.picture.picture import MODES
from dream_core.picture.read import READERS, measure, read

Encode = Callable[..., bytes]
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
ORIENTATION = 0x0112


def png(width: int, height: int, depth: int, color: int, rows: bytes, *chunks: bytes) -> bytes:
    """Return a PNG written by hand, for what Pillow reads and doesn't write."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    header = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0)
    between = b"".join(chunk(part[:4], part[4:]) for part in chunks)
    data = chunk(b"IDAT", zlib.compress(rows))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + between + data + chunk(b"IEND", b"")


def gamma_profile(space: bytes, gamma: float) -> bytes:
    """Return an ICC profile of a bare power curve."""
    return profile_of(space, struct.pack(">IH2x", 1, round(gamma * 256)))


def table_of_srgb() -> bytes:
    """Return sRGB's own curve as cameras write it: a table of 1024 steps."""
    fraction = np.linspace(0, 1, 1024)
    light = np.where(fraction <= 0.04045, fraction / 12.92, ((fraction + 0.055) / 1.055) ** 2.4)
    return struct.pack(">I", 1024) + np.rint(light * 65_535).astype(">u2").tobytes()


def profile_of(space: bytes, steps: bytes) -> bytes:
    """Return an ICC profile (version 2) with that curve: grey, or RGB with sRGB's colors."""
    primaries = {
        b"rXYZ": (0.4361, 0.2225, 0.0139),
        b"gXYZ": (0.3851, 0.7169, 0.0971),
        b"bXYZ": (0.1431, 0.0606, 0.7139),
    }
    curve = b"curv\0\0\0\0" + steps

    def xyz(values: tuple[float, ...]) -> bytes:
        return b"XYZ \0\0\0\0" + b"".join(struct.pack(">i", round(v * 65536)) for v in values)

    tags = {b"wtpt": xyz((0.9642, 1.0, 0.8249))}
    if space == b"GRAY":
        tags[b"kTRC"] = curve
    else:
        tags |= {name: xyz(values) for name, values in primaries.items()}
        tags |= dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve)
    start, table, body = 132 + 12 * len(tags), b"", b""
    for name, value in tags.items():
        table += name + struct.pack(">II", start + len(body), len(value))
        body += value
    header = struct.pack(">I4xI", start + len(body), 0x02100000) + b"mntr" + space + b"XYZ "
    header += bytes(12) + b"acsp" + bytes(28) + struct.pack(">iii", 63190, 65536, 54061)
    return header.ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + body


def srgb_of(fraction: np.ndarray, gamma: float) -> np.ndarray:
    """Return in sRGB what a power curve encoded."""
    light = np.asarray(fraction, np.float64) ** gamma
    return np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "WEBP", "GIF", "AVIF", "JPEG"])
def test_every_format_is_known_by_its_content(
    kind: str, photo: Image.Image, encode: Encode, tmp_path: Path
) -> None:
    """As bytes and as a file whose name tells something else; 0.08 is what lossy formats leave."""
    data = encode(photo, kind, quality=95)
    misnamed = tmp_path / "picture.txt"
    misnamed.write_bytes(data)

    picture = read(data)

    assert (picture.height, picture.width) == (64, 96)
    exact = kind in ("PNG", "BMP", "TIFF")
    difference = np.abs(picture.rgb() - np.asarray(photo).transpose(2, 0, 1) / np.float32(255))
    assert difference.mean() <= (0 if exact else 0.08)
    assert_array_equal(read(misnamed).rgb(), picture.rgb())


def test_lossless_webp_keeps_color_and_alpha(photo: Image.Image, encode: Encode) -> None:
    """Alpha is a channel of its own, untouched."""
    photo.putalpha(Image.linear_gradient("L").resize(photo.size))

    picture = read(encode(photo, "WEBP", lossless=True, exact=True))

    assert_array_equal(picture.image, photo)
    assert picture.alpha() is not None


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
def test_every_orientation_comes_out_upright(
    kind: str, orientation: int, photo: Image.Image, encode: Encode
) -> None:
    """The red corner is at the top left again, whoever turns: TIFF and AVIF come turned already."""
    undo = {1: None, 2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}[orientation]
    stored = photo if undo is None else photo.transpose(Image.Transpose(undo))
    exif = Image.Exif()
    exif[ORIENTATION] = orientation

    data = encode(stored, kind, exif=exif, quality=95)
    picture = read(data)

    assert measure(data) == (picture.height, picture.width) == (64, 96)
    assert_allclose(
        picture.rgb()[:, 1:8, 1:16].mean((1, 2)), [250 / 255, 10 / 255, 20 / 255], atol=0.05
    )


@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "PNG"])
@pytest.mark.parametrize("start", [b"II*\0\xff\xff\xff\x7f", b"no TIFF at all"])
def test_a_damaged_exif_block_leaves_the_pixels(
    kind: str, start: bytes, photo: Image.Image, encode: Encode
) -> None:
    """What can't be understood turns nothing."""
    data = encode(photo, kind, exif=b"Exif\0\0" + start + b"\xff" * 40)

    assert read(data).width == 96
    assert measure(data) == (64, 96)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF"])
def test_a_picture_is_measured_without_its_pixels(
    kind: str, photo: Image.Image, encode: Encode, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An estimate of 40 megapixels costs no more than one of a thumbnail."""
    data = encode(photo, kind)

    def decode(_: Image.Image) -> None:
        pytest.fail("the pixels were decoded")

    for image in (ImageFile.ImageFile, *READERS.values()):
        monkeypatch.setattr(image, "load", decode)
    assert measure(data) == (64, 96)


def test_grey_of_16_bits_is_scaled_and_kept() -> None:
    """Neither clipped at 255 nor cut to 8 bits."""
    grey = np.arange(64 * 96, dtype=np.uint16).reshape(64, 96) * 10
    file = BytesIO()
    Image.fromarray(grey).save(file, "PNG")

    picture = read(file.getvalue())

    assert_allclose(picture.rgb(), np.stack([grey / 65_535] * 3), atol=1e-7)
    assert picture.alpha() is None


def test_color_of_16_bits_is_scaled_to_8() -> None:
    """Pillow keeps the upper byte of each sample: at most a step of 255 is lost, none clipped."""
    samples = np.random.default_rng(1).integers(0, 65_536, (40, 50, 3)).astype(">u2")
    rows = b"".join(b"\0" + row.tobytes() for row in samples)

    picture = read(png(50, 40, 16, 2, rows))

    assert_allclose(picture.rgb(), samples.transpose(2, 0, 1) / 65_535, atol=1 / 255)


def test_grey_of_16_bits_with_a_transparent_value_keeps_its_transparency() -> None:
    """At the price of its lower bits, because no PNG of Pillow's holds both."""
    grey = np.full((40, 50), 0x8000, ">u2")
    grey[3, 4] = 0x1234
    rows = b"".join(b"\0" + row.tobytes() for row in grey)

    picture = read(png(50, 40, 16, 0, rows, b"tRNS\x12\x34"))

    alpha = picture.alpha()
    assert alpha is not None
    assert alpha[3, 4] == 0
    assert alpha.sum() == 40 * 50 - 1
    assert_allclose(picture.rgb()[:, 0, 0], 128 / 255)


def palette(photo: Image.Image) -> Image.Image:
    """Return 16 colors, the most frequent of them transparent."""
    image = photo.quantize(16)
    image.info["transparency"] = 0
    return image


@pytest.mark.parametrize(
    ("mode", "kind", "becomes"),
    [
        ("1", "PNG", "L"),
        ("L", "PNG", "L"),
        ("LA", "PNG", "LA"),
        ("RGBA", "PNG", "RGBA"),
        ("P", "PNG", "RGB"),
        ("CMYK", "TIFF", "RGB"),
        ("YCbCr", "TIFF", "RGB"),
        ("LAB", "TIFF", "RGB"),
        ("I;16", "TIFF", "I;16"),
        ("I", "TIFF", "I;16"),
        ("F", "TIFF", "I;16"),
    ],
)
def test_every_mode_shows_the_same_picture(
    mode: str, kind: str, becomes: str, photo: Image.Image, encode: Encode
) -> None:
    """Held against Pillow's grey of the photograph; 1-bit dots and 256 colors by their mean."""
    if mode == "LAB":
        image = ImageCms.profileToProfile(photo, SRGB_PROFILE, LAB_PROFILE, outputMode="LAB")
        assert image is not None
    elif mode in ("I;16", "I", "F"):
        grey = np.asarray(photo.convert("L"))
        kinds = {"I;16": grey * np.uint16(257), "I": grey * np.int32(257)}
        image = Image.fromarray(kinds.get(mode, grey / np.float32(255)))
    else:
        image = photo.convert(mode)

    picture = read(encode(image, kind))

    assert picture.image.mode == becomes
    shown = picture.rgb().transpose(1, 2, 0) @ [0.299, 0.587, 0.114]
    expected = np.asarray(photo.convert("L")) / 255
    assert_allclose(shown.mean(), expected.mean(), atol=0.01)
    if mode not in ("1", "P"):
        assert_allclose(shown, expected, atol=0.05 if mode == "LAB" else 0.02)


SRGB_PROFILE = ImageCms.createProfile("sRGB")
LAB_PROFILE = ImageCms.createProfile("LAB")


@pytest.mark.parametrize("kind", ["PNG", "GIF"])
def test_a_transparent_color_of_a_palette_becomes_alpha(
    kind: str, photo: Image.Image, encode: Encode
) -> None:
    """Transparent where that index is, opaque elsewhere."""
    image = palette(photo)

    picture = read(encode(image, kind, transparency=0))

    alpha = picture.alpha()
    assert alpha is not None
    assert_array_equal(alpha, np.asarray(image) != 0)


def test_adobes_inverted_cmyk_is_not_a_negative(photo: Image.Image, encode: Encode) -> None:
    """Photoshop stores CMYK JPEG upside down and says so in a marker."""
    picture = read(encode(photo.convert("CMYK"), "JPEG", quality=95))

    assert_allclose(picture.rgb().mean(), np.asarray(photo).mean() / 255, atol=0.02)


def test_cmyk_goes_through_its_profile_or_none_that_fits(
    photo: Image.Image, encode: Encode
) -> None:
    """An RGB profile on CMYK pixels doesn't fit and changes nothing."""
    cmyk = photo.convert("CMYK")

    with_rgb_profile = read(encode(cmyk, "JPEG", icc_profile=SRGB))

    assert_array_equal(with_rgb_profile.rgb(), read(encode(cmyk, "JPEG")).rgb())


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_a_profile_is_followed_to_srgb(mode: str, photo: Image.Image, encode: Encode) -> None:
    """A bare power of 1.8 over sRGB's own colors; two steps is what 8 bits leave of it."""
    profile = gamma_profile(b"RGB ", 1.8)

    picture = read(encode(photo.convert(mode), "PNG", icc_profile=profile))

    expected = srgb_of(np.asarray(photo).transpose(2, 0, 1) / 255, 1.8)
    assert_allclose(picture.rgb(), expected, atol=2.5 / 255)
    assert picture.image.mode == mode


@pytest.mark.parametrize("space", [b"GRAY", b"RGB "])
@pytest.mark.parametrize("mode", ["L", "LA", "I;16"])
def test_grey_follows_a_profile_too(mode: str, space: bytes, encode: Encode) -> None:
    """Grey stays grey; 16 bits stay 16, without the steps of 8."""
    ramp = np.linspace(0, 65_535, 64 * 96).astype(np.uint16).reshape(64, 96)
    grey = Image.fromarray(ramp if mode == "I;16" else (ramp >> 8).astype(np.uint8))
    image = grey if mode == "I;16" else grey.convert(mode)

    picture = read(encode(image, "PNG", icc_profile=gamma_profile(space, 1.8)))

    white = 65_535 if mode == "I;16" else 255
    assert_allclose(picture.rgb()[0], srgb_of(np.asarray(grey) / white, 1.8), atol=2.5 / 255)
    assert picture.image.mode == mode
    if mode == "I;16":
        assert len(np.unique(picture.plane(0))) > 5000


@pytest.mark.parametrize("profile", [SRGB, profile_of(b"RGB ", table_of_srgb())])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_srgb_by_its_profile_keeps_every_bit(mode: str, profile: bytes, encode: Encode) -> None:
    """Most photographs carry one; a round trip through lcms would move some values by a step."""
    noise = np.random.default_rng(6).integers(0, 256, (100, 100, 3), np.uint8)
    image = Image.fromarray(noise).convert(mode)

    assert_array_equal(read(encode(image, "PNG", icc_profile=profile)).image, image)


@pytest.mark.parametrize(
    "profile",
    [
        b"nonsense",
        b"",
        SRGB[:200],
        SRGB[:128] + bytes(400),
        gamma_profile(b"GRAY", 2.2),
        b"\xff" * 5000,
    ],
)
def test_a_hostile_profile_counts_as_none(
    profile: bytes, photo: Image.Image, encode: Encode
) -> None:
    """Nonsense, cut off, without tags, or for other pixels: the pixels are taken as sRGB."""
    assert_array_equal(read(encode(photo, "PNG", icc_profile=profile)).image, photo)


@pytest.mark.parametrize("values", [(-5.0, 300.0), (0.0, 70_000.0), (2.0, 2.0)])
def test_floats_beyond_one_are_stretched(values: tuple[float, float], encode: Encode) -> None:
    """They have no agreed range; the smallest becomes black, the largest white, one value black."""
    low, high = values
    data = np.linspace(low, high, 64 * 96, dtype=np.float32).reshape(64, 96)

    shown = read(encode(Image.fromarray(data), "TIFF")).rgb()[0]

    expected = np.linspace(0, 1 if high > low else 0, 64 * 96).reshape(64, 96)
    assert_allclose(shown, expected, atol=1e-4)


@pytest.mark.parametrize("mode", MODES)
def test_what_is_stored_reads_back_bit_for_bit(
    mode: str, photo: Image.Image, encode: Encode, tmp_path: Path
) -> None:
    """To a path or a file; with nothing in it but pixels, whatever the original said of itself."""
    if mode == "I;16":
        image = Image.fromarray(np.arange(64 * 96, dtype=np.uint16).reshape(64, 96) * 9)
    else:
        image = photo.convert(mode)
        if "A" in mode:
            image.putalpha(Image.linear_gradient("L").resize(photo.size))
    about = PngImagePlugin.PngInfo()
    about.add_text("Author", "somebody", zip=True)
    exif = Image.Exif()
    exif[0x010F] = "a camera"
    picture = read(encode(image, "PNG", pnginfo=about, exif=exif, icc_profile=SRGB, dpi=(72, 72)))

    picture.save_png(tmp_path / "source.png")
    file = BytesIO()
    picture.save_png(file)

    stored = (tmp_path / "source.png").read_bytes()
    assert stored == file.getvalue()
    assert chunks_of(stored) == {b"IHDR", b"IDAT", b"IEND"}
    again = read(tmp_path / "source.png")
    assert again.image.mode == mode
    assert_array_equal(again.image, picture.image)
    assert_array_equal(picture.image, image)


def chunks_of(data: bytes) -> set[bytes]:
    """Return the names of a PNG's chunks."""
    names, at = set(), 8
    while at < len(data):
        names.add(data[at + 4 : at + 8])
        at += 12 + int.from_bytes(data[at : at + 4], "big")
    return names


def test_the_first_frame_counts(photo: Image.Image, encode: Encode) -> None:
    """Of an animation, only what is seen first is decoded."""
    others = [Image.new("RGB", photo.size, color) for color in ("blue", "green")]

    for kind in ("PNG", "TIFF", "WEBP"):
        data = encode(photo, kind, save_all=True, append_images=others, lossless=True)
        assert_array_equal(read(data).image, photo, err_msg=kind)


def test_a_picture_of_8_bits_stays_so_until_floats_are_asked_for(
    photo: Image.Image, encode: Encode
) -> None:
    """An upload is read and stored by a process that never needs a float of it."""
    picture = read(encode(photo, "PNG"))

    assert picture.plane(2).dtype == np.uint8
    assert picture.rgb().dtype == np.float32
    assert_array_equal(picture.rgb()[2], picture.plane(2) / np.float32(255))


def test_a_drawn_palette_png_with_alpha_per_color(encode: Encode) -> None:
    """The chunk tRNS may give every color its own alpha."""
    image = Image.new("P", (40, 40), 1)
    image.putpalette([0, 0, 0, 200, 100, 50, 9, 9, 9])
    ImageDraw.Draw(image).rectangle((0, 0, 9, 9), fill=2)

    picture = read(encode(image, "PNG", transparency=bytes([0, 128, 255])))

    assert picture.image.getpixel((20, 20)) == (200, 100, 50, 128)
    assert picture.image.getpixel((5, 5)) == (9, 9, 9, 255)
