"""The kernel's ways on this CPU: a test runs on each that it names."""

import pytest

from dream_core import native


def every_path() -> list[tuple[native.Operands, str]]:
    """Return what is multiplied, and by which instructions, for all that this CPU can."""
    operands: tuple[native.Operands, ...] = ("float32", "bfloat16")
    return [(each, path) for each in operands for path in native.paths(each)]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test that names `operands` and `path` in each of its ways."""
    if {"operands", "path"} <= set(metafunc.fixturenames):
        metafunc.parametrize(("operands", "path"), every_path())
    elif "path" in metafunc.fixturenames:
        metafunc.parametrize("path", native.paths())
