"""Everything that can go wrong, as one tree rooted in `DreamError`.

    DreamError
    ├── Refused                 the user's move: another value, another picture
    │   ├── InvalidSpec         fields that are unknown, repeated, of a wrong type or out of range
    │   ├── UnknownLayer
    │   ├── UnknownModel
    │   ├── NothingToSee        the picture has no position at the deepest layer asked
    │   ├── WorkingSizeTooLarge
    │   ├── PictureRefused      (dream_core.picture.errors: too large, too thin, truncated …)
    │   └── ModelRefused        a model file that can't be read or taken in
    ├── Wait                    nobody's fault: the same request succeeds later
    ├── HostFault               the host's move: weights, disk, memory, device
    │   ├── WeightsMissing
    │   ├── WeightsCorrupt
    │   └── DeviceMissing
    └── Stale                   nobody's move: the writer stops quietly

Each class has a stable `code` and a `title`; its constructor takes values and writes the sentence,
so no raiser words its own. What HTTP answers stands in `api/problems.py` alone.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import ClassVar


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


class Stale(DreamError):
    """Somebody else is right by now."""


def nearest(name: str, names: Sequence[str], limit: int = 5) -> tuple[str, ...]:
    """Return the names most like `name`, best first; the first few where none is like it."""
    by_fold = {candidate.casefold(): candidate for candidate in names}
    close = get_close_matches(name.casefold(), list(by_fold), n=limit, cutoff=0.5)
    return tuple(by_fold[fold] for fold in close) or tuple(names[:limit])


def either(names: Sequence[str]) -> str:
    """Return "a", "a or b", "a, b or c"."""
    *most, last = names
    return f"{', '.join(most)} or {last}" if most else last


class InvalidSpec(Refused):
    """One or more fields of a spec can't be taken as they are."""

    code = "invalid-spec"
    title = "The dream can't be run as asked"

    def __init__(self, faults: Iterable[FieldFault]) -> None:
        """Say every fault in one message."""
        self.faults = tuple(faults)
        super().__init__("; ".join(fault.message for fault in self.faults))


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
        super().__init__(f"there is no model '{name}'; did you mean {either(allowed)}?")
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
            FieldFault(
                field,
                name,
                f"{model} has no layer '{name}'; did you mean {either(nearest(name, names))}?",
                nearest(name, names),
            )
            for name in unknown
        )
        super().__init__(" ".join(fault.message for fault in self.faults))


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
        self.faults = (
            FieldFault("image_size", max(height, width), str(self), (str(smallest or ""),)),
        )


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


class DeviceMissing(HostFault):
    """The device asked for isn't there."""

    code = "device-missing"
    title = "Device missing"

    def __init__(self, device: str, available: Sequence[str]) -> None:
        """List the devices that are."""
        super().__init__(f"there is no device '{device}' here; use {either(available)}")
