"""Which form a dream takes: of those that fit, one with little work and little memory. No torch."""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from math import exp, inf, prod

from dream_core.errors import MemoryExceeded
from dream_core.forms.form import WHOLE, Form
from dream_core.forms.memory import Size, predicted_bytes, weights_of_a_channel
from dream_core.forms.parts import crops, reaches
from dream_core.forms.storage import REFERENCE, Storage
from dream_core.model import Layer, Model
from dream_core.spec import SMALLEST_IMAGE_SIZE, DreamSpec, scaled_size

ROWS = (512, 256, 128, 64, 32, 16)
SIDES = (2048, 1536, 1024, 768, 512, 384, 256, 192, 128, 64, 32)
# The prediction is within 15 % of what was measured; so much stays free of what is free.
USED_OF_FREE = 0.85
# A tenth of these bytes is worth a tenth more work, of whatever picture: then 2048 × 1536 at five
# layers is held in a quarter of a plain loop's memory, and a small picture stays whole.
WORTH, MORE_WORK = 2.2e9, 1.2
APART = 1.05  # what bands cost beside the work that they do twice, measured at 512 × 384
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


def choose(
    model: Model,
    spec: DreamSpec,
    size: Size,
    room: float,
    storage: Storage = REFERENCE,
    *,
    thrifty: bool = False,
) -> Form | None:
    """Return the best form that needs no more than `room` bytes; None if none does.

    That is the one with the least work. Where it should be `thrifty`, and tapes are bits, memory is
    worth up to a fifth more work.
    """
    takes = {form: work(model, spec, size, form, storage) for form in forms(model, spec, size)}
    thrifty = thrifty and storage.lean
    need: dict[Form, int] = {}  # of those that fit
    least = inf
    for form in sorted(takes, key=takes.__getitem__):
        if takes[form] > MORE_WORK * least:
            break
        needed = predicted_bytes(model, spec, size, form, storage)
        if needed > room:
            continue
        if not thrifty:
            return form
        need[form], least = needed, min(least, takes[form])

    def cost(form: Form) -> float:
        apart = 1 if form.kind == "whole" else APART
        return takes[form] * apart * exp(need[form] / WORTH)

    return min(need, key=cost, default=None)


def fitting_form(
    model: Model,
    spec: DreamSpec,
    picture: Size,
    free: int,
    where: str,
    *,
    storage: Storage = REFERENCE,
    thrifty: bool = False,
) -> Form:
    """Return the best form of a dream, as `choose` does; refuse one that fits in none.

    Args:
        model: the spec's.
        spec: what is dreamed.
        picture: (height, width) that is scaled to the spec's `image_size`.
        free: bytes that are free, of which a part is left.
        where: whose they are, for the message.
        storage: what the executor keeps; the reference keeps most.
        thrifty: whether memory is worth some work.

    Raises:
        MemoryExceeded: names the largest image_size that would fit.
    """
    room, size = USED_OF_FREE * free, spec.working_size(*picture)
    form = choose(model, spec, size, room, storage, thrifty=thrifty)
    if form is not None:
        return form
    least = min(
        predicted_bytes(model, spec, size, form, storage) for form in forms(model, spec, size)
    )
    there = f"{where} has {room / 1e9:.2f} GB for it"
    largest = largest_size(model, spec, picture, room, storage)
    raise MemoryExceeded(model.name, size, least, there, largest)


def next_smaller(
    model: Model, spec: DreamSpec, size: Size, form: Form, storage: Storage = REFERENCE
) -> Form | None:
    """Return what to try where a form has run out of memory; None after the last."""
    room = SMALLER * predicted_bytes(model, spec, size, form, storage)
    return choose(model, spec, size, room, storage)


def largest_size(
    model: Model, spec: DreamSpec, picture: Size, room: float, storage: Storage = REFERENCE
) -> int | None:
    """Return the largest image_size, up to the spec's, at which a picture fits in some form."""

    def too_large(image_size: int) -> bool:
        smaller = spec.model_copy(update={"image_size": image_size})
        return choose(model, smaller, scaled_size(*picture, image_size), room, storage) is None

    sizes = range(SMALLEST_IMAGE_SIZE, spec.image_size + 1)
    first = bisect_left(sizes, True, key=too_large)
    return sizes[first - 1] if first else None


def work(
    model: Model,
    spec: DreamSpec,
    size: Size,
    form: Form = WHOLE,
    storage: Storage = REFERENCE,
) -> float:
    """Return the multiply-adds of an iteration, in and back."""
    layers = _layers(model, spec)
    each = _multiplications(model, spec, layers, size)
    once = sum(each.values())
    if form.kind == "whole":
        return 2 * once
    in_parts = layers if form.kind == "tiles" else _up_to(layers, form.cut)
    part = (form.part, form.part if form.kind == "tiles" else None)
    heights, widths = crops(in_parts, size, part)
    overlap = sum(heights) * sum(widths) / prod(size)
    parted = sum(each[layer.name] for layer in in_parts)
    # In for the question, in and back for the answer; once more in for the norms. Bands whose
    # tapes are kept go in again only as deep as features are asked there.
    again = parted
    if storage.lean and form.kind == "bands":
        names = {layer.name for layer in in_parts}
        asked = [name for name in spec.all_layers() if name in names]
        again = sum(each[layer.name] for layer in model.needed_for(asked))
    norms = again if spec.normalize_gradients else 0
    return 2 * (once - parted) + overlap * (2 * parted + again + norms)


def _layers(model: Model, spec: DreamSpec) -> list[Layer]:
    return [layer.under(spec.pooling) for layer in model.needed_for(spec.all_layers())]


def _up_to(layers: Sequence[Layer], cut: str) -> list[Layer]:
    return list(layers[: [layer.name for layer in layers].index(cut) + 1])


def _multiplications(
    model: Model, spec: DreamSpec, layers: Sequence[Layer], size: Size
) -> dict[str, int]:
    """Return the multiply-adds of each layer's way in."""
    sizes = model.sizes(spec.all_layers(), *size, spec.pooling)
    found = {}
    for layer in layers:
        each = weights_of_a_channel(model, layer) if layer.kind == "convolution" else 0
        found[layer.name] = each * layer.channels * prod(sizes[layer.name])
    return found
