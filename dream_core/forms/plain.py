"""How much memory a way in and back takes under autograd: the reference executor. No torch.

It is followed step by step: what each layer leaves for the way back, what it takes while it works,
what the way back frees again. Counted in bytes.
"""

from collections.abc import Collection, Mapping, Sequence

from dream_core.forms.storage import Storage
from dream_core.forms.windows import unfolded
from dream_core.model import PICTURE, Layer

INDEX = 8  # bytes that a max pool keeps for each of its own values, to know the place


def plain_run(
    layers: Sequence[Layer],
    values: Mapping[str, int],
    asked: Collection[str],
    storage: Storage,
    *,
    parted: bool = False,
) -> int:
    """Return the bytes that one way in and back takes at its height.

    Args:
        layers: in the order they run.
        values: how many each of them makes, and how many PICTURE has.
        asked: layers whose features are seen and pulled at.
        storage: how values lie in memory.
        parted: whether a pull is put amid zeros before it goes back.
    """
    full = storage.full
    size = {name: full * count for name, count in values.items()}
    live = size[PICTURE]
    peak = 4 * live  # preprocessing
    chain = all(layer.inputs == (name,) for name, layer in _behind(layers))
    for layer in layers:
        own = size[layer.name]
        live += own + (INDEX * values[layer.name] if layer.kind == "max_pool" else 0)
        peak = max(peak, live + _working(layer, values, storage))
        source = layer.inputs[0]
        if layer.kind == "relu" and source not in asked and chain:
            live -= size[source]  # the way back through a ReLU needs its output only
    pulls = [size[name] for name in asked]
    live += sum(pulls)
    peak = max(peak, live + max(pulls, default=0) * (2 if parted else 1))
    for layer in reversed(layers):
        own, before = size[layer.name], sum(size[name] for name in layer.inputs)
        working = _working(layer, values, storage)
        summed = sum(size[name] for name in layer.inputs if name in asked)
        peak = max(peak, live + before + max(working, summed))
        live += before - (0 if layer.name == layers[-1].name else own)
        live -= _freed(layer, values, asked, full)
    return peak


def _behind(layers: Sequence[Layer]) -> list[tuple[str, Layer]]:
    """Return each layer with the name of the one before it."""
    names = [PICTURE, *(layer.name for layer in layers)]
    return list(zip(names, layers, strict=False))


def _working(layer: Layer, values: Mapping[str, int], storage: Storage) -> int:
    """Return what a layer takes beside what it reads and makes, either way."""
    if layer.kind != "convolution":
        return 0
    if storage.unfolds:
        return storage.full * unfolded(layer, values[layer.inputs[0]])
    return storage.full * values[layer.name]  # blocked, before it is put in rows


def _freed(layer: Layer, values: Mapping[str, int], asked: Collection[str], full: int) -> int:
    """Return the bytes that nobody needs any more once the way back has passed a layer."""
    if layer.kind == "convolution":
        return 0
    places = INDEX * values[layer.name] if layer.kind == "max_pool" else 0
    return places + (0 if layer.name in asked else full * values[layer.name])
