"""How much memory a dream needs in a form, predicted before a byte of it is taken. No torch."""

from collections.abc import Collection, Sequence
from math import prod

from dream_core.forms.chain import is_3_by_3
from dream_core.forms.form import Form
from dream_core.forms.lean import LeanRun
from dream_core.forms.parts import crops
from dream_core.forms.plain import INDEX, plain_run
from dream_core.forms.storage import HALF, REFERENCE, Storage
from dream_core.model import PICTURE, Layer, Model
from dream_core.spec import DreamSpec

# What torch takes once, whatever the size: code that is read from disk at its first use.
FIXED_BYTES = 52 * 2**20
# glibc keeps freed blocks below 32 MB in pieces: measured over whole pictures, half of what such
# blocks hold is lost again. Not what lies in rooms, nor in parts (`freed_at_once`).
SCATTERED_BELOW, SCATTERED = 2**25, 0.5
LBFGS_PICTURES = 2 * 10 + 5  # ten moves and changes; the direction, two looks and a trial picture

Size = tuple[int, int]


def predicted_bytes(
    model: Model, spec: DreamSpec, size: Size, form: Form, storage: Storage = REFERENCE
) -> int:
    """Return the most that a dream needs at once, beside its process and its network.

    Args:
        model: the spec's.
        spec: what is dreamed.
        size: (height, width) it is dreamed at.
        form: in what form it looks.
        storage: what its executor keeps; by default the reference's, which keeps most.
    """
    full = storage.full
    picture = 3 * full * prod(size)
    moved_by = LBFGS_PICTURES if spec.optimizer == "lbfgs" else 2
    kept = picture * (1 + moved_by) + full * _held(model, spec, size)
    looks = [_look(model, spec, size, spec.all_layers(), form, storage=storage)]
    if spec.style_scale != 1:
        style = spec.model_copy(update={"image_size": max(size)}).style_size(*size)
        look = _look(model, spec, style, tuple(spec.layers), form, storage=storage)
        looks.append(3 * full * prod(style) + look)
    copies = HALF * _weights(model, spec) if storage.copies_weights else 0
    return kept + max(looks) + copies + FIXED_BYTES + storage.scratch


def _held(model: Model, spec: DreamSpec, size: Size) -> int:
    """Return how many values are fixed for the whole dream: targets."""
    sizes = model.sizes(spec.all_layers(), *size, spec.pooling)
    channels = [model.by_name[name].channels for name in spec.layers]
    features = [model.by_name[name].channels * prod(sizes[name]) for name in spec.content_layers]
    return sum(count * count for count in channels) + sum(features)


def _weights(model: Model, spec: DreamSpec) -> int:
    """Return how many weights the layers asked need."""
    return sum(
        layer.channels * weights_of_a_channel(model, layer)
        for layer in model.needed_for(spec.all_layers())
        if layer.kind == "convolution"
    )


def weights_of_a_channel(model: Model, layer: Layer) -> int:
    """Return how many weights each channel of a convolution has, beside its bias."""
    (source,) = layer.inputs
    inputs = 3 if source == PICTURE else model.by_name[source].channels
    return inputs // layer.groups * prod(layer.kernel)


def _look(
    model: Model,
    spec: DreamSpec,
    size: Size,
    asked: Collection[str],
    form: Form,
    *,
    storage: Storage,
) -> int:
    """Return the bytes that one look takes at its height."""
    layers = [layer.under(spec.pooling) for layer in model.needed_for(asked)]
    picture = 3 * storage.full * prod(size)
    if form.kind == "whole":
        peak, _ = _run(layers, _values(layers, size), asked, storage)
        return peak + picture + _scattered(layers, size, storage)
    if form.kind == "tiles":
        peak, _ = _run_crop(layers, size, asked, (form.part, form.part), storage)
        return picture + peak
    shallow = [layer.under(spec.pooling) for layer in model.needed_for([form.cut])]
    names = {layer.name for layer in shallow}
    deep = [_reading(layer, form.cut) for layer in layers if layer.name not in names]
    channels = model.by_name[form.cut].channels
    end = model.sizes([form.cut], *size, spec.pooling)[form.cut]
    of_bands = [*(name for name in asked if name in names), form.cut]
    in_bands, tapes = _run_crop(shallow, size, of_bands, (form.part, None), storage)
    behind, _ = _run(
        deep,
        _values(deep, end, channels),
        [name for name in asked if name not in names],
        storage,
        of_picture=False,
    )
    ends = (
        (max(storage.forth, storage.back) if storage.lean else storage.full) * channels * prod(end)
    )
    return tapes + max(ends + picture + in_bands, behind)


def _run(
    layers: Sequence[Layer],
    values: dict[str, int],
    asked: Collection[str],
    storage: Storage,
    *,
    parted: bool = False,
    of_picture: bool = True,
) -> tuple[int, int]:
    """Return the peak of a way in and back, and what it keeps in between where that is little."""
    if not storage.lean:
        return plain_run(layers, values, asked, storage, parted=parted), 0
    run = LeanRun(layers, values, asked, storage, of_picture=of_picture)
    return run.peak, run.tape


def _run_crop(
    layers: Sequence[Layer],
    size: Size,
    asked: Collection[str],
    part: tuple[int, int | None],
    storage: Storage,
) -> tuple[int, int]:
    """Return the peak of the largest crop, and what all crops keep for their way back."""
    heights, widths = crops(layers, size, part)
    values = _values(layers, (max(heights), max(widths)))
    peak, tape = _run(layers, values, asked, storage, parted=True)
    return peak, tape * sum(heights) // max(heights)


def _scattered(layers: Sequence[Layer], size: Size, storage: Storage) -> int:
    """Return the bytes that are lost between the small blocks that the way back needs."""
    values = _values(layers, size)
    if storage.lean:
        own = [layer for layer in layers if layer.kind != "relu" and not _in_room(layer)]
        blocks = [storage.forth * values[layer.name] for layer in own]
    else:
        blocks = [
            storage.full * values[layer.name] for layer in layers if layer.kind != "convolution"
        ]
        blocks += [INDEX * values[layer.name] for layer in layers if layer.kind == "max_pool"]
    return int(SCATTERED * sum(block for block in blocks if block < SCATTERED_BELOW))


def _in_room(layer: Layer) -> bool:
    """Whether what a layer hands on is let from one stretch both ways, and leaves no pieces."""
    return layer.is_pool or is_3_by_3(layer)


def _reading(layer: Layer, cut: str) -> Layer:
    inputs = tuple(PICTURE if name == cut else name for name in layer.inputs)
    return layer.model_copy(update={"inputs": inputs})


def _values(layers: Sequence[Layer], size: Size, channels: int = 3) -> dict[str, int]:
    """Return how many values each layer makes of a picture of that size, and how many that has."""
    sizes = {PICTURE: size}
    values = {PICTURE: channels * prod(size)}
    for layer in layers:
        smallest = (
            min(sizes[name][0] for name in layer.inputs),
            min(sizes[name][1] for name in layer.inputs),
        )
        sizes[layer.name] = layer.size_after(*smallest)
        values[layer.name] = layer.channels * prod(sizes[layer.name])
    return values
