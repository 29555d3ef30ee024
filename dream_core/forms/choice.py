"""Which form a dream takes: the one with the least work of those that fit. No torch."""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from math import prod

from dream_core.errors import MemoryExceeded
from dream_core.forms.form import WHOLE, Form
from dream_core.forms.memory import Size, predicted_bytes
from dream_core.forms.parts import halo_of, reaches, up_to
from dream_core.model import Layer, Model
from dream_core.spec import SMALLEST_IMAGE_SIZE, DreamSpec, scaled_size

ROWS = (512, 256, 128, 64, 32, 16)
SIDES = (2048, 1536, 1024, 768, 512, 384, 256, 192, 128, 64, 32)
# The prediction is within 15 % of what was measured; so much stays free of what is free.
USED_OF_FREE = 0.85
SMALLER = 0.75  # of the form that ran out of memory, what the next one may need at most


def forms(model: Model, spec: DreamSpec, size: Size) -> Iterator[Form]:
    """Go through every form that a dream can take; all give the same gradient.

    An objective that holds features where they are can't be asked in parts.
    """
    yield WHOLE
    layers = _layers(model, spec)
    if reaches(layers) is None:
        return
    held = set(spec.content_layers)
    seen: set[str] = set()
    for layer in layers[:-1]:
        seen.add(layer.name)
        if layer.is_pool and not held & seen:
            yield from (Form("bands", rows, layer.name) for rows in ROWS if rows < size[0])
    if not held:
        yield from (Form("tiles", side) for side in SIDES if side < max(size))


def choose(model: Model, spec: DreamSpec, size: Size, room: float) -> Form | None:
    """Return the form with the least work that needs no more than `room` bytes; None if none."""
    fit = [
        form
        for form in forms(model, spec, size)
        if predicted_bytes(model, spec, size, form) <= room
    ]
    return min(fit, key=lambda form: work(model, spec, size, form), default=None)


def check_fits(model: Model, spec: DreamSpec, picture: Size, free: int, where: str) -> None:
    """Refuse a dream that fits in no form.

    Args:
        model: the spec's.
        spec: what is dreamed.
        picture: (height, width) that is scaled to the spec's `image_size`.
        free: bytes that are free, of which a part is left.
        where: whose they are, for the message.

    Raises:
        MemoryExceeded: names the largest image_size that would fit.
    """
    room, size = USED_OF_FREE * free, spec.working_size(*picture)
    if choose(model, spec, size, room) is None:
        least = min(predicted_bytes(model, spec, size, form) for form in forms(model, spec, size))
        there = f"{where} has {room / 1e9:.2f} GB for it"
        largest = largest_size(model, spec, picture, room)
        raise MemoryExceeded(model.name, size, least, there, largest)


def next_smaller(model: Model, spec: DreamSpec, size: Size, form: Form) -> Form | None:
    """Return what to try where a form has run out of memory; None after the last."""
    return choose(model, spec, size, SMALLER * predicted_bytes(model, spec, size, form))


def largest_size(model: Model, spec: DreamSpec, picture: Size, room: float) -> int | None:
    """Return the largest image_size, up to the spec's, at which a picture fits in some form."""

    def too_large(image_size: int) -> bool:
        smaller = spec.model_copy(update={"image_size": image_size})
        return choose(model, smaller, scaled_size(*picture, image_size), room) is None

    sizes = range(SMALLEST_IMAGE_SIZE, spec.image_size + 1)
    first = bisect_left(sizes, True, key=too_large)
    return sizes[first - 1] if first else None


def work(model: Model, spec: DreamSpec, size: Size, form: Form = WHOLE) -> float:
    """Return the multiply-adds of an iteration, in and back."""
    layers = _layers(model, spec)
    each = _multiplications(model, spec, layers, size)
    if form.kind == "whole":
        return 2 * sum(each.values())
    in_parts = layers if form.kind == "tiles" else _up_to(layers, form.cut)
    # In for the question, in and back for the answer; once more in for the norms.
    again = 2 if spec.normalize_gradients else 3 / 2
    parted = sum(each[layer.name] for layer in in_parts)
    deep = sum(each.values()) - parted
    columns = form.part if form.kind == "tiles" else None
    return 2 * (deep + parted * again * _overlap(in_parts, size, form.part, columns))


def _layers(model: Model, spec: DreamSpec) -> list[Layer]:
    return [layer.under(spec.pooling) for layer in model.needed_for(spec.all_layers())]


def _up_to(layers: Sequence[Layer], cut: str) -> list[Layer]:
    return list(layers[: [layer.name for layer in layers].index(cut) + 1])


def _overlap(layers: Sequence[Layer], size: Size, rows: int, columns: int | None) -> float:
    """Return how many times a pixel is in a crop, in the mean."""
    reached = reaches(layers)
    assert reached is not None  # noqa: S101 (only such layers are cut up)
    stride, halo = halo_of(reached)

    def crops(length: int, part: int | None) -> int:
        step = up_to(stride, part or length)
        return sum(
            min(first + step + halo, length) - max(first - halo, 0)
            for first in range(0, length, step)
        )

    return crops(size[0], rows) * crops(size[1], columns) / prod(size)


def _multiplications(
    model: Model, spec: DreamSpec, layers: Sequence[Layer], size: Size
) -> dict[str, int]:
    """Return the multiply-adds of each layer's way in."""
    sizes = model.sizes(spec.all_layers(), *size, spec.pooling)
    found = {}
    for layer in layers:
        inputs = 3 if layer is layers[0] else sum(_channels(model, name) for name in layer.inputs)
        each = inputs // layer.groups * prod(layer.kernel) if layer.kind == "convolution" else 0
        found[layer.name] = each * layer.channels * prod(sizes[layer.name])
    return found


def _channels(model: Model, name: str) -> int:
    return model.by_name[name].channels if name in model.by_name else 3
