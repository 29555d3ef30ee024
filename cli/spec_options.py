"""DreamSpec as options of a command: each field one option, read by the flat form."""

from collections.abc import Callable
from typing import Any, Literal, TypeVar, get_args, get_origin

import click

from dream_core.catalogue import Catalogue
from dream_core.flat import DOSE, DOSE_HELP, flat_names, parse_flat
from dream_core.spec import DreamSpec

Command = TypeVar("Command", bound=Callable[..., Any])


def spec_options(command: Command) -> Command:
    """Give a command an option for every name of the flat form; `asked_spec` reads them."""
    for name in reversed(flat_names()):
        command = _option(name)(command)
    return command


def asked_spec(options: dict[str, Any], catalogue: Catalogue) -> DreamSpec:
    """Return the spec that the options given ask for.

    Raises:
        InvalidSpec, UnknownModel, UnknownLayer: naming value, limit and way out.
    """
    pairs = [(name, text) for name, texts in given(options).items() for text in texts]
    return parse_flat(pairs, catalogue)


def given(options: dict[str, Any]) -> dict[str, list[str]]:
    """Return the texts of the options that were given, by the names of the flat form.

    One given twice has two texts: whoever reads them refuses it, and nothing is lost.
    """
    texts = {name: _texts(options.get(name)) for name in flat_names()}
    return {name: list(found) for name, found in texts.items() if found}


def _texts(value: bool | tuple[str, ...] | None) -> tuple[str, ...]:
    if value is None:
        return ()
    return (str(value),) if isinstance(value, bool) else value


def _option(name: str) -> Callable[[Command], Command]:
    # The texts go to the flat form as they are: the spec's own sentences answer what is wrong.
    flag = f"--{name.replace('_', '-')}"
    if name == DOSE:
        return click.option(flag, metavar="NUMBER", multiple=True, help=DOSE_HELP)
    field = DreamSpec.model_fields[name]
    text = _sentence(field.description or "", field.get_default())
    if field.annotation is bool:
        return click.option(f"{flag}/--no-{flag[2:]}", name, default=None, help=text)
    return click.option(flag, name, metavar=_metavar(field.annotation), multiple=True, help=text)


def _sentence(description: str, default: Any) -> str:
    """Return the help of a field, with its default where that is one value."""
    if isinstance(default, bool) or not isinstance(default, str | int | float):
        return description
    shown = default if isinstance(default, str) else f"{default:g}"
    return f"{description} [default: {shown}]"


def _metavar(annotation: Any) -> str:
    kinds = get_args(annotation) if get_origin(annotation) is not Literal else ()
    if get_origin(annotation) is Literal:
        return "|".join(str(choice) for choice in get_args(annotation))
    if annotation is int:
        return "WHOLE"
    return "NUMBER" if annotation is float or float in kinds else "TEXT"
