"""Compiles the native kernel at install; all else stands in pyproject.toml.

Without a compiler the install goes on: dreams then run by torch alone, and `dream doctor` says so.
"""

import runpy
import sys
from pathlib import Path

from setuptools import Distribution, setup
from setuptools.command.build_py import build_py

NATIVE = Path("dream_core", "native")


class BuildWithKernel(build_py):
    """Copies the packages, then compiles beside the copy, or beside the source when editable."""

    def run(self) -> None:
        """Build; say what is missing and go on."""
        super().run()
        tools = runpy.run_path(str(NATIVE / "build.py"))
        folder = NATIVE if self.editable_mode else Path(self.build_lib) / NATIVE
        try:
            tools["build"](folder.resolve())
        except (tools["NotBuilt"], OSError) as reason:
            sys.stderr.write(f"warning: the native kernel was not built: {reason}\n")


class ForOnePlatform(Distribution):
    """A wheel with a compiled file in it is no `py3-none-any`."""

    def has_ext_modules(self) -> bool:
        """Return that it is."""
        return True


setup(cmdclass={"build_py": BuildWithKernel}, distclass=ForOnePlatform)
