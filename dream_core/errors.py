"""Everything that can go wrong, as one tree rooted in `DreamError`.

    DreamError
    ├── Refused                 the user's move: another value, another picture
    │   ├── InvalidSpec         fields that are unknown, repeated, of a wrong type or out of range
    │   ├── UnknownLayer
    │   ├── UnknownModel
    │   ├── NothingToSee        the picture has no position at the deepest layer asked
    │   ├── WorkingSizeTooLarge
    │   ├── MemoryExceeded      the dream fits into memory in no form
    │   ├── PictureRefused      (dream_core.picture.errors: too large, too thin, truncated …)
    │   └── ModelRefused        a model file that can't be read or taken in
    ├── Wait                    nobody's fault: the same request succeeds later
    ├── HostFault               the host's move: weights, disk, memory, device
    │   ├── WeightsMissing
    │   ├── WeightsCorrupt
    │   ├── BadSetup            a setting, folder, port or driver that a person has to change first
    │   │   └── DeviceMissing
    │   ├── NotFinite           a gradient left the numbers: nothing moves on from there
    │   └── StateRefused        a saved state that isn't of this dream under this plan
    └── Stale                   nobody's move: the writer stops quietly
        └── Interrupted         asked to stop in the middle of a step

Each class has a stable `code` and a `title`; its constructor takes values and writes the sentence,
so no raiser words its own. What HTTP answers stands in `api/problems.py` alone.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import ClassVar

LONGEST_SHOWN = 80  # characters of a foreign value in a sentence of ours: one line
MOST_FAULTS = 10  # listed in one message; who has more reads the first ones first


@dataclass(frozen=True)
class FieldFault:
    """One field that is wrong: its name, the value given, what would be right."""

    field: str
    value: object
    message: str
    allowed: tuple[str, ...] = ()


class DreamError(Exception):
    """Root of all our errors: a sentence for people, a `code` for programs."""

    code: ClassVar[str] = "internal"
    title: ClassVar[str] = "Something went wrong"
    faults: tuple[FieldFault, ...] = ()


class Refused(DreamError):
    """The user's move."""


class Wait(DreamError):
    """The same request succeeds later."""

    retry_after_s: int = 5


class HostFault(DreamError):
    """The host's move."""


class BadSetup(HostFault):
    """The host's move, and a person's: starting again doesn't help before something is changed."""


class Stale(DreamError):
    """Somebody else is right by now."""


class Interrupted(Stale):
    """A step was left in the middle because somebody asked for it. The picture has not moved."""

    code = "interrupted"
    title = "Interrupted"

    def __init__(self, iteration: int) -> None:
        """Say where the picture stands."""
        super().__init__(f"asked to stop after iteration {iteration}, in the middle of the next")


def nearest(name: str, names: Sequence[str], limit: int = 5) -> tuple[str, ...]:
    """Return the names most like `name`, best first; the first few where none is like it."""
    by_fold = {candidate.casefold(): candidate for candidate in names}
    close = get_close_matches(name.casefold(), list(by_fold), n=limit, cutoff=0.5)
    return tuple(by_fold[fold] for fold in close) or tuple(names[:limit])


def shown(value: object) -> str:
    """Return a value as a sentence quotes it: cut short, because a caller may send megabytes."""
    text = repr(value[: LONGEST_SHOWN + 1] if isinstance(value, str) else value)
    return text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}…"


def either(names: Sequence[str]) -> str:
    """Return "a", "a or b", "a, b or c"."""
    *most, last = names
    return f"{', '.join(most)} or {last}" if most else last


def join_sentences(sentences: Sequence[str], between: str) -> str:
    """Return the first sentences as one text that says how many it leaves out."""
    left_out = len(sentences) - MOST_FAULTS
    more = [f"and {left_out} more"] if left_out > 0 else []
    return between.join([*sentences[:MOST_FAULTS], *more])


class InvalidSpec(Refused):
    """One or more fields of a spec can't be taken as they are."""

    code = "invalid-spec"
    title = "The dream can't be run as asked"

    def __init__(self, faults: Iterable[FieldFault]) -> None:
        """Say every fault in one message."""
        self.faults = tuple(faults)
        super().__init__(join_sentences([fault.message for fault in self.faults], "; "))


class UnknownField(InvalidSpec):
    """A field that no dream has."""

    code = "unknown-field"
    title = "Unknown field"


class UnknownModel(Refused):
    """A model that the catalogue doesn't have."""

    code = "unknown-model"
    title = "Unknown model"

    def __init__(self, name: str, names: Sequence[str], field: str = "model") -> None:
        """List the nearest right names."""
        allowed = nearest(name, names)
        super().__init__(f"there is no model {shown(name)}; did you mean {either(allowed)}?")
        self.faults = (FieldFault(field, name, str(self), allowed),)


