"""What can go wrong at the command line, as branches of `DreamError`.

BadSetup
├── PortTaken           another program listens there
└── RoomUnfit           a process of the stack says that the set-up must be changed
HostFault
├── RoomFailed          a process of the stack ended and can't be kept running
├── RoomLate            a process of the stack runs, but doesn't become ready
├── ServiceSilent       nothing answers at the service's address
├── ServiceStrange      something else answers there
└── DreamFailed         the dream ended without a result; the worker's sentence
Refused
├── ServiceRefused      the service's problem+json, as a sentence
├── SomeRefused         of several, one or more were refused
├── NoResultYet         the result of a dream that hasn't succeeded
├── NoSuchPicture       a file named on the command line isn't there
└── BadOption           options that don't go together
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dream_core.errors import BadSetup, DreamError, HostFault, Refused


class PortTaken(BadSetup):
    """Another program listens on that port."""

    code = "port-taken"
    title = "Port taken"

    def __init__(self, host: str, port: int) -> None:
        """Name a way out that most likely works."""
        free = port + 1 if port < 65_535 else port - 1
        super().__init__(
            f"port {port} on {host} is taken (another `dream up`?); stop what listens there, "
            f"or choose another: dream up --port {free}"
        )


class RoomFailed(HostFault):
    """A process of the stack ended and isn't started again."""

    code = "room-failed"
    title = "A process of the stack can't be kept running"

    def __init__(self, name: str, exit_code: int, last_line: str, times: int = 1) -> None:
        """Say how often it ended and pass on what it said last."""
        how_often = "ended" if times == 1 else f"ended {times} times in a row"
        super().__init__(f"{name} {how_often} (exit status {exit_code}){_said(last_line)}")


class RoomLate(RoomFailed):
    """A process of the stack runs, but doesn't become ready."""

    def __init__(self, name: str, within_s: float, last_line: str) -> None:
        """Say how long it was waited for and pass on what it said last."""
        HostFault.__init__(self, f"{name} isn't ready after {within_s:g} s{_said(last_line)}")


def _said(last_line: str) -> str:
    return f"; it said last: {last_line}" if last_line else " without a word"


class RoomUnfit(RoomFailed, BadSetup):
    """A process of the stack says that its set-up must be changed first."""

    def __init__(self, said: str) -> None:
        """Pass on its sentence."""
        DreamError.__init__(self, said)


class ServiceSilent(HostFault):
    """Nothing answers at the service's address."""

    code = "service-silent"
    title = "The service doesn't answer"
    passing = True  # it may be there again in a moment

    def __init__(self, url: str, reason: str) -> None:
        """Say where and how to start it."""
        super().__init__(
            f"nothing answers at {url} ({reason}); start it with `dream up`, "
            "or name another address with --url"
        )


class ServiceStrange(HostFault):
    """What answers at the service's address isn't torch-inception."""

    code = "service-strange"
    title = "Another program answers"

    def __init__(self, url: str) -> None:
        """Say where, and the way out."""
        super().__init__(
            f"what answers at {url} isn't torch-inception; name the service's address with --url"
        )


class DreamFailed(HostFault):
    """The dream ended without a result."""

    code = "dream-failed"
    title = "The dream failed"

    def __init__(self, job: dict[str, Any]) -> None:
        """Pass on the worker's sentence; without one, how far the dream came."""
        progress = job["progress"]
        done = f"at iteration {progress['iteration']} of {progress['iterations']}"
        reason = f": {job['problem']['detail']}" if job["problem"] else f" {done}"
        super().__init__(f"dream {job['id']} ended {job['status']}{reason}")


class ServiceRefused(Refused):
    """The service answered with a problem."""

    code = "service-refused"
    title = "The service refused"

    def __init__(self, status: int, detail: str) -> None:
        """Pass on the problem's sentence."""
        self.passing = status in (429, 503)  # the same request may succeed later
        super().__init__(f"the service answered {status}: {detail}")


class SomeRefused(Refused):
    """Of several dreams, one or more were refused."""

    code = "some-refused"
    title = "Not all were moved"

    def __init__(self, refused: Sequence[ServiceRefused]) -> None:
        """Pass on each sentence, a line each."""
        super().__init__("\ndream: ".join(str(error) for error in refused))


class NoResultYet(Refused):
    """The result of a dream that hasn't succeeded."""

    code = "no-result"
    title = "No result"

    def __init__(self, job: dict[str, Any], way_out: str) -> None:
        """Say how the dream stands, and how to wait for it."""
        progress, ended = job["progress"], job["finished_at"] is not None
        done = f"{progress['iteration']} of {progress['iterations']} iterations"
        then = "its frames are there: --frames FOLDER" if ended else f"wait for it: {way_out}"
        super().__init__(f"dream {job['id']} is {job['status']} ({done}) and has no result; {then}")


class NoSuchPicture(Refused):
    """A picture named on the command line can't be read as a file."""

    code = "no-such-picture"
    title = "No such picture"

    def __init__(self, path: Path, reason: str) -> None:
        """Say which file."""
        super().__init__(f"{path} can't be read ({reason}); name a PNG, JPEG or WebP file")


class BadOption(Refused):
    """Options that don't go together."""

    code = "bad-option"
    title = "Options that don't go together"
