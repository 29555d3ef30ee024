"""How much memory a dream needs in a form, predicted before a byte of it is taken. No torch.

The reference executor is followed step by step: what each layer leaves for the way back, what it
takes while it works, what the way back frees again. Counted in elements, priced at the end.
"""

from collections.abc import Collection, Mapping, Sequence
from math import prod

from dream_core.forms.form import Form
from dream_core.forms.parts import halo_of, reaches, up_to
from dream_core.model import PICTURE, Layer, Model
from dream_core.spec import DreamSpec

ELEMENT_BYTES = 4  # float32
INDEX = 2  # elements that a max pool keeps for each of its own, to know the place: 8 bytes
# What torch takes once, whatever the size: code that is read from disk at its first use, buffers
# of its matrix products.
FIXED_BYTES = 64 * 2**20
# glibc keeps freed blocks below 32 MB in pieces: measured over whole pictures, most of what such
# blocks hold at once is lost again. In parts it is told not to (`freed_at_once`).
SCATTERED_BELOW, SCATTERED = 2**25, 0.75
LBFGS_PICTURES = 2 * 10 + 5  # ten moves and changes; the direction, two looks and a trial picture

Size = tuple[int, int]


def predicted_bytes(model: Model, spec: DreamSpec, size: Size, form: Form) -> int:
    """Return the most that a dream needs at once, beside its process and its network.

    Args:
        model: the spec's.
        spec: what is dreamed.
        size: (height, width) it is dreamed at.
        form: in what form it looks.
    """
    picture = 3 * prod(size)
    moved_by = LBFGS_PICTURES if spec.optimizer == "lbfgs" else 2
    kept = picture * (1 + moved_by) + _held(model, spec, size)
    looks = [_look(model, spec, size, spec.all_layers(), form)]
    if spec.style_scale != 1:
        style = spec.model_copy(update={"image_size": max(size)}).style_size(*size)
        looks.append(3 * prod(style) + _look(model, spec, style, tuple(spec.layers), form))
    return ELEMENT_BYTES * (kept + max(looks)) + FIXED_BYTES


def _held(model: Model, spec: DreamSpec, size: Size) -> int:
    """Return the elements of what is fixed for the whole dream: targets."""
    sizes = model.sizes(spec.all_layers(), *size, spec.pooling)
    channels = [model.by_name[name].channels for name in spec.layers]
    features = [model.by_name[name].channels * prod(sizes[name]) for name in spec.content_layers]
    return sum(count * count for count in channels) + sum(features)


def _look(model: Model, spec: DreamSpec, size: Size, asked: Collection[str], form: Form) -> int:
    """Return the elements that one look takes at its height."""
    layers = [layer.under(spec.pooling) for layer in model.needed_for(asked)]
    if form.kind == "whole":
        return _run(layers, size, asked) + _scattered(layers, size)
    gradient = 3 * prod(size)
    if form.kind == "tiles":
        return gradient + _run_part(layers, size, asked, form.part, form.part)
    shallow = [layer.under(spec.pooling) for layer in model.needed_for([form.cut])]
    names = {layer.name for layer in shallow}
    cut = model.by_name[form.cut].channels
    end = model.sizes([form.cut], *size, spec.pooling)[form.cut]
    deep = [_reading(layer, form.cut) for layer in layers if layer.name not in names]
    of_bands = [name for name in asked if name in names] + [form.cut]
    in_bands = _run_part(shallow, size, of_bands, form.part, None)
    behind = _run(deep, end, [name for name in asked if name not in names], cut)
    return max(cut * prod(end) + gradient + in_bands, behind)


def _scattered(layers: Sequence[Layer], size: Size) -> int:
    """Return the elements that are lost between the small blocks that the way back needs."""
    kept = _elements(layers, size, 3)
    blocks = [kept[layer.name] for layer in layers if layer.kind != "convolution"]
    blocks += [INDEX * kept[layer.name] for layer in layers if layer.kind == "max_pool"]
    return int(SCATTERED * sum(b for b in blocks if ELEMENT_BYTES * b < SCATTERED_BELOW))


