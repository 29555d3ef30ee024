"""The page on GPUs: what it says nobody has run can be found."""

import importlib
import re
from functools import cache, reduce
from types import ModuleType

import pytest

from tests.pages import ROOT

PAGE = (ROOT / "docs" / "reference" / "gpu.md").read_text("utf-8")
NOT_RUN = PAGE.partition("| not run by anyone |")[2].partition("\n\n")[0]
# Of each row only what it is about: what could be wrong there may name anything.
NAMES = [
    name for row in NOT_RUN.splitlines()[2:] for name in re.findall(r"`(.+?)`", row.split("|")[1])
]


@cache
def modules() -> list[ModuleType]:
    """Return where a name without a path may be."""
    rooms = ("dream_core", "dream_core/executors", "dream_core/optim", "worker")
    files = [file for room in rooms for file in (ROOT / room).glob("[a-z]*.py")]
    names = [file.relative_to(ROOT).with_suffix("").as_posix() for file in files]
    return [importlib.import_module(name.replace("/", ".")) for name in names]


def is_here(name: str) -> bool:
    """Whether there is such a file; or such a name in a module, which may stand before it."""
    if "/" in name:
        return (ROOT / name).exists()
    places = [{**vars(each), each.__name__.rpartition(".")[2]: each} for each in modules()]
    first, *rest = name.split(".")
    return any(
        reduce(lambda found, part: getattr(found, part, None), rest, place.get(first)) is not None
        for place in places
    )


def test_there_is_something_to_look_for() -> None:
    """A page that is laid out anew still counts."""
    assert len(NAMES) > 20
    assert not is_here("probe._look")
    assert not is_here("worker/gpus.py")


@pytest.mark.parametrize("name", NAMES)
def test_what_nobody_has_run_is_there(name: str) -> None:
    """Whoever has a GPU knows where to look first."""
    assert is_here(name)
