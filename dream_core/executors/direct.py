"""The direct executor: a way back by hand, without weights' gradients; on a CPU channels last.

Autograd keeps what every layer read. To get back to the pixels it takes one bit for each rectified
value and for each place of a pool, and nothing else. A layer without a form here runs as the
reference does, alone, between those that have one.
"""

from collections.abc import Callable, Collection, Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from dream_core import native
from dream_core.executors import bits, rooms
from dream_core.executors.autograd import cropped, pull_back, run_layer
from dream_core.executors.convolutions import Convolutions
from dream_core.executors.executor import Given
from dream_core.executors.pools import average, shaped, unpool, window
from dream_core.executors.ties import NONE, Move, Ties
from dream_core.forms.chain import Chain, halves
from dream_core.forms.over import planned
from dream_core.model import PICTURE, Layer

Back = Callable[[Tensor], Sequence[Tensor]]
"""From d loss / d what a chain gave to d loss / d each of what it read; may write on the former."""


class Direct:
    """Run layers chain by chain, keeping for the way back what each needs."""

    def __init__(
        self, forth: Sequence[Convolutions], back: Sequence[Convolutions], *, lean: bool = True
    ) -> None:
        """Take for each chain the first that has a form for it, forth and back.

        `lean`: what they keep for the way back is bits.
        """
        self._forth = forth
        self._back = back
        self.lean = lean
        self.gives: torch.dtype | None = forth[0].gives

    def forward(
        self,
        picture: Tensor,
        layers: Sequence[Layer],
        asked: Collection[str],
        ties: Ties = NONE,
    ) -> tuple[dict[str, Tensor], "DirectTape"]:
        """Run `layers` in order; see `Executor.forward`."""
        ordered = planned(layers, asked)
        last_reader = {name: chain.name for chain in ordered for name in chain.inputs}
        alive = {PICTURE: picture.detach()}
        like, shape = picture.new_empty(()), picture.shape
        del picture  # what stands for one in bands is large, and soon nobody reads it any more
        features: dict[str, Tensor] = {}
        way_back: list[tuple[Chain, Back]] = []
        with torch.no_grad(), native.in_a_row(rooms.let_here):
            for chain in ordered:
                reads = [alive[name] for name in chain.inputs]
                out, back = self._run(chain, reads, ties.get(chain.name, ()))
                del reads
                alive[chain.name] = out
                way_back.append((chain, back))
                if chain.name in asked:
                    features[chain.name] = out
                for name in set(chain.inputs):
                    if last_reader[name] == chain.name:
                        del alive[name]
        return features, DirectTape(like, shape, way_back)

    def _run(
        self, chain: Chain, inputs: Sequence[Tensor], moves: Sequence[Move]
    ) -> tuple[Tensor, Back]:
        layer = chain.first
        if layer.kind == "convolution":
            return self._convolve(chain, inputs[0], moves)
        native.settle()
        match layer.kind:
            case "concatenate":
                return _concatenate(inputs)
            case "add":
                return _add(inputs)
            case "max_pool" if halves(layer):
                return _pool(layer, inputs[0], moves)
            case "max_pool":
                return _pool_by_indices(layer, inputs[0], moves)
            case _:
                return _alone(layer)(layer, inputs[0])

    def _convolve(
        self, chain: Chain, features: Tensor, moves: Sequence[Move]
    ) -> tuple[Tensor, Back]:
        forth = next(form for form in self._forth if form.takes(chain))
        back = next(form for form in self._back if form.takes(chain))
        seen = features.shape
        out, alive = forth.forward(chain, features, moves)
        return out, lambda gradient: [back.backward(chain, gradient, alive, seen)]


class DirectTape:
    """What the chains of one look have kept, to be gone through from the last to the first."""

    def __init__(self, like: Tensor, shape: torch.Size, way_back: list[tuple[Chain, Back]]) -> None:
        """Keep the way until `backward` has used it up, to a picture of that kind and shape."""
        self._like = like
        self._shape = shape
        self._way_back = way_back

    def backward(self, gradients: Mapping[str, Given]) -> Tensor:
        """Return d loss / d input; see `ExecutorTape.backward`."""
        given = dict(gradients)
        del gradients  # each goes when its layer is passed, if nobody else wants them
        arrived: dict[str, Tensor] = {}
        with torch.no_grad(), native.in_a_row(rooms.let_here):
            while self._way_back:
                chain, back = self._way_back.pop()
                if chain.name in given:
                    native.settle()
                    came = arrived.pop(chain.name, None)
                    arrived[chain.name] = _added(given.pop(chain.name), came)
                    del came
                if chain.name not in arrived:
                    continue
                if chain.first.kind != "convolution":
                    native.settle()
                pulled = back(arrived.pop(chain.name))
                for name, gradient in zip(chain.inputs, pulled, strict=True):
                    if name in arrived:
                        native.settle()
                    arrived[name] = gradient + arrived[name] if name in arrived else gradient
                del pulled, gradient
        if PICTURE not in arrived:
            return self._like.new_zeros(self._shape)
        return arrived[PICTURE]