def _run_part(
    layers: Sequence[Layer], size: Size, asked: Collection[str], rows: int, columns: int | None
) -> int:
    """Return the elements that the largest of all crops takes."""
    largest = largest_crop(layers, size, rows, columns)
    return _run(layers, largest, asked, parted=True)


def largest_crop(layers: Sequence[Layer], size: Size, rows: int, columns: int | None) -> Size:
    """Return (height, width) of the largest crop that such parts have."""
    reached = reaches(layers)
    assert reached is not None  # noqa: S101 (only such layers are cut up)
    stride, halo = halo_of(reached)

    def largest(length: int, part: int | None) -> int:
        step = up_to(stride, part or length)
        starts = range(0, length, step)
        return max(min(at + step + halo, length) - max(at - halo, 0) for at in starts)

    return largest(size[0], rows), largest(size[1], columns)


def _reading(layer: Layer, cut: str) -> Layer:
    inputs = tuple(PICTURE if name == cut else name for name in layer.inputs)
    return layer.model_copy(update={"inputs": inputs})


def _run(
    layers: Sequence[Layer],
    size: Size,
    asked: Collection[str],
    channels: int = 3,
    *,
    parted: bool = False,
) -> int:
    """Return the elements that one way in and back takes at its height, autograd's way."""
    elements = _elements(layers, size, channels)
    live = peak = elements[PICTURE]
    peak += 3 * elements[PICTURE]  # preprocessing
    chain = all(layer.inputs == (b,) for b, layer in pairwise_names(layers))
    for layer in layers:
        own = elements[layer.name]
        live += own * (1 + INDEX if layer.kind == "max_pool" else 1)
        working = own if layer.kind == "convolution" else 0  # blocked, before it is put in rows
        peak = max(peak, live + working)
        source = layer.inputs[0]
        if layer.kind == "relu" and source not in asked and chain:
            live -= elements[source]  # the way back through a ReLU needs its output only
    pulls = sum(elements[name] for name in asked)
    widest = max((elements[name] for name in asked), default=0)
    live += pulls
    peak = max(peak, live + widest * (2 if parted else 1))
    for layer in reversed(layers):
        own, before = elements[layer.name], sum(elements[name] for name in layer.inputs)
        working = own if layer.kind == "convolution" else 0
        summed = sum(elements[name] for name in layer.inputs if name in asked)
        peak = max(peak, live + before + max(working, summed))
        live += before - (0 if layer.name == layers[-1].name else own)
        live -= _freed(layer, elements, asked)
    return peak


def pairwise_names(layers: Sequence[Layer]) -> list[tuple[str, Layer]]:
    """Return each layer with the name of the one before it."""
    return list(zip([PICTURE, *(layer.name for layer in layers)], layers, strict=False))


def _freed(layer: Layer, elements: Mapping[str, int], asked: Collection[str]) -> int:
    """Return the elements that nobody needs any more once the way back has passed a layer."""
    if layer.kind == "relu":
        return 0 if layer.name in asked else elements[layer.name]
    if layer.kind == "max_pool":
        kept = 0 if layer.name in asked else elements[layer.name]
        return INDEX * elements[layer.name] + kept
    if layer.kind == "convolution":
        return 0
    return 0 if layer.name in asked else elements[layer.name]


def _elements(layers: Sequence[Layer], size: Size, channels: int) -> dict[str, int]:
    """Return the elements of what each layer makes."""
    sizes = {PICTURE: size}
    elements = {PICTURE: channels * prod(size)}
    for layer in layers:
        smallest = (
            min(sizes[name][0] for name in layer.inputs),
            min(sizes[name][1] for name in layer.inputs),
        )
        sizes[layer.name] = layer.size_after(*smallest)
        elements[layer.name] = layer.channels * prod(sizes[layer.name])
    return elements
