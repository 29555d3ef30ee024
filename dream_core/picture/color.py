"""Whatever pixels a file holds, as sRGB: through its ICC profile, in one of a few modes."""

from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

from dream_core.picture.errors import PictureUnreadable

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
TINY = 1e-30  # a picture of a single value has no range to divide by
ONE_STEP = 1  # of 255; what lcms moves colors by when it takes sRGB to sRGB

# Modes that Pillow brings to one of ours without loss that a picture would show.
PLAIN = {
    "1": "L",
    "La": "LA",
    "PA": "RGBA",
    "RGBX": "RGB",
    "RGBa": "RGBA",
    "YCbCr": "RGB",
    "HSV": "RGB",
}


def to_srgb(image: Image.Image) -> Image.Image:
    """Return a decoded picture as sRGB in one of `picture.MODES`, without its metadata.

    A profile that can't be read or doesn't fit the pixels is treated as none: the pixels are then
    sRGB, as they are in a browser. CMYK without one is converted by Pillow's plain formula.
    Pillow decodes RGB of 16 bits to its upper 8 (scaled, not clipped); grey keeps all 16.

    Raises:
        PictureUnreadable: a float picture holds values that are not numbers.
    """
    icc = image.info.get("icc_profile")
    image = _plain(image)
    if icc:
        image = _through(icc, image)
    if image.mode == "CMYK":
        image = image.convert("RGB")
    image.info = {}
    return image


def _plain(image: Image.Image) -> Image.Image:
    """Return L, LA, RGB, RGBA, I;16 or CMYK, with transparency as a channel of its own."""
    if image.mode.startswith("I;16"):
        return _sixteen_bits(image)
    if image.mode in ("I", "F"):
        return _stretched(image)
    if image.mode == "LAB":
        lab = ImageCms.createProfile("LAB")
        return _converted(image, ImageCms.buildTransform(lab, SRGB, "LAB", "RGB"))
    if image.has_transparency_data and image.mode in ("1", "L", "P", "RGB"):
        return image.convert("LA" if image.mode in ("1", "L") else "RGBA")
    if image.mode == "P":
        return image.convert("RGB")
    return image.convert(PLAIN[image.mode]) if image.mode in PLAIN else image


def _sixteen_bits(image: Image.Image) -> Image.Image:
    """Return grey of 16 bits; where one of its values means transparent, of 8 with alpha."""
    grey = np.asarray(image).astype(np.uint16)  # the machine's byte order, whatever the file's
    transparent = image.info.get("transparency")
    if not isinstance(transparent, int):
        return Image.fromarray(grey)
    # Pillow writes no PNG of 16 bits with alpha. Transparency is worth more than depth.
    bands = [(grey >> 8).astype(np.uint8), np.where(grey == transparent, 0, 255).astype(np.uint8)]
    return Image.merge("LA", [Image.fromarray(band) for band in bands])


def _stretched(image: Image.Image) -> Image.Image:
    """Return floats or wide integers as grey of 16 bits.

    Floats within [0, 1] and integers within [0, 65535] are taken as they are. Others have no agreed
    range (they come from instruments): their smallest value becomes black, their largest white.
    """
    values = np.array(image, np.float32)
    low, high = float(values.min()), float(values.max())
    if not np.isfinite([low, high]).all():  # NaN goes through min and max
        raise PictureUnreadable("some of its values are not finite numbers")
    white = 1.0 if image.mode == "F" else 65_535.0
    if low >= 0 and high <= white:
        low, high = 0.0, white
    values -= low
    values *= 65_535 / max(high - low, TINY)
    return Image.fromarray(np.rint(values, out=values).astype(np.uint16))


def _through(icc: bytes, image: Image.Image) -> Image.Image:
    """Return the picture in sRGB, or as it is where the profile is of no use."""
    try:
        profile = ImageCms.ImageCmsProfile(BytesIO(icc))
        if image.mode in ("L", "LA", "I;16"):
            return _along(_grey_curve(profile), image)
        transform = _transform(profile, image.mode)
        if image.mode != "CMYK" and _moves_nothing(transform, image.mode):
            return image
        return _converted(image, transform)
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return image


def _transform(profile: ImageCms.ImageCmsProfile, mode: str) -> ImageCms.ImageCmsTransform:
    return ImageCms.buildTransform(
        profile,
        SRGB,
        mode,
        "RGBA" if mode == "RGBA" else "RGB",
        ImageCms.Intent.RELATIVE_COLORIMETRIC,
        ImageCms.Flags.BLACKPOINTCOMPENSATION,
    )


def _converted(image: Image.Image, transform: ImageCms.ImageCmsTransform) -> Image.Image:
    converted = ImageCms.applyTransform(image, transform)
    if converted is None:  # so it is when converting in place, which we never ask for
        raise ValueError("no picture came back")
    return converted


def _moves_nothing(transform: ImageCms.ImageCmsTransform, mode: str) -> bool:
    """Whether the profile is sRGB by another name: then every bit can stay as it is."""
    steps = np.linspace(0, 255, 9).astype(np.uint8)
    grid = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(9, 81, 3)
    probe = Image.fromarray(grid).convert(mode)
    moved = np.asarray(_converted(probe, transform).convert("RGB")).astype(int) - grid
    return bool(np.abs(moved).max() <= ONE_STEP)


def _grey_curve(profile: ImageCms.ImageCmsProfile) -> NDArray[np.uint8]:
    """Return what each of 256 greys becomes; a picture in grey may carry an RGB profile too."""
    mode = "L" if profile.profile.xcolor_space.strip() == "GRAY" else "RGB"
    ramp = Image.fromarray(np.arange(256, dtype=np.uint8)[None]).convert(mode)
    gone_through = _converted(ramp, _transform(profile, mode))
    return np.asarray(gone_through.getchannel("G"), np.uint8).ravel()


def _along(curve: NDArray[np.uint8], image: Image.Image) -> Image.Image:
    """Return a grey picture along a curve of 256 steps; 16 bits lie on the lines between them."""
    if np.abs(curve.astype(int) - np.arange(256)).max() <= ONE_STEP:
        return image
    if image.mode == "I;16":
        between = np.interp(np.arange(65_536) / 257, np.arange(256), curve * 257.0)
        return Image.fromarray(np.rint(between).astype(np.uint16)[np.asarray(image)])
    bands = image.split()
    return Image.merge(image.mode, [bands[0].point(curve.tolist()), *bands[1:]])
