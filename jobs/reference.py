"""Prints docs/reference/settings.md, made from the code: `python -P -m jobs.reference`."""

import sys
from collections.abc import Iterator
from typing import Final, Literal, get_args, get_origin

from annotated_types import Ge, Le
from pydantic.fields import FieldInfo

from jobs.exits import MEANINGS
from jobs.settings import PREFIX, Settings

HEAD: Final = """# Settings

Read from the environment when a process starts; a command's option wins over its variable. This
page is made from the code (`python -P -m jobs.reference > docs/reference/settings.md`).

| variable | values | default | is |
|---|---|---|---|
"""
MODEL_DIR: Final = (
    f"| `{PREFIX}MODEL_DIR` | folder | `models` in the user's cache "
    "folder for torch-inception | where the weights of all models lie |\n"
)
EXITS: Final = """
## Exit status

Of `dream`, `python -P -m api`, `python -P -m worker` and `python -P -m jobs.valkey`. Whatever is
wrong is one sentence on stderr.

| status | means |
|---|---|
"""
AFTER_EXITS: Final = """
Bad set-up is: a setting that can't be used; a data folder that can't be written or whose disk is
full; a Redis that wants another password, throws dreams away (`maxmemory-policy`), is older than
7, or is no Redis; a port that is taken; a device that isn't here; a key that is missing; another
stack on the data folder. A Redis that doesn't answer ends `dream up`; an API or a worker started
by itself waits for it, and `/readyz` says so. `dream up` ends with the status of a room that ends
so, and starts it no more; any other end of a room it answers with a new start. What fills up or
goes away later ends nothing: it is waited for.
"""
FOLDERS: Final = {
    "data_dir": "the user's data folder for torch-inception",
    "probe_file": "`probe.json` in the user's cache folder for torch-inception",
}


def main() -> None:
    """Print the page."""
    sys.stdout.write(page())


def page() -> str:
    """Return the reference of every setting, in the order of the class."""
    statuses = (f"| {status} | {meaning} |\n" for status, meaning in MEANINGS.items())
    return HEAD + "".join(_rows()) + MODEL_DIR + EXITS + "".join(statuses) + AFTER_EXITS


def _rows() -> Iterator[str]:
    for name, field in Settings.model_fields.items():
        default = FOLDERS.get(name) or _default(field)
        values = _values(name, field)
        yield f"| `{PREFIX}{name.upper()}` | {values} | {default} | {field.description} |\n"


def _values(name: str, field: FieldInfo) -> str:
    kinds = [kind for kind in get_args(field.annotation) or (field.annotation,) if kind]
    if get_origin(field.annotation) is Literal:
        return ", ".join(f"`{value}`" for value in kinds)
    (kind,) = (kind for kind in kinds if kind is not type(None))
    low = next((limit.ge for limit in field.metadata if isinstance(limit, Ge)), None)
    high = next((limit.le for limit in field.metadata if isinstance(limit, Le)), None)
    named = {
        "int": "whole",
        "float": "number",
        "str": "text",
        "Path": name.rpartition("_")[2].replace("dir", "folder"),
    }
    word = named.get(kind.__name__, "secret text")
    limits = " … ".join(f"{limit:,}" if limit is not None else "" for limit in (low, high))
    return f"{word}, {limits.strip()}" if low is not None or high is not None else word


def _default(field: FieldInfo) -> str:
    return "none" if field.default is None else f"`{field.default}`"


if __name__ == "__main__":
    main()
