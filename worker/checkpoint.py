"""Checkpoints: a dream's state as a file that is whole or refused, at a bounded cost."""

import hashlib
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import IO, Any, Protocol, cast

import torch

from dream_core.errors import DreamError
from jobs.claim import Claim
from jobs.errors import StoreFault, UnknownVersion

log = logging.getLogger(__name__)

VERSION = 1
HEADER = b"torch-inception checkpoint "  # then its version, and the checksum, a line each
LONGEST_LINE = 128
PIECE_BYTES = 1 << 20

# A state is saved at most this often, and never for more than 3 % of the time: the next one is
# due after 33 times what the last one cost.
APART_S = 10.0
COSTS_APART = 33


class Stateful(Protocol):
    """What can be saved, as `dream_core.dream.Dream` can."""

    @property
    def iteration(self) -> int: ...  # noqa: D102
    def state_dict(self, *, copied: bool) -> dict[str, Any]: ...  # noqa: D102


class Resumable(Protocol):
    """What goes on from a state."""

    def load_state_dict(self, state: Mapping[str, Any]) -> None: ...  # noqa: D102


class Torn(ValueError):
    """A file that isn't a whole checkpoint."""


def pack(state: Mapping[str, Any], file: IO[bytes]) -> None:
    """Write a state to the beginning of a file that then knows whether it is all there.

    Nothing is copied: a state of 40 megapixels is 1.4 GB.
    """
    file.write(HEADER + b"%d\n" % VERSION)
    at = file.tell()
    file.write(b"%s\n" % bytes(2 * hashlib.sha256().digest_size))  # room for it
    content = _Hashed(file)
    try:
        torch.save(dict(state), cast("IO[bytes]", content))  # all that torch does is to write
    except Exception as error:
        # torch says only that its file isn't where it should be.
        raise content.fault or error from error
    file.seek(at)
    file.write(content.digest.hexdigest().encode())


class _Hashed:
    """A file that is written from here on, once and in order, and its checksum."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.digest = hashlib.sha256()
        self.fault: OSError | None = None

    def write(self, data: memoryview) -> int:
        self.digest.update(data)
        try:
            return self._file.write(data)
        except OSError as error:
            self.fault = error
            raise

    def flush(self) -> None:
        """Leave it to the file."""


def unpack(file: IO[bytes]) -> dict[str, Any]:
    """Return the state that `pack` was given; its checksum is looked at first, piece by piece.

    Raises:
        Torn: a byte is missing or another.
        UnknownVersion: another release wrote it.
    """
    head = file.readline(LONGEST_LINE)
    version = head.removeprefix(HEADER).removesuffix(b"\n")
    if not head.startswith(HEADER) or not version.isdigit():
        raise Torn("it is no checkpoint")
    if int(version) != VERSION:
        raise UnknownVersion("it", int(version), VERSION)
    digest = file.readline(LONGEST_LINE).removesuffix(b"\n")
    begins = file.tell()
    found = hashlib.sha256()
    while piece := file.read(PIECE_BYTES):
        found.update(piece)
    if found.hexdigest().encode() != digest:
        raise Torn("its checksum is wrong")
    file.seek(begins)
    state: dict[str, Any] = torch.load(file, weights_only=True)
    return state


def states(files: Iterable[Path]) -> Iterator[dict[str, Any]]:
    """Go through the states in `files` that are whole and of this version; say which are not."""
    for path in files:
        try:
            with path.open("rb") as file:
                state = unpack(file)
        except (Torn, UnknownVersion, OSError) as error:
            log.warning("checkpoint %s is left: %s", path.name, error)
        else:
            yield state
            del state  # before the next one is read


def resume(
    dream: Resumable, plan: Mapping[str, Any], found: Iterable[Mapping[str, Any]]
) -> Mapping[str, Any] | None:
    """Load the first state that can be used; return the plan it had, None where there is none.

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
            had: Mapping[str, Any] = state["plan"]
            return had
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
            state = self._dream.state_dict(copied=False)  # it isn't stepped meanwhile
            self._claim.checkpoint(self._dream.iteration, partial(pack, state))
            self._saved = self._dream.iteration
        except StoreFault as fault:
            log.warning("no checkpoint at iteration %d: %s", self._dream.iteration, fault)
        ended = self._clock()
        self._due_at = ended + max(APART_S, COSTS_APART * (ended - started))
