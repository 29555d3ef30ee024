"""What goes with a dream and is no part of it: how long it may take, where it waits."""

import re
from collections import Counter
from collections.abc import Iterable
from typing import Annotated, Final, TypeVar, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails

from dream_core.errors import FieldFault, InvalidSpec, UnknownField, either, nearest, shown
from jobs.record import QueueName

LONGEST_TIMEOUT_S: Final = 30 * 86_400
# What JSON calls a number, as in the flat form of a spec: no 1_000, no nan.
_NUMBER: Final = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)


def _number(text: str) -> str | None:
    if text.strip() == "null":
        return None
    if not _NUMBER.fullmatch(text.strip()):
        raise ValueError("it must be a number, like 600")
    return text


class Nothing(BaseModel):
    """No field at all."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Deadline(Nothing):
    """How long a dream may take."""

    timeout_s: Annotated[float | None, BeforeValidator(_number)] = Field(
        None,
        ge=1,
        le=LONGEST_TIMEOUT_S,
        examples=[None],  # what /docs fills in: nobody tries a call out with a deadline unasked
        description="seconds from now, waiting included, after which the dream expires if it still "
        "waits and fails if it runs; its frames stay",
    )


class Terms(Deadline):
    """What is posted beside a spec."""

    queue: QueueName = Field(
        "interactive",
        description="where it waits: the two queues take turns, so bulk work keeps nobody waiting "
        "long who sits before the screen",
    )


class SizedTerms(Terms):
    """The same, and how large the source is where the picture itself isn't sent."""

    width: Annotated[int | None, BeforeValidator(_number)] = Field(
        None, ge=1, examples=[1200], description="of the source, upright; in place of image"
    )
    height: Annotated[int | None, BeforeValidator(_number)] = Field(
        None, ge=1, examples=[800], description="of the source, upright; in place of image"
    )


class More(Deadline):
    """What is posted to go on with a dream."""

    iterations: Annotated[int, BeforeValidator(_number)] = Field(
        ge=1, examples=[10], description="how many more than its last state has"
    )


Kind = TypeVar("Kind", bound=Nothing)


def read_terms(kind: type[Kind], texts: Iterable[tuple[str, str]]) -> Kind:
    """Return the fields that were posted, read from their texts.

    Raises:
        UnknownField, InvalidSpec: naming value, limit and way out.
    """
    given = list(texts)
    twice = [name for name, count in Counter(name for name, _ in given).items() if count > 1]
    if twice:
        raise InvalidSpec(
            FieldFault(name, None, f"{shown(name)} is given more than once; give it once")
            for name in twice
        )
    try:
        return kind.model_validate(dict(given))
    except ValidationError as error:
        faults = error.errors(include_url=False)
        unknown = all(fault["type"] == "extra_forbidden" for fault in faults)
        refusal = UnknownField if unknown else InvalidSpec
        raise refusal([_fault(fault, kind) for fault in faults]) from error


def _fault(fault: ErrorDetails, kind: type[Nothing]) -> FieldFault:
    name = str(fault["loc"][0])
    names = tuple(kind.model_fields)
    if fault["type"] == "extra_forbidden":
        allowed = nearest(name, names) if names else ()
        way_out = f"did you mean {either(allowed)}?" if allowed else "leave it out; none is taken"
        return FieldFault(name, None, f"there is no field {shown(name)} here; {way_out}", allowed)
    if fault["type"] == "missing":
        return FieldFault(name, None, f"{name} is missing; give it, like {name}=10")
    message = fault["msg"].removeprefix("Value error, ")
    message = f"{name} is {shown(fault['input'])}: {message[:1].lower()}{message[1:]}"
    allowed = get_args(QueueName) if fault["type"] == "literal_error" else ()
    return FieldFault(name, fault["input"], message, allowed)