class UnknownLayer(Refused):
    """A layer that the model doesn't have."""

    code = "unknown-layer"
    title = "Unknown layer"

    def __init__(
        self, model: str, unknown: Sequence[str], names: Sequence[str], field: str = "layers"
    ) -> None:
        """List the nearest right names of every unknown one."""
        self.faults = tuple(
            self._fault(model, name, names, field) for name in unknown[:MOST_FAULTS]
        )
        sentences = [fault.message for fault in self.faults]
        # Looking for the nearest names takes time, and a caller may send a thousand wrong ones.
        super().__init__(join_sentences(sentences + [""] * (len(unknown) - len(sentences)), " "))

    @staticmethod
    def _fault(model: str, name: str, names: Sequence[str], field: str) -> FieldFault:
        allowed = nearest(name, names)
        message = f"{model} has no layer {shown(name)}; did you mean {either(allowed)}?"
        return FieldFault(field, name, message, allowed)


class NothingToSee(Refused):
    """At the deepest layer asked, the picture has shrunk to nothing."""

    code = "picture-too-small-for-layer"
    title = "Nothing left to see at that layer"

    def __init__(self, layer: str, height: int, width: int, smallest: int | None) -> None:
        """Name the smallest image_size that works, None where no allowed one does."""
        way_out = (
            f"the smallest image_size that has one is {smallest}"
            if smallest
            else "no image_size has one at this aspect ratio; ask a layer nearer to the picture"
        )
        super().__init__(f"at {height} × {width}, {layer} has no position; {way_out}")
        allowed = (str(smallest),) if smallest else ()
        self.faults = (FieldFault("image_size", max(height, width), str(self), allowed),)


class WorkingSizeTooLarge(Refused):
    """The picture would be dreamed on at more pixels than the limit."""

    code = "working-size-too-large"
    title = "Too many pixels to dream on"

    def __init__(self, height: int, width: int, limit: int, largest: int, field: str) -> None:
        """Name the largest image_size within the limit, for this picture's shape."""
        super().__init__(
            f"{width} × {height} is {height * width / 1e6:.1f} megapixels, the limit is "
            f"{limit / 1e6:g}; the largest image_size for this picture is {largest}"
        )
        self.faults = (FieldFault(field, max(height, width), str(self), (str(largest),)),)


class MemoryExceeded(Refused):
    """Even in its smallest parts the dream needs more memory than is free."""

    code = "memory-exceeded"
    title = "Too large for the memory here"

    def __init__(
        self, model: str, size: tuple[int, int], least: int, there: str, largest: int | None
    ) -> None:
        """Name what it needs at least, what there is, and the largest image_size that would fit."""
        height, width = size
        way_out = (
            f"the largest image_size that fits is {largest}"
            if largest
            else "no image_size fits; free some memory, or ask a layer nearer to the picture"
        )
        super().__init__(
            f"{model} at {width} × {height} needs at least {least / 1e9:.2f} GB of memory, "
            f"{there}; {way_out}"
        )
        allowed = (str(largest),) if largest else ()
        self.faults = (FieldFault("image_size", max(height, width), str(self), allowed),)


class ModelRefused(Refused):
    """A model file that can't be read, or that asks for what no network here does."""

    code = "model-refused"
    title = "The model can't be taken in"

    def __init__(self, file: str, reason: str) -> None:
        """Say which file and why."""
        super().__init__(f"{file}: {reason}")


class WeightsMissing(HostFault):
    """The weights of a model are not on this machine and could not be fetched."""

    code = "weights-missing"
    title = "Weights missing"

    def __init__(self, model: str, folder: Path, way_out: str) -> None:
        """Say where they were looked for and how to bring them."""
        super().__init__(f"the weights of {model} are not in {folder}; {way_out}")


class WeightsCorrupt(HostFault):
    """A weights file isn't what it should be."""

    code = "weights-corrupt"
    title = "Weights corrupt"

    def __init__(self, file: str, found: str, expected: str) -> None:
        """Show both checksums."""
        super().__init__(
            f"{file} has checksum {found[:12]}…, expected {expected[:12]}…; "
            "delete it and fetch it again"
        )


class DeviceMissing(BadSetup):
    """The device asked for isn't there."""

    code = "device-missing"
    title = "Device missing"

    def __init__(self, device: str, available: Sequence[str]) -> None:
        """List the devices that are."""
        super().__init__(f"there is no device '{device}' here; use {either(available)}")


class NotFinite(HostFault):
    """A loss or a gradient is inf or nan: the picture stays where it was."""

    code = "not-finite"
    title = "The numbers ran out"

    def __init__(self, names: Sequence[str]) -> None:
        """Say what isn't finite: losses by their layer, or the gradient."""
        self.names = tuple(names)
        super().__init__(
            f"{', '.join(names)}: not a finite number any more; "
            "lower the doses or the learning_rate, or take another picture"
        )


class StateRefused(HostFault):
    """A saved state can't be gone on from here: it would make other pixels."""

    code = "state-refused"
    title = "Another dream's state"

    def __init__(self, what: str, found: object, expected: object) -> None:
        """Show what differs."""
        super().__init__(
            f"the saved state has {what} {found}, this dream has {expected}; "
            "make the dream as it was when it was saved, or start it anew"
        )
