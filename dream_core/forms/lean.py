"""How much memory a way in and back takes that keeps bits only: `executors.direct`. No torch.

It is followed chain by chain: what a chain reads, what it gives and what it works in are there at
once; behind it stay bits. Counted in bytes.
"""

from collections.abc import Collection, Mapping, Sequence

from dream_core.forms.chain import Chain, halves, is_3_by_3, is_for_the_kernel
from dream_core.forms.over import planned, with_spare
from dream_core.forms.storage import FULL, HALF, Storage
from dream_core.forms.strips import FEWEST_CHANNELS, POINTS, POINTS_AT_ONCE, STRIP
from dream_core.forms.windows import unfolded
from dream_core.model import PICTURE, Layer

BITS = 8  # in a byte
MASK = 1  # bytes of a value while its bit is made or read: a truth, and once more as it is packed
INDEX = 8  # bytes of a place in a pool of the reference's


class LeanRun:
    """One way in and back: its tape, and its peak."""

    def __init__(
        self,
        layers: Sequence[Layer],
        values: Mapping[str, int],
        asked: Collection[str],
        storage: Storage,
        *,
        of_picture: bool = True,
    ) -> None:
        """Go both ways.

        Args:
            layers: in the order they run.
            values: how many each of them makes, and how many PICTURE has.
            asked: layers whose features are seen and pulled at.
            storage: how values lie in memory.
            of_picture: whether PICTURE is one, and not what bands have put together.
        """
        self._of_picture = of_picture
        self.tape = self.peak = 0
        self._values = values
        self._asked = asked
        self._shown: dict[str, int] = {}  # features that are asked
        self._storage = storage
        ordered = planned(layers, asked)
        self._go_in(ordered)
        self._go_back(ordered)

    def _rise_to(self, held: int) -> None:
        self.peak = max(self.peak, held)

    def _go_in(self, ordered: Sequence[Chain]) -> None:
        values, forth = self._values, self._storage.forth
        last_reader = {name: chain.name for chain in ordered for name in chain.inputs}
        held = {PICTURE: (self._storage.full if self._of_picture else forth) * values[PICTURE]}
        for chain in ordered:
            self.tape += self._kept(chain)
            made = forth * values[chain.name]
            if _in_strips(chain):
                read = held.get(chain.inputs[0])
                if chain.over and made < with_spare(made) == read:
                    made = held.pop(chain.inputs[0])
                elif chain.spare_forth:
                    made = with_spare(made)
            now = sum(self._shown.values()) + sum(held.values()) + made + self.tape
            self._rise_to(now + self._working_in(chain))
            shown = chain.name in self._asked
            (self._shown if shown else held)[chain.name] = made
            for name in set(chain.inputs):
                if last_reader[name] == chain.name:
                    held.pop(name, None)
        self._rise_to(sum(self._shown.values()) + self.tape)

    def _go_back(self, ordered: Sequence[Chain]) -> None:
        values, back = self._values, self._storage.back
        shown = self._shown  # until each is passed
        arrived: dict[str, int] = {}
        tape = self.tape
        for chain in reversed(ordered):
            came = arrived.pop(chain.name, 0)
            if chain.name in self._asked:
                # A pull is added to what came, or written over the features.
                self._rise_to(tape + sum(shown.values()) + sum(arrived.values()) + came)
                own = shown.pop(chain.name)
                came = came or own
            gives = {name: back * values[name] for name in chain.inputs}
            given = sum(gives.values())
            if _in_strips(chain):
                name = chain.inputs[0]
                if not chain.pool and given < with_spare(given) == came:
                    gives[name], given = came, 0
                elif chain.spare_back:
                    gives[name] = given = with_spare(given)
            now = tape + sum(shown.values()) + sum(arrived.values()) + came
            self._rise_to(now + self._working_back(chain, given))
            arrived |= gives
            tape -= self._kept(chain)
        if self._of_picture:  # in planes, and scaled as the picture was
            self._rise_to(sum(arrived.values()) + 2 * self._storage.full * values[PICTURE])

    def _kept(self, chain: Chain) -> int:
        """Return what a chain leaves for the way back."""
        layer, values, full = chain.first, self._values, self._storage.full
        if layer.kind == "convolution":
            max_pool = chain.pool and chain.pool.kind == "max_pool"
            return values[layer.name] // BITS if chain.rectified or max_pool else 0
        read = sum(values[name] for name in layer.inputs)
        if layer.kind == "relu" or (layer.kind == "max_pool" and halves(layer)):
            return read // BITS
        if layer.kind == "max_pool":
            return full * read + (full + INDEX) * values[layer.name]
        return 3 * full * read if layer.kind == "local_response_norm" else 0

    def _working_in(self, chain: Chain) -> int:
        """Return what a chain takes beside what it reads and makes."""
        layer, values, forth = chain.first, self._values, self._storage.forth
        read = sum(values[name] for name in layer.inputs)
        if layer.kind != "convolution":
            return 2 * MASK * read if self._kept(chain) else 0
        shorter = PICTURE in layer.inputs and self._of_picture and forth < self._storage.full
        copied = forth * read if shorter else 0
        if _in_strips(chain):
            return copied + self._strip(layer, forth, self._storage.kernel_forth)
        full = values[layer.name]
        masks = (2 * MASK + (forth if chain.pool else 0)) * full
        return copied + max(masks, self._unfolded(layer, forth, read))

    def _working_back(self, chain: Chain, given: int) -> int:
        """Return what a chain takes beside the gradient that it is given, until it gives its own.

        The gradient at what it reads is in it.
        """
        layer, values, back = chain.first, self._values, self._storage.back
        full = values[layer.name] if layer.kind == "convolution" else 0
        if not full:
            read = sum(values[name] for name in layer.inputs)
            return given + (MASK * read if self._kept(chain) else 0)
        if _in_strips(chain):
            return given + self._strip(layer, back, self._storage.kernel_back)
        working = given + self._unfolded(layer, back, values[layer.inputs[0]])
        if not self._kept(chain):
            return working
        return back * full + max(MASK * full, working)

    def _strip(self, layer: Layer, each: int, by_kernel: bool) -> int:
        """Return what torch takes for a strip of rows, and for filters turned to points of tiles.

        Nothing where the native kernel runs it. Of a strip there are up to three: what a
        convolution reads behind a pool, what it makes, and that as torch works on it.
        """
        (read,) = layer.inputs
        inputs = layer.channels * self._values[read] // self._values[layer.name]
        if by_kernel and is_for_the_kernel(layer, inputs):
            return 0
        by_tiles = each >= FULL and min(inputs, layer.channels) >= FEWEST_CHANNELS
        points = POINTS * inputs * layer.channels + 2 * POINTS_AT_ONCE if by_tiles else 0
        strip = STRIP * inputs // max(inputs, layer.channels)
        windows = 0 if by_tiles else self._unfolded(layer, each, min(strip, self._values[read]))
        return each * (points + min(3 * STRIP, 2 * self._values[layer.name])) + windows

    def _unfolded(self, layer: Layer, each: int, read: int) -> int:
        """Return what torch takes to write down the windows of so many values; not of 16 bit."""
        return each * unfolded(layer, read) if self._storage.unfolds and each > HALF else 0


def _in_strips(chain: Chain) -> bool:
    """Whether what lies between its layers is never there as a whole."""
    return chain.first.kind == "convolution" and is_3_by_3(chain.first)
