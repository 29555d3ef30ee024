"""The flat form of a DreamSpec: names and texts, as a web form and a command line have them.

    layers=relu4_1,relu5_1  dose=100             that dose for each
    layers=relu5_1=1000,relu2_1=-5               one dose each
    layers=relu5_1=1000,relu2_1  dose=-5         `dose` goes to those that have none of their own
    dose=-5                                      the model's default layer

Everything else is a field of `DreamSpec` written as text. Needs no torch.
"""

import re
import types
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, Literal, get_args, get_origin

from dream_core.catalogue import Catalogue
from dream_core.errors import FieldFault, InvalidSpec, UnknownField, shown
from dream_core.spec import DreamSpec, field_names, unknown_field

DOSE: Final = "dose"
DOSE_HELP: Final = (
    "dose of every layer in `layers` that has none of its own; alone, of the model's default "
    "layer. Default: the model's own, 1000 for vgg19"
)
TRUTHS: Final = {"true": True, "1": True, "on": True, "false": False, "0": False, "off": False}
# What JSON calls a number: no 1_000, no nan, no digits of other scripts, which float() takes.
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)
LONGEST_NUMBER = 1000  # characters; int() gives up at 4,300
_WHOLE = re.compile(r"[+-]?\d+", re.ASCII)


class _Unreadable(ValueError):
    """A text that isn't what its field holds; the message goes on after "FIELD is 'TEXT': "."""


def flat_names() -> tuple[str, ...]:
    """Return every name that the flat form has, in the order of the class, `dose` after layers."""
    names = list(field_names())
    names.insert(names.index("layers") + 1, DOSE)
    return tuple(names)


def parse_flat(pairs: Iterable[tuple[str, str]], catalogue: Catalogue) -> DreamSpec:
    """Return the spec that the pairs (name, text) ask for.

    Raises:
        UnknownField, InvalidSpec, UnknownModel, UnknownLayer: naming value, limit and way out.
    """
    texts = _once(pairs)
    data: dict[str, Any] = {}
    faults: list[FieldFault] = []
    for name, text in texts.items():
        try:
            data[name] = _READERS[name](text.strip())
        except _Unreadable as unreadable:
            faults.append(FieldFault(name, text, f"{name} is {shown(text)}: {unreadable}"))
    if faults:
        raise InvalidSpec(faults)
    return DreamSpec.parse(_give_doses(data, texts, catalogue), catalogue)


def _once(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return the pairs as a mapping, when every name is known and none comes twice."""
    texts: dict[str, str] = {}
    unknown: dict[str, FieldFault] = {}
    repeated: dict[str, FieldFault] = {}
    for name, text in pairs:
        if name not in _READERS:
            unknown[name] = unknown_field(name, flat_names())
        elif name in texts:
            repeated[name] = FieldFault(name, text, f"{name} is given more than once; give it once")
        texts[name] = text
    if unknown:
        raise UnknownField(unknown.values())
    if repeated:
        raise InvalidSpec(repeated.values())
    return texts


def _give_doses(
    data: Mapping[str, Any], texts: Mapping[str, str], catalogue: Catalogue
) -> dict[str, Any]:
    """Return `data` with `dose` put where it belongs: at the layers that have none of their own."""
    asked = dict(data)
    dose = asked.pop(DOSE, None)
    model = catalogue[asked.get("model", DreamSpec.model_fields["model"].default)]
    if "layers" not in asked:
        if dose is not None:
            asked["layers"] = {model.default_layer: dose}
        return asked
    if dose is not None and None not in asked["layers"].values():
        message = (
            f"dose is {shown(texts[DOSE])}, but every layer in layers has a dose of its own; "
            "leave dose out, or name a layer without one"
        )
        raise InvalidSpec([FieldFault(DOSE, texts[DOSE], message)])
    general = model.default_dose if dose is None else dose
    asked["layers"] = {
        name: general if own is None else own for name, own in asked["layers"].items()
    }
    return asked


def _doses(text: str) -> dict[str, float | None]:
    """Read `layers`: names, each with a dose behind = or none."""
    doses: dict[str, float | None] = {}
    for item in _items(text):
        name, equals, dose = (part.strip() for part in item.partition("="))
        if name in doses:
            raise _Unreadable(f"it names {shown(name)} twice; name each layer once")
        if not name:
            raise _Unreadable(f"the item {shown(item)} has no layer before its =")
        if equals and not _NUMBER.fullmatch(dose):
            raise _Unreadable(f"the dose of {shown(name)} must be a number, like relu5_1=1000")
        doses[name] = float(dose) if equals else None
    return doses


def _names(text: str) -> tuple[str, ...]:
    """Read `content_layers`: names, or nothing at all, which is its default."""
    return tuple(_items(text)) if text else ()


def _items(text: str) -> list[str]:
    items = [item.strip() for item in text.split(",")]
    if not all(items):
        raise _Unreadable(
            "it has an empty item; write names with commas between, like relu4_1,relu5_1, "
            "or leave the field out for its default"
        )
    return items


def _whole(text: str) -> int:
    if not _WHOLE.fullmatch(text):
        raise _Unreadable("it must be a whole number, like 30")
    if len(text) > LONGEST_NUMBER:
        raise _Unreadable(f"no number here has {len(text)} digits")
    return int(text)


def _number(text: str) -> float:
    if not _NUMBER.fullmatch(text):
        raise _Unreadable("it must be a number, like 10 or 0.5")
    return float(text)


def _truth(text: str) -> bool:
    if text.casefold() not in TRUTHS:
        raise _Unreadable(f"it must be one of {', '.join(TRUTHS)}")
    return TRUTHS[text.casefold()]


def _text(text: str) -> str:
    if not text:
        raise _Unreadable("it is empty; leave the field out for its default")
    return text


def _or_null(reader: Callable[[str], Any]) -> Callable[[str], Any]:
    """Read `null` as JSON's null, where a field can be that."""
    return lambda text: None if text == "null" else reader(text)


def _reader(annotation: Any) -> Callable[[str], Any]:
    """Return what reads the text of a field of that type."""
    if get_origin(annotation) in (types.UnionType, Literal) and type(None) in get_args(annotation):
        (inner,) = (kind for kind in get_args(annotation) if kind is not type(None))
        return _or_null(_reader(inner))
    return _BY_TYPE.get(annotation, _text)


_BY_TYPE: Final[Mapping[Any, Callable[[str], Any]]] = {bool: _truth, int: _whole, float: _number}
_READERS: Final[Mapping[str, Callable[[str], Any]]] = {
    name: _reader(field.annotation) for name, field in DreamSpec.model_fields.items()
} | {"layers": _doses, "content_layers": _names, DOSE: _number}
