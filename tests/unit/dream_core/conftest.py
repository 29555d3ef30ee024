"""A test that names `path` runs on an instruction path of the kernel, on any CPU."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from dream_core import native
from dream_core.native import library
from tests.emulated import build_emulated, kernel_of


@pytest.fixture(scope="session")
def emulated_library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of a kernel whose every path runs here."""
    return build_emulated(tmp_path_factory.mktemp("emulated"))


@pytest.fixture
def path(request: pytest.FixtureRequest) -> Iterator[str]:
    """The best path of its kind while the test runs; emulated where this CPU lacks it."""
    name: str = request.param
    here = name in {*native.paths("float32"), *native.paths("bfloat16")}
    file = library.FILE if here else request.getfixturevalue("emulated_library")
    with kernel_of(file, name):
        yield name
