"""Getting the library: built by a compiler, missed with a reason, and on torch's own threads."""

import os
from pathlib import Path

import pytest
import torch

from dream_core import native
from dream_core.native import library
from dream_core.native.build import COMPILERS, NotBuilt, build
from tests.emulated import emulates, kernel_of


def test_the_kernel_is_there_for_its_tests() -> None:
    """They run on the paths of a library that was built: without one they would be none at all."""
    assert native.available(), native.reason()


def test_without_a_compiler_the_way_out_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An install goes on without it; whoever wants the speed knows what to get."""
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(NotBuilt, match=r"install g\+\+"):
        build(tmp_path)


def test_a_compiler_that_fails_is_quoted_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A library is there whole or not at all."""
    compiler = tmp_path / "bin" / COMPILERS[0]
    compiler.parent.mkdir()
    compiler.write_text("#!/bin/sh\necho unknown option >&2\nexit 1\n")
    compiler.chmod(0o755)
    monkeypatch.setenv("PATH", f"{compiler.parent}{os.pathsep}{os.environ['PATH']}")

    with pytest.raises(NotBuilt, match="unknown option"):
        build(tmp_path)

    assert list(tmp_path.iterdir()) == [compiler.parent]


def test_a_library_that_is_not_there_or_broken_gives_a_reason(tmp_path: Path) -> None:
    """Nothing raises: the executors ask first and take another way."""
    missing = library.load(tmp_path / "winograd.so")
    (tmp_path / "broken.so").write_text("not a library")
    broken = library.load(tmp_path / "broken.so")

    assert isinstance(missing, str)
    assert "install g++ and run `python -m dream_core.native.build`" in missing
    assert isinstance(broken, str)
    assert "doesn't load" in broken


def test_a_library_of_another_release_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that a `git pull` has left behind would take one number for another, or add otherwise."""

    class Longer(library.Call):
        _fields_ = (("more", library.ctypes.c_int64),)

    assert not isinstance(library.load(library.FILE), str)
    for name, value in (("Call", Longer), ("VERSION", library.VERSION + 1)):
        with monkeypatch.context() as patched:
            patched.setattr(library, name, value)
            assert "of another release" in str(library.load(library.FILE))


@pytest.mark.skipif(not emulates(), reason="g++ for x86-64 is what has versions here")
@pytest.mark.parametrize(
    ("version", "left_out"),
    [(0, library.PATHS[1:]), (9, ("avx512_bf16", "amx")), (10, ("amx",))],
)
def test_an_older_compiler_builds_what_it_can_and_the_rest_is_named(
    version: int, left_out: tuple[str, ...], tmp_path: Path
) -> None:
    """g++ 10 knows no AMX, 9 no 16 bit either, and clang (0) builds `portable` alone."""
    here = {*native.paths("float32"), *native.paths("bfloat16")}
    file = build(tmp_path, ("-O1", f"-DDREAM_GCC={version}"))

    with kernel_of(file, "avx512"):
        found = {*native.paths("float32"), *native.paths("bfloat16")}
        missed = native.missed()

    assert found == here - {*left_out}
    assert missed == tuple(path for path in left_out if path in here)


def test_it_runs_on_torchs_own_openmp() -> None:
    """A second runtime would keep threads of its own spinning on the same cores."""
    maps = Path("/proc/self/maps")
    if not maps.exists():
        pytest.skip("this system doesn't tell which libraries are loaded")
    torch.ones(64, 64) @ torch.ones(64, 64)
    before = library.openmps(maps.read_text())
    features = torch.ones(1, 8, 8, 16).permute(0, 3, 1, 2)

    native.convolve(features, torch.ones(16, 16, 3, 3), None, threads=2)

    assert library.openmps(maps.read_text()) == before
    assert (library.parallel() is not None) == bool(before)


def test_openmp_is_found_wherever_one_installs_it() -> None:
    """A folder's name may have spaces, and be that of another library."""
    maps = (
        "7f31a2c00000-7f31a2c4f000 r-xp 00009000 fe:00 77 /my art/torch/lib/libgomp-9a.so.1\n"
        "7f31a2c4f000-7f31a2c50000 rw-p 00000000 00:00 0 \n"
        "7f31a2d00000-7f31a2d4f000 r-xp 00000000 fe:00 78 /libgomp-art/libc.so.6\n"
        "7ffd1b5e0000-7ffd1b601000 rw-p 00000000 00:00 0                          [stack]\n"
    )

    assert library.openmps(maps) == {Path("/my art/torch/lib/libgomp-9a.so.1")}


def test_every_cpu_has_the_portable_path() -> None:
    """So a library that loads can always be run; 16 bit only where the CPU multiplies it."""
    assert native.paths()[-1] == "portable"
    assert set(native.paths("bfloat16")) <= {"amx", "avx512_bf16"}
