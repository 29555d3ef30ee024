"""The errors of the HTTP face, each on its branch of `DreamError`.

Refused     MalformedForm, UnsupportedMediaType, BodyTooLarge, UploadStalled, PictureMissing,
            UnknownParameter, InvalidParameter, ImageSizeAboveLimit, NoSuchModel, NoResult,
                RangeUnsatisfiable, Unauthorized, ForeignHost, ForeignOrigin
Wait        NotReady
"""

from collections.abc import Mapping, Sequence

from dream_core.errors import FieldFault, Refused, UnknownModel, Wait, either, nearest, shown
from jobs.record import Job

HOW_TO_POST = "curl -F image=@cat.jpg -F layers=relu5_1 …/dreams"


class MalformedForm(Refused):
    """The body isn't the form that its headers promise."""

    code = "malformed-form"
    title = "The form can't be read"

    def __init__(self, reason: str, right: str = HOW_TO_POST) -> None:
        """Say what is wrong and what a right one is made by."""
        super().__init__(f"the form can't be read: {reason}; a right one: {right}")


class UnsupportedMediaType(Refused):
    """A body of a kind that isn't taken."""

    code = "unsupported-media-type"
    title = "Unsupported media type"

    def __init__(self, given: str, right: str = HOW_TO_POST) -> None:
        """Name the kind that is taken."""
        what = f"the body is {shown(given)}" if given else "the body has no Content-Type"
        super().__init__(f"{what}; fields are posted as multipart/form-data: {right}")


class BodyTooLarge(Refused):
    """More bytes than are taken; said as soon as it is known."""

    code = "upload-too-large"
    title = "Upload too large"

    def __init__(self, max_bytes: int) -> None:
        """Name the limit."""
        super().__init__(
            f"the picture is over the limit of {max_bytes / 2**20:g} MiB "
            f"({max_bytes} bytes); scale it down, or save it as JPEG"
        )
        self.faults = (FieldFault("image", None, str(self), (f"up to {max_bytes} bytes",)),)


class UploadStalled(Refused):
    """The client stopped sending in the middle."""

    code = "upload-stalled"
    title = "The upload stalled"

    def __init__(self, waited_s: float) -> None:
        """Say how long it was waited for."""
        super().__init__(f"no byte of the body came for {waited_s:g} s; send it again")


class PictureMissing(Refused):
    """A form without its picture, or with something else in its place."""

    code = "picture-missing"
    title = "No picture"

    def __init__(self, reason: str) -> None:
        """Say what came instead."""
        super().__init__(f"{reason}; send one file in the field image: {HOW_TO_POST}")
        self.faults = (FieldFault("image", None, str(self)),)


class UnknownParameter(Refused):
    """A query parameter that this address doesn't take, or takes once."""

    code = "unknown-parameter"
    title = "Unknown query parameter"

    def __init__(self, unknown: Sequence[str], names: Sequence[str]) -> None:
        """List the nearest right names."""
        self.faults = tuple(self._fault(name, names) for name in unknown[:10])
        super().__init__("; ".join(fault.message for fault in self.faults))

    @staticmethod
    def _fault(name: str, names: Sequence[str]) -> FieldFault:
        allowed = nearest(name, names)
        if name in names:
            return FieldFault(name, None, f"{name} is given more than once; give it once")
        way_out = f"did you mean {either(allowed)}?" if allowed else "leave it out; none is taken"
        message = f"there is no query parameter {shown(name)} here; {way_out}"
        return FieldFault(name, None, message, allowed)


class InvalidParameter(Refused):
    """A query parameter of a wrong type or out of range."""

    code = "invalid-parameter"
    title = "A parameter is out of range"

    def __init__(self, faults: Sequence[FieldFault]) -> None:
        """Say every fault in one message."""
        self.faults = tuple(faults)
        super().__init__("; ".join(fault.message for fault in faults))


class ImageSizeAboveLimit(Refused):
    """A dream larger than this deployment runs."""

    code = "image-size-above-limit"
    title = "Too large for this server"

    def __init__(self, image_size: int, limit: int) -> None:
        """Name the limit and who can move it."""
        super().__init__(
            f"image_size is {image_size}, this server's limit is {limit}; ask for {limit} or less "
            "(who runs the server sets it with DREAM_MAX_IMAGE_SIZE)"
        )
        self.faults = (FieldFault("image_size", image_size, str(self), (f"32 to {limit}",)),)


class NoSuchModel(UnknownModel):
    """A path that names a model which the catalogue doesn't have."""


class NoResult(Refused):
    """The result of a dream that hasn't succeeded."""

    code = "no-result"
    title = "No result"

    def __init__(self, job: Job) -> None:
        """Say how the dream stands, and what there is instead."""
        done = f"{job.progress.iteration} of {job.progress.iterations} iterations"
        frames = f"its frames so far are at /dreams/{job.id}/frames"
        way_out = f"{'none' if job.status.terminal else 'not yet'}, {frames}"
        super().__init__(f"dream {job.id} is {job.status} ({done}); a result: {way_out}")


class RangeUnsatisfiable(Refused):
    """A range of bytes that begins past the end of a picture."""

    code = "range-unsatisfiable"
    title = "Range past the end"

    def __init__(self, wanted: str, size: int) -> None:
        """Name the size."""
        super().__init__(f"Range is {shown(wanted)}, the picture has {size} bytes; begin before")


class Unauthorized(Refused):
    """The key is missing, or it is another one."""

    code = "unauthorized"
    title = "The key is needed"

    def __init__(self, *, sent: bool) -> None:
        """Say how it is sent; `sent` tells whether something was."""
        self.sent = sent
        what = "that is not the key of this service" if sent else "this service asks for its key"
        super().__init__(
            f"{what}; send the header `Authorization: Bearer KEY` "
            "(the `dream` command sends what DREAM_API_KEY holds)"
        )


class ForeignHost(Refused):
    """The request is addressed to a name that isn't this service's."""

    code = "foreign-host"
    title = "Not the name of this service"

    def __init__(self, host: str) -> None:
        """Say what was asked for, and who can add it."""
        super().__init__(
            f"the request is for Host {shown(host)}, which isn't a name of this service; ask "
            "127.0.0.1 or localhost (who runs the service adds names with DREAM_ALLOWED_HOSTS)"
        )


class ForeignOrigin(Refused):
    """A web page from elsewhere asks."""

    code = "foreign-origin"
    title = "Asked by a page from elsewhere"

    def __init__(self, origin: str | None) -> None:
        """Say which one, and who can let it in."""
        page = "a web page of another site" if origin is None else f"a web page of {shown(origin)}"
        super().__init__(
            f"{page} asks, and only pages of this service may; who runs the service lets others "
            "in with DREAM_CORS_ORIGINS"
        )


class NotReady(Wait):
    """The service lives, but a dream posted now would wait."""

    code = "not-ready"
    title = "Not ready"

    def __init__(self, reasons: Mapping[str, str]) -> None:
        """Say what is missing and why."""
        super().__init__("; ".join(f"{name}: {reason}" for name, reason in reasons.items()))
        self.faults = tuple(FieldFault(name, None, reason) for name, reason in reasons.items())
