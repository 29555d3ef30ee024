"""DreamSpec: every knob of a dream, defined once. Needs no torch.

The HTTP form, the CLI's options, the job record, the engine and the page all come from this class:
a field here is a parameter everywhere, with its type, limits, default and help.
"""

import json
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from math import prod
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, model_validator
from pydantic_core import ErrorDetails

from dream_core.catalogue import Catalogue
from dream_core.errors import (
    DreamError,
    FieldFault,
    InvalidSpec,
    NothingToSee,
    UnknownField,
    WorkingSizeTooLarge,
    either,
    nearest,
    shown,
)
from dream_core.model import Model, Pooling

DEFAULT_CONTENT_WEIGHT = 5.0  # neural-style's, inherited by the 2015 program
LARGEST_DOSE = 1e6
SMALLEST_IMAGE_SIZE, LARGEST_IMAGE_SIZE = 32, 12_000
LARGEST_WORKING_PIXELS = 40_000_000

Precision = Literal["exact", "balanced", "fast", "auto"]
Dose = Annotated[float, Field(ge=-LARGEST_DOSE, le=LARGEST_DOSE)]


class DreamSpec(BaseModel):
    """What to dream: frozen, resolved (every field has the value that runs), checked on creation.

    Layer and model names are checked against the catalogue given as validation context
    (`DreamSpec.model_validate(data, context={"catalogue": catalogue})`), else against
    `Catalogue.load()`. `layers` is kept in network order, whatever order it was asked in.

    Raises:
        UnknownModel, UnknownLayer: with the nearest right names.
        InvalidSpec: fields that don't go together.
        pydantic.ValidationError: one field alone is wrong (`parse` turns it into `InvalidSpec`).
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    model: str = Field(
        "vgg19", description="the network that dreams; `dream models list` and GET /models name all"
    )
    layers: dict[str, Dose] = Field(
        default_factory=dict,
        description=(
            "layers to dream at and the acid dose of each: what the layer's Gram matrix is "
            "multiplied by. 1 keeps the picture as it is, 0 and less unmake the texture, "
            "1000 is strong. Default: relu5_1 at 1000, or the model's own"
        ),
    )
    iterations: int = Field(30, ge=1, le=10_000, description="how many times the pixels follow")
    image_size: int = Field(
        512,
        ge=SMALLEST_IMAGE_SIZE,
        le=LARGEST_IMAGE_SIZE,
        description="longer side of the dream, in pixels; the picture is scaled to it, up or down",
    )
    learning_rate: float | None = Field(
        10.0,
        gt=0,
        le=1e6,
        description="how far pixels move in one iteration, in steps of 256 (Adam); null with lbfgs",
    )
    optimizer: Literal["adam", "lbfgs"] = Field("adam", description="how the pixels follow")
    pooling: Pooling = Field(
        "max", description="avg replaces every max pool: softer, fewer checkerboards"
    )
    normalize_gradients: bool = Field(
        False, description="divide each layer's gradient by its L1 norm, so that all weigh alike"
    )
    content_weight: float = Field(
        0.0,
        ge=0,
        le=1e9,
        description="how strongly the content layers hold on to the source; "
        "5 where only content_layers is given",
    )
    content_layers: tuple[str, ...] = Field(
        (),
        description="layers whose features are held; relu4_2, or the model's own, "
        "where only content_weight is given",
    )
    style_scale: float = Field(
        1.0,
        gt=0,
        le=16,
        description="size of the source that the Gram targets are taken from, relative to "
        "image_size; dose 1 keeps the picture only at 1",
    )
    seed: int = Field(
        0, ge=0, le=2**63 - 1, description="of all randomness; no effect while nothing is random"
    )
    save_every: int = Field(
        1, ge=1, le=10_000, description="iterations from one kept frame to the next"
    )
    resampler: Literal["lanczos", "classic"] = Field(
        "lanczos", description="how the picture is scaled; classic is the 2015 program's"
    )
    rounding: Literal["nearest", "truncate"] = Field(
        "nearest", description="how pixels become bytes; truncate is the 2015 program's"
    )
    precision: Precision = Field(
        "auto",
        description="exact computes in 32 bit, balanced goes back in 16 bit, fast computes in "
        "16 bit both ways, where that is faster; auto becomes the fastest that gains enough on "
        "the machine, when the dream starts",
    )

    @model_validator(mode="before")
    @classmethod
    def _fill_in(cls, data: Any, info: ValidationInfo) -> Any:
        """Bring the defaults that depend on other fields."""
        if not isinstance(data, Mapping) or not isinstance(data.get("model", ""), str):
            return data
        filled = dict(data)
        model = _catalogue(info)[filled.get("model", cls.model_fields["model"].default)]
        filled.setdefault("layers", {model.default_layer: model.default_dose})
        if filled.get("content_layers") and "content_weight" not in filled:
            filled["content_weight"] = DEFAULT_CONTENT_WEIGHT
        if filled.get("content_weight") and "content_layers" not in filled:
            filled["content_layers"] = (model.content_layer,)
        if isinstance(filled.get("content_layers"), list):
            # JSON's array: a list by the time it is here, and a strict tuple takes no list.
            filled["content_layers"] = tuple(filled["content_layers"])
        if filled.get("optimizer") == "lbfgs":
            filled.setdefault("learning_rate", None)
        return filled

    @model_validator(mode="after")
    def _fits_together(self, info: ValidationInfo) -> Self:
        """Check names against the model, and fields against each other."""
        model = _catalogue(info)[self.model]
        if not self.layers:
            raise _refuse("layers", {}, "layers is empty; name at least one, like relu5_1")
        ordered = {name: self.layers[name] for name in model.in_order(self.layers)}
        held = model.in_order(self.content_layers, "content_layers")
        if len(held) != len(self.content_layers):
            twice = next(name for name in held if self.content_layers.count(name) > 1)
            raise _refuse(
                "content_layers", twice, f"content_layers names {twice} twice; name it once"
            )
        if bool(held) != bool(self.content_weight):
            raise _refuse(
                "content_weight" if held else "content_layers",
                self.content_weight if held else list(held),
                f"content_weight is {self.content_weight:g} and content_layers is "
                f"{list(held)}; give both, or neither",
            )
        if self.optimizer == "lbfgs" and self.learning_rate is not None:
            raise _refuse(
                "learning_rate",
                self.learning_rate,
                f"learning_rate is {self.learning_rate:g}, but lbfgs finds its own step; "
                "leave it out, or use adam",
            )
        if self.optimizer == "lbfgs" and self.normalize_gradients:
            raise _refuse(
                "normalize_gradients",
                True,
                "lbfgs needs the true gradient; set normalize_gradients to false, or use adam",
            )
        if self.optimizer == "adam" and self.learning_rate is None:
            raise _refuse(
                "learning_rate", None, "adam needs a learning_rate; 10 is the 2015 program's"
            )
        # The fields are frozen for everyone else; here the one spec is still being made.
        object.__setattr__(self, "layers", ordered)
        object.__setattr__(self, "content_layers", held)
        return self

    @classmethod
    def parse(cls, data: Mapping[str, Any], catalogue: Catalogue) -> Self:
        """Return the spec that `data` asks for.

        Raises:
            InvalidSpec, UnknownField, UnknownModel, UnknownLayer: naming value, limit and way out.
        """
        try:
            return cls.model_validate(data, context={"catalogue": catalogue})
        except ValidationError as error:
            raise _explain(error) from error

    @classmethod
    def parse_json(cls, text: str | bytes, catalogue: Catalogue) -> Self:
        """Return the spec written as JSON; types are taken strictly, a field twice is refused.

        Raises:
            InvalidSpec, UnknownField, UnknownModel, UnknownLayer: naming value, limit and way out.
        """
        try:
            json.loads(text, object_pairs_hook=_once, parse_int=str)  # int() has a length limit
            return cls.model_validate_json(text, strict=True, context={"catalogue": catalogue})
        except ValidationError as error:
            raise _explain(error) from error
        except (ValueError, RecursionError) as error:
            reason = "it is nested too deeply" if isinstance(error, RecursionError) else error
            raise _refuse("spec", None, f"spec is not JSON that can be read: {reason}") from error

    def all_layers(self) -> tuple[str, ...]:
        """Return every layer that this dream looks at."""
        return tuple(dict.fromkeys((*self.layers, *self.content_layers)))

    def working_size(self, height: int, width: int) -> tuple[int, int]:
        """Return (height, width) that a picture of that size is dreamed at.

        The longer side becomes `image_size`, the other is truncated (the 2015 program's rule).
        """
        return scaled_size(height, width, self.image_size)

    def style_size(self, height: int, width: int) -> tuple[int, int]:
        """Return (height, width) of the source that the Gram targets are taken from."""
        return scaled_size(height, width, int(self.image_size * self.style_scale))

    def check_picture(self, height: int, width: int, model: Model) -> None:
        """Check that a picture of that size can be dreamed on.

        Raises:
            WorkingSizeTooLarge: more than 40 megapixels to work on.
            NothingToSee: no position left at a layer asked; names the smallest image_size.
        """
        sizes = [(self.all_layers(), self.working_size(height, width), "image_size")]
        if self.style_scale != 1:
            sizes.append((tuple(self.layers), self.style_size(height, width), "style_scale"))
        for layers, (working_height, working_width), field in sizes:
            if working_height * working_width > LARGEST_WORKING_PIXELS:
                raise WorkingSizeTooLarge(
                    working_height,
                    working_width,
                    LARGEST_WORKING_PIXELS,
                    self._largest(height, width),
                    field,
                )
            reached = model.sizes(layers, working_height, working_width, self.pooling)
            for layer in layers:
                if min(reached[layer]) < 1:
                    raise NothingToSee(
                        layer, working_height, working_width, self._smallest(height, width, model)
                    )

    def _smallest(self, height: int, width: int, model: Model) -> int | None:
        """Return the smallest image_size at which every layer asked has a position."""

        def seen(image_size: int) -> bool:
            working = scaled_size(height, width, image_size)
            style = scaled_size(height, width, int(image_size * self.style_scale))
            looks = ((self.all_layers(), working), (tuple(self.layers), style))
            return all(
                min(model.sizes(layers, *size, self.pooling)[layer]) > 0
                for layers, size in looks
                for layer in layers
            )

        sizes = range(SMALLEST_IMAGE_SIZE, LARGEST_IMAGE_SIZE + 1)
        first = bisect_left(sizes, True, key=seen)
        return sizes[first] if first < len(sizes) else None

    def _largest(self, height: int, width: int) -> int:
        """Return the largest image_size within the limit of pixels, of picture and style source."""

        def too_large(image_size: int) -> bool:
            longer = max(image_size, int(image_size * self.style_scale))
            return prod(scaled_size(height, width, longer)) > LARGEST_WORKING_PIXELS

        return bisect_left(range(LARGEST_IMAGE_SIZE + 1), True, key=too_large) - 1


def scaled_size(height: int, width: int, longer: int) -> tuple[int, int]:
    """Return (height, width) with the longer side exactly `longer`, the other truncated."""
    side = max(height, width)
    return height * longer // side, width * longer // side


def field_names() -> tuple[str, ...]:
    """Return every field of a dream, in the order of the class."""
    return tuple(DreamSpec.model_fields)


def _catalogue(info: ValidationInfo) -> Catalogue:
    context = info.context or {}
    return context.get("catalogue") or Catalogue.load()


def _once(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise ValueError(f"'{name}' is given twice")
        found[name] = value
    return found


def unknown_field(name: str, names: Sequence[str]) -> FieldFault:
    """Return what to say about a field that no dream has."""
    allowed = nearest(name, names)
    message = f"a dream has no field {shown(name)}; did you mean {either(allowed)}?"
    return FieldFault(name, None, message, allowed)


def _refuse(field: str, value: object, message: str) -> InvalidSpec:
    return InvalidSpec([FieldFault(field, value, message)])


def _explain(error: ValidationError) -> DreamError:
    """Turn pydantic's list of faults into ours: the value, the limit, the way out."""
    faults = error.errors(include_url=False)
    unknown = all(fault["type"] == "extra_forbidden" for fault in faults)
    return (UnknownField if unknown else InvalidSpec)(_fault(fault) for fault in faults)


def _fault(fault: ErrorDetails) -> FieldFault:
    path = ".".join(str(part) for part in fault["loc"])
    if fault["type"] == "extra_forbidden":
        return unknown_field(path, field_names())
    message = fault["msg"].removeprefix("Value error, ")
    message = message[:1].lower() + message[1:]
    if not path:
        return FieldFault("spec", None, f"spec can't be read: {message}")
    allowed: tuple[str, ...] = ()
    if fault["type"] == "literal_error":
        allowed = get_args(DreamSpec.model_fields[path].annotation)
    return FieldFault(
        path, fault["input"], f"{path} is {shown(fault['input'])}: {message}", allowed
    )
