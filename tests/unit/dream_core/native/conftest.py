"""The kernel's paths: a test runs on each of those that it names."""

import pytest
import torch

from tests.emulated import every_path


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test that names `path` on all that read float32, or as what it names beside it says."""
    names = set(metafunc.fixturenames)
    told = any("path" in mark.args[0] for mark in metafunc.definition.iter_markers("parametrize"))
    if "path" not in names or told:
        return
    plain = every_path("float32")
    if "operands" in names:
        ways = [*plain, *every_path("bfloat16")]
        metafunc.parametrize(("operands", "path"), ways, indirect=["path"])
    elif "dtype" in names:
        read = [(torch.float32, path) for _, path in plain]
        read += [(torch.bfloat16, path) for _, path in every_path("bfloat16")]
        metafunc.parametrize(("dtype", "path"), read, ids=str, indirect=["path"])
    else:
        metafunc.parametrize("path", [path for _, path in plain], indirect=True)
