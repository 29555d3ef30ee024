"""Which chains write over what they read, and what room that takes. No torch.

A 3 × 3 convolution that makes as many channels as it reads, without a pool, can write a few rows
beside what it reads, stripe by stripe: one tensor is held where there were two. So can its way
back. The room has a stripe more for it, which the next one uses the other way round.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from dream_core.forms.chain import Chain, chains, is_3_by_3
from dream_core.model import Layer

# Bytes of a tensor from which a stripe more is let: below, what is saved is little.
LARGE = 2**26
STRIPES = 8
TILE = 4  # rows that the kernel makes at once, as in winograd.cpp


def spare_rows(height: int) -> int:
    """Return the rows of a stripe, and the one that it reads beyond."""
    return -(-height // (STRIPES * TILE)) * TILE + 1


def with_spare(size: int) -> int:
    """Return about how many bytes a room of `size` has with its spare rows."""
    return size + size // STRIPES if size >= LARGE else size


def planned(layers: Sequence[Layer], asked: Collection[str]) -> list[Chain]:
    """Cut layers into chains, as `chains` does, and say of each what may be written over.

    On the way in that is what nobody else reads and nobody has asked for; on the way back, what
    arrives at a chain is its own.
    """
    cut = {chain.name: chain for chain in chains(layers, asked)}
    readers = Counter(name for chain in cut.values() for name in chain.inputs)
    keeping = [chain for chain in cut.values() if _keeps_its_shape(chain, cut)]
    forth = {
        name
        for chain in keeping
        for name in chain.inputs
        if readers[name] == 1 and name not in asked
    }
    back = {chain.name for chain in keeping if readers[chain.name] == 1}
    return [
        replace(
            chain,
            over=not forth.isdisjoint(chain.inputs),
            spare_forth=chain.name in forth,
            spare_back=not back.isdisjoint(chain.inputs),
        )
        for chain in cut.values()
    ]


def _keeps_its_shape(chain: Chain, cut: Mapping[str, Chain]) -> bool:
    """Whether a chain is a convolution that gives as much as it reads, of what another has made."""
    layer = chain.first
    if layer.kind != "convolution" or not is_3_by_3(layer) or chain.pool:
        return False
    before = cut.get(layer.inputs[0])
    return before is not None and before.layers[-1].channels == layer.channels
