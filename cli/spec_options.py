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
    given = {name: options.get(name) for name in flat_names()}
    return parse_flat(
        [(name, str(value)) for name, value in given.items() if value is not None], catalogue
    )


def _option(name: str) -> Callable[[Command], Command]:
    # The texts go to the flat form as they are: the spec's own sentences answer what is wrong.
    flag = f"--{name.replace('_', '-')}"
    if name == DOSE:
        return click.option(flag, metavar="NUMBER", help=DOSE_HELP)
    field = DreamSpec.model_fields[name]
    text = _sentence(field.description or "", field.get_default())
    if field.annotation is bool:
        return click.option(f"{flag}/--no-{flag[2:]}", name, default=None, help=text)
    return click.option(flag, name, metavar=_metavar(field.annotation), help=text)


def _sentence(description: str, default: Any) -> str:
    """Return the help of a field, with its default where that is one value."""
    plain = isinstance(default, str | int | float) and not isinstance(default, bool)
    return (
        f"{description} [default: {default:g}]"
        if _number(default)
        else (f"{description} [default: {default}]" if plain else description)
    )


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _metavar(annotation: Any) -> str:
    kinds = get_args(annotation) if get_origin(annotation) is not Literal else ()
    if get_origin(annotation) is Literal:
        return "|".join(str(choice) for choice in get_args(annotation))
    if annotation is int:
        return "WHOLE"
    return "NUMBER" if annotation is float or float in kinds else "TEXT"