def _added(own: Given, came: Tensor | None) -> Tensor:
    """Return what is given with what came, which is ours to write on."""
    if not isinstance(own, Tensor):
        return own(came)
    # It belongs to who gave it; a way back writes on what it gets.
    return rooms.copied(own, own.dtype) if came is None else came.add_(own)


def _alone(layer: Layer) -> Callable[[Layer, Tensor], tuple[Tensor, Back]]:
    """Return what runs a layer that stands in no chain and has one input."""
    if layer.kind == "relu":
        return _rectify
    return _pool if layer.kind == "average_pool" else _refer


def _rectify(layer: Layer, features: Tensor) -> tuple[Tensor, Back]:
    # Out of place: what it read may have been asked for.
    out = features.clone(memory_format=torch.channels_last)
    alive = bits.rectify(out)
    slope = layer.negative_slope

    def back(gradient: Tensor) -> list[Tensor]:
        gradient = gradient.contiguous(memory_format=torch.channels_last)
        if not slope:
            return [bits.keep(gradient, alive)]
        kept = bits.keep(gradient.clone(), alive)
        return [kept + (gradient - kept) * slope]

    return functional.leaky_relu(features, slope) if slope else out, back


def _pool(layer: Layer, features: Tensor, moves: Sequence[Move] = ()) -> tuple[Tensor, Back]:
    features = features.contiguous(memory_format=torch.channels_last)
    height, width = features.shape[2:]
    if layer.kind == "average_pool":
        alive, pooled = None, average(features, layer)
    else:
        pooled, alive = bits.pool(features, rounds_up=layer.rounds_up, rectified=False)
        bits.let_first_pass(alive, moves, pooled.shape[1] * pooled.shape[3])

    def back(gradient: Tensor) -> list[Tensor]:
        gradient = gradient.contiguous(memory_format=torch.channels_last)
        return [unpool(gradient, layer, alive, (height, width))]

    return pooled, back


def _concatenate(inputs: Sequence[Tensor]) -> tuple[Tensor, Back]:
    shapes = [tensor.shape for tensor in inputs]

    def back(gradient: Tensor) -> list[Tensor]:
        parts = torch.split_with_sizes(gradient, [shape[1] for shape in shapes], dim=1)
        return [_grown(part, shape) for part, shape in zip(parts, shapes, strict=True)]

    return torch.cat(cropped(inputs), dim=1), back


def _add(inputs: Sequence[Tensor]) -> tuple[Tensor, Back]:
    shapes = [tensor.shape for tensor in inputs]
    return torch.stack(cropped(inputs)).sum(0), lambda gradient: [
        _grown(gradient, shape) for shape in shapes
    ]


def _grown(gradient: Tensor, shape: torch.Size) -> Tensor:
    """Fill up what was cut off before branches met: nothing came of it."""
    return functional.pad(
        gradient, (0, shape[3] - gradient.shape[3], 0, shape[2] - gradient.shape[2])
    )


def _pool_by_indices(layer: Layer, features: Tensor, moves: Sequence[Move]) -> tuple[Tensor, Back]:
    """Run a max pool of any window, in at least float32."""
    wide = features.to(torch.promote_types(features.dtype, torch.float32))
    pooled, indices = torch.ops.aten.max_pool2d_with_indices(wide, *window(layer))
    for place, before, equal in moves:
        chosen = equal & (indices == _indices_at(layer, place, features, pooled))
        torch.where(chosen, _indices_at(layer, before, features, pooled), indices, out=indices)

    def back(gradient: Tensor) -> list[Tensor]:
        given = gradient.to(wide.dtype)
        found: Tensor = torch.ops.aten.max_pool2d_with_indices_backward(
            given, shaped(given, features.shape), *window(layer), indices
        )
        return [found.to(gradient.dtype)]

    return pooled.to(features.dtype), back


def _indices_at(layer: Layer, place: int, read: Tensor, pooled: Tensor) -> Tensor:
    """Return for each window of a pool the index of one of its places, (h, w)."""
    row, column = divmod(place, layer.kernel[1])
    y, x = (
        torch.arange(count) * step - padding + number * by
        for count, step, padding, number, by in zip(
            pooled.shape[2:],
            layer.stride,
            layer.padding,
            (row, column),
            layer.dilation,
            strict=True,
        )
    )
    return y.view(-1, 1) * read.shape[3] + x


def _refer(layer: Layer, features: Tensor) -> tuple[Tensor, Back]:
    """Run one layer as the reference does, in at least float32."""
    wide = torch.promote_types(features.dtype, torch.float32)
    leaf = features.to(wide).detach().requires_grad_()
    with torch.enable_grad():
        out = run_layer(layer, {}, [leaf])

    def back(gradient: Tensor) -> list[Tensor]:
        return [pull_back([out], [gradient.to(wide)], leaf).to(gradient.dtype)]

    return out.detach().to(features.dtype), back
