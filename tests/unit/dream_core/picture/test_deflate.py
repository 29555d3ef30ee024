"""Packing bytes by Huffman's codes: natively and by zlib, read back by zlib."""

import logging
import zlib
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from numpy.typing import NDArray
from PIL import Image

from dream_core.picture import deflate
from dream_core.picture.write import encode_png

BLOCK = 65535
RANDOM = np.random.default_rng(7)
CONTENTS: dict[str, NDArray[np.uint8]] = {
    "nothing": np.zeros(0, np.uint8),
    "one byte": np.full(1, 200, np.uint8),
    "one symbol, a block": np.zeros(BLOCK, np.uint8),
    "one byte more than a block": np.zeros(BLOCK + 1, np.uint8),
    "every symbol once": np.arange(256, dtype=np.uint8),
    "no order": RANDOM.integers(0, 256, 3 * BLOCK + 5, np.uint8),
    "two symbols": RANDOM.integers(0, 2, BLOCK + 77, np.uint8),
    "a dream's rows": RANDOM.normal(0, 20, 200_003).astype(np.int64).astype(np.uint8),
}
# So rare are the rarest that their codes would be longer than deflate allows.
COUNTS = [1, 1]
while sum(COUNTS) < BLOCK // 2:
    COUNTS.append(COUNTS[-1] + COUNTS[-2])
CONTENTS["codes too long"] = RANDOM.permutation(np.repeat(np.arange(len(COUNTS)), COUNTS)).astype(
    np.uint8
)


@pytest.fixture(params=["natively", "by zlib"])
def _each_way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each way that there is; without a compiler only the second."""
    if request.param == "natively":
        assert deflate.library(deflate.LIBRARY), "build it: python -m dream_core.native.build"
    else:
        monkeypatch.setattr(deflate, "LIBRARY", Path("nowhere.so"))


@pytest.mark.usefixtures("_each_way")
@pytest.mark.parametrize("name", CONTENTS)
def test_what_is_packed_is_read_back(name: str) -> None:
    """By zlib, which also looks at the checksum; nothing comes behind the stream."""
    reader = zlib.decompressobj()

    read = reader.decompress(deflate.pack(CONTENTS[name])) + reader.flush()

    assert read == CONTENTS[name].tobytes()
    assert reader.eof
    assert not reader.unused_data


@pytest.mark.parametrize("name", CONTENTS)
def test_it_is_hardly_larger_than_zlibs(name: str) -> None:
    """The codes are Huffman's own: 2 % for fixed lengths of their lengths, and larger blocks."""
    content = CONTENTS[name]
    packer = zlib.compressobj(1, memLevel=9, strategy=zlib.Z_HUFFMAN_ONLY)
    zlibs = packer.compress(content.tobytes()) + packer.flush()

    assert len(deflate.pack(content)) <= len(zlibs) * 1.02 + 150


@pytest.mark.usefixtures("_each_way")
def test_a_picture_is_the_same_by_either_way() -> None:
    """A host without a compiler writes other bytes, and no other pixel; each writes them again."""
    steps = RANDOM.integers(0, 256, (3, 37, 53), np.uint8)

    data = encode_png(steps / np.float32(255))

    assert_array_equal(np.asarray(Image.open(BytesIO(data))).transpose(2, 0, 1), steps)
    assert data == encode_png(steps / np.float32(255))


def test_a_library_that_cannot_be_used_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Frames are slower then, and the log says why, once."""
    (tmp_path / "broken.so").write_text("not a library")
    caplog.set_level(logging.INFO)

    for _ in range(2):
        assert deflate.library(tmp_path / "broken.so") is None

    (line,) = caplog.messages
    assert line.startswith("PNGs are packed by zlib: ")
