"""A picture seen in bands of rows near the pixels, and whole behind a pool."""

from collections.abc import Callable, Collection, Sequence

import torch
from torch import Tensor

from dream_core.executors import rooms
from dream_core.executors.executor import ExecutorTape, Given
from dream_core.forms import Form, Part
from dream_core.forms.chain import Chain
from dream_core.forms.over import planned
from dream_core.networks import Network, Tape
from dream_core.objectives.objective import Pull
from dream_core.sights.parted import Parted, Sums
from dream_core.sights.sight import Measure
from dream_core.sights.whole import pulled


class Bands:
    """The layers near the pixels hold most of the memory and little of the depth.

    They run in bands with small halos; what is deeper than the cut runs as a whole, on what the
    bands have put together. Where a tape is bits, the bands keep theirs from the way in to the way
    back, and only features that are asked inside the bands are computed once more. Else a band
    runs twice, and nothing is kept.
    """

    def __init__(
        self,
        network: Network,
        picture: Tensor,
        layers: Collection[str],
        check: Callable[[], None],
        form: Form,
    ) -> None:
        """Cut the picture; nothing is computed before the first question."""
        model = network.model
        ordered = model.in_order(layers)
        up_to_cut = {layer.name for layer in model.needed_for([form.cut])}
        self._network = network
        self._picture = picture
        self._check = check
        self._cut = form.cut
        self._shallow = [layer for layer in ordered if layer in up_to_cut]
        self._deep = [layer for layer in ordered if layer not in up_to_cut]
        asked = model.in_order({*self._shallow, form.cut})
        self._bands = Parted(network, picture, asked, check, (form.part, None))
        self._kept: dict[Part, Tape] = {}
        self._features: dict[str, Tensor] = {}
        self._tape: ExecutorTape | None = None

    def gather(self, measures: Sequence[tuple[str, Measure]]) -> list[Tensor]:
        """Measure; see `Sight.gather`."""
        shallow = [each for each in measures if each[0] in self._shallow]
        sums = Sums(shallow)
        if self._tape is None:
            self._look(sums)
        elif shallow:
            for band in self._bands.each():
                sums.add(self._bands.look(band, self._shallow)[0])
        of_bands = iter(sums.found)
        return [
            next(of_bands) if layer in self._shallow else measure(self._features[layer])
            for layer, measure in measures
        ]

    def pull_back(self, pulls: Sequence[tuple[str, Pull]]) -> Tensor:
        """Pull; see `Sight.pull_back`."""
        shallow = [each for each in pulls if each[0] in self._shallow]
        at_cut = self._pull_back_to_cut([each for each in pulls if each[0] not in self._shallow])

        def pull(band: Part) -> tuple[Tape, dict[str, Given]]:
            features, tape = self._look_again(band)
            gradients = pulled(shallow, features, over=self._network.executor.lean)
            own = at_cut[:, :, self._place(band)]
            gradients[self._cut] = _joined(gradients.get(self._cut), own)
            return tape, gradients

        return self._bands.add_up(pull)

    def _look(self, sums: Sums) -> None:
        """Run every band and look on from what they make."""
        ties = self._network.ties_behind(self._cut, self._picture, self._deep)
        self._features, self._tape = self._network.forward_from(
            self._cut, self._put_together(sums), self._deep, ties
        )

    def _put_together(self, sums: Sums) -> Tensor:
        """Run every band; return the ends of all in one, which nothing here holds on to."""
        ends = self._empty_ends()
        for band in self._bands.each():
            self._take(band, ends, sums)
        self._check()
        return ends

    def _take(self, band: Part, ends: Tensor, sums: Sums) -> None:
        features, tape = self._bands.look(band)
        ends[:, :, self._place(band)] = features[self._cut]
        sums.add(features)
        if self._network.executor.lean:
            self._kept[band] = tape

    def _look_again(self, band: Part) -> tuple[dict[str, Tensor], Tape]:
        """Return a band's features at the layers asked there, and its way back."""
        if band not in self._kept:
            return self._bands.look(band)
        features = self._bands.look(band, self._shallow)[0] if self._shallow else {}
        return features, self._kept.pop(band)

    def _pull_back_to_cut(self, pulls: Sequence[tuple[str, Pull]]) -> Tensor:
        """Return d loss / d what the bands have put together."""
        assert self._tape is not None  # noqa: S101 (who pulls has measured)
        tape, self._tape = self._tape, None
        over = self._network.executor.lean
        return tape.backward(pulled(pulls, self._features, over=over))

    def _empty_ends(self) -> Tensor:
        """Return room for what the bands put together.

        It lies behind room for what is made of it first. When both are done with it, what is
        deeper finds all in one stretch: before, it lay in front, and its own room was too small
        for any layer behind that.
        """
        model, pooling = self._network.model, self._network.pooling
        height, width = self._picture.shape[1:]
        size = model.sizes([self._cut], height, width, pooling)[self._cut]
        channels = model.by_name[self._cut].channels
        executor = self._network.executor
        dtype = executor.gives or self._picture.dtype
        if executor.lean:  # and so channels last, on a CPU
            behind = self._chains_behind()
            in_front = rooms.features(
                dtype,
                max((chain.first.channels for chain in behind), default=1),
                *size,
                spare=any(chain.spare_forth for chain in behind),
            )
            ends = rooms.features(dtype, channels, *size)
            del in_front
            return ends
        return torch.empty((1, channels, *size), device=self._picture.device, dtype=dtype)

    def _chains_behind(self) -> list[Chain]:
        """Return the chains that read what the bands put together."""
        network, before = self._network, self._network.model.needed_for([self._cut])
        needed = network.model.needed_for(self._deep)
        deeper = [layer.under(network.pooling) for layer in needed if layer not in before]
        return [chain for chain in planned(deeper, self._deep) if self._cut in chain.inputs]

    def _place(self, band: Part) -> slice:
        """Return a band's own rows among all at the cut."""
        return band.rows.outside(self._bands.stride_of(self._cut))


def _joined(asked: Given | None, own: Tensor) -> Given:
    """Return what gives both: what pulls at the cut itself, and what has come to it."""
    if asked is None:
        return own
    assert not isinstance(asked, Tensor)  # noqa: S101 (`pulled` returns none)
    return lambda came: asked(came).add_(own)
