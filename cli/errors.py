"""What can go wrong at the command line, as branches of `DreamError`.

HostFault
├── PortTaken           another program listens there
├── RoomFailed          a process of the stack ended and can't be kept running
├── ServiceSilent       nothing answers at the service's address
└── DreamFailed         the dream ended without a result; the worker's sentence
Refused
├── ServiceRefused      the service's problem+json, as a sentence
├── NoSuchPicture       a file named on the command line isn't there
└── BadOption           options that don't go together
"""

from pathlib import Path

from dream_core.errors import HostFault, Refused


class PortTaken(HostFault):
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
        said = f"; it said last: {last_line}" if last_line else " without a word"
        super().__init__(f"{name} {how_often} (exit status {exit_code}){said}")


class ServiceSilent(HostFault):
    """Nothing answers at the service's address."""

    code = "service-silent"
    title = "The service doesn't answer"

    def __init__(self, url: str, reason: str) -> None:
        """Say where and how to start it."""
        super().__init__(f"nothing answers at {url} ({reason}); start it with `dream up`")


class DreamFailed(HostFault):
    """The dream ended without a result."""

    code = "dream-failed"
    title = "The dream failed"

    def __init__(self, job_id: str, status: str, reason: str) -> None:
        """Pass on the worker's sentence."""
        super().__init__(f"dream {job_id} ended {status}: {reason}")


class ServiceRefused(Refused):
    """The service answered with a problem."""

    code = "service-refused"
    title = "The service refused"

    def __init__(self, status: int, detail: str) -> None:
        """Pass on the problem's sentence."""
        super().__init__(f"the service answered {status}: {detail}")


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
