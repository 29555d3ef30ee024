"""Checkpoints: a dream's state as a file that is whole or refused, at a bounded cost."""

import hashlib
import io
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

import torch

from dream_core.errors import DreamError
from jobs.claim import Claim
from jobs.errors import StoreFault, UnknownVersion

log = logging.getLogger(__name__)

VERSION = 1
HEADER = b"torch-inception checkpoint "  # then its version, and the checksum, a line each

# A state is saved at most this often, and never for more than 3 % of the time: the next one is
# due after 33 times what the last one cost.
APART_S = 10.0
COSTS_APART = 33


class Stateful(Protocol):
    """What can be saved, as `dream_core.dream.Dream` can."""

    @property
    def iteration(self) -> int: ...  # noqa: D102
    def state_dict(self) -> dict[str, Any]: ...  # noqa: D102


class Resumable(Protocol):
    """What goes on from a state."""

    def load_state_dict(self, state: Mapping[str, Any]) -> None: ...  # noqa: D102


class Torn(ValueError):
    """A file that isn't a whole checkpoint."""


def pack(state: Mapping[str, Any]) -> bytes:
    """Return a state as bytes that know whether they are all there."""
    content = io.BytesIO()
    torch.save(dict(state), content)
    digest = hashlib.sha256(content.getvalue()).hexdigest().encode()
    return b"%s%d\n%s\n%s" % (HEADER, VERSION, digest, content.getvalue())


def unpack(data: bytes) -> dict[str, Any]:
    """Return the state that `pack` was given.

    Raises:
        Torn: a byte is missing or another.
        UnknownVersion: another release wrote it.
    """
    version, _, rest = data.removeprefix(HEADER).partition(b"\n")
    if not data.startswith(HEADER) or not version.isdigit():
        raise Torn("it is no checkpoint")
    if int(version) != VERSION:
        raise UnknownVersion("it", int(version), VERSION)
    digest, _, content = rest.partition(b"\n")
    if hashlib.sha256(content).hexdigest().encode() != digest:
        raise Torn("its checksum is wrong")
    state: dict[str, Any] = torch.load(io.BytesIO(content), weights_only=True)
    return state


def states(files: Iterable[Path]) -> Iterator[dict[str, Any]]:
    """Go through the states in `files` that are whole and of this version; say which are not."""
    for file in files:
        try:
            state = unpack(file.read_bytes())
        except (Torn, UnknownVersion, OSError) as error:
            log.warning("checkpoint %s is left: %s", file.name, error)
        else:
            yield state


def resume(
    dream: Resumable, plan: Mapping[str, Any], found: Iterable[Mapping[str, Any]]
) -> Mapping[str, Any] | None:
    """Load the first state that can be used; return it as it was, None where there is none.

    Args:
        dream: as it was built, at its source.
        plan: the dream's own. A state of another plan (this is another kind of machine) is taken
            over: the job goes on, though not to the same bits.
        found: whole states, the furthest first.
    """
    for state in found:
        try:
            dream.load_state_dict({**state, "plan": dict(plan)})
        except (DreamError, KeyError) as error:
            log.warning("the state at %s is left: %s", state.get("iteration"), error)
        else:
            return state
    return None


class Checkpoints:
    """When a claimed dream saves its state: after its first iteration, then as costs allow.

    A disk that refuses a state stops no dream: an older one, or the source, has to do.
    """

    def __init__(self, claim: Claim, dream: Stateful, clock: Callable[[], float]) -> None:
        """Nothing is saved of a dream that stands where it began."""
        self._claim = claim
        self._dream = dream
        self._clock = clock
        self._saved = dream.iteration
        self._due_at = float("-inf")

    @property
    def due(self) -> bool:
        """Whether the last one is long enough ago."""
        return self._clock() >= self._due_at

    def save(self) -> None:
        """Save the state, if the dream has moved since."""
        if self._dream.iteration == self._saved:
            return
        started = self._clock()
        try:
            self._claim.checkpoint(self._dream.iteration, pack(self._dream.state_dict()))
            self._saved = self._dream.iteration
        except StoreFault as fault:
            log.warning("no checkpoint at iteration %d: %s", self._dream.iteration, fault)
        ended = self._clock()
        self._due_at = ended + max(APART_S, COSTS_APART * (ended - started))
