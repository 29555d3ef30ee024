"""Bytes ↔ upright sRGB: read, scale, write, show. Needs no torch."""

from dream_core.picture.film import film_webp
from dream_core.picture.picture import Picture
from dream_core.picture.read import LIMITS, Limits, measure, read
from dream_core.picture.scale import scale
from dream_core.picture.sheet import contact_sheet
from dream_core.picture.source import working_source
from dream_core.picture.write import encode_jpeg, encode_png, write_bytes, write_png

__all__ = [
    "LIMITS",
    "Limits",
    "Picture",
    "contact_sheet",
    "encode_jpeg",
    "encode_png",
    "film_webp",
    "measure",
    "read",
    "scale",
    "working_source",
    "write_bytes",
    "write_png",
]
