"""A picture seen in bands of rows near the pixels, and whole behind a pool."""

from collections.abc import Callable, Collection, Sequence

import torch
from torch import Tensor

from dream_core.executors.executor import ExecutorTape
from dream_core.forms import Form, Part
from dream_core.networks import Network
from dream_core.objectives.objective import Pull
from dream_core.sights.parted import Parted, Sums
from dream_core.sights.sight import Measure
from dream_core.sights.whole import pulled


class Bands:
    """The layers near the pixels hold most of the memory and little of the depth.

    They run in bands with small halos, once on the way in and once on the way back; what is
    deeper than the cut runs once, as a whole, on what the bands have put together.
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
        self._features: dict[str, Tensor] = {}
        self._tape: ExecutorTape | None = None

    def gather(self, measures: Sequence[tuple[str, Measure]]) -> list[Tensor]:
        """Measure; see `Sight.gather`."""
        shallow = [each for each in measures if each[0] in self._shallow]
        sums = Sums(shallow)
        if self._tape is None:
            self._look(sums)
        elif shallow:
            self._bands.visit(lambda _, features: sums.add(features))
        of_bands = iter(sums.found)
        return [
            next(of_bands) if layer in self._shallow else measure(self._features[layer])
            for layer, measure in measures
        ]

    def pull_back(self, pulls: Sequence[tuple[str, Pull]]) -> Tensor:
        """Pull; see `Sight.pull_back`."""
        deep = pulled([each for each in pulls if each[0] not in self._shallow], self._features)
        assert self._tape is not None  # noqa: S101 (who pulls has measured)
        at_cut = self._tape.backward(deep)
        self._features, self._tape = {}, None
        shallow = [each for each in pulls if each[0] in self._shallow]

        def at(band: Part) -> list[tuple[str, Pull]]:
            own = at_cut[:, :, self._place(band)]
            return [*shallow, (self._cut, lambda _: own)]

        return self._bands.pull_back_by_part(at)

    def _look(self, sums: Sums) -> None:
        """Run every band, put their ends together and look on from there."""
        ends = self._empty_ends()

        def take(band: Part, features: dict[str, Tensor]) -> None:
            ends[:, :, self._place(band)] = features[self._cut]
            sums.add(features)

        self._bands.visit(take)
        self._check()
        self._features, self._tape = self._network.forward_from(self._cut, ends, self._deep)

    def _empty_ends(self) -> Tensor:
        model, pooling = self._network.model, self._network.pooling
        height, width = self._picture.shape[1:]
        size = model.sizes([self._cut], height, width, pooling)[self._cut]
        return torch.empty(
            (1, model.by_name[self._cut].channels, *size),
            device=self._picture.device,
            dtype=self._picture.dtype,
        )

    def _place(self, band: Part) -> slice:
        """Return a band's own rows among all at the cut."""
        return band.rows.outside(self._bands.stride_of(self._cut))
