"""With what status our processes end, and what it tells whoever started them."""

import sys
from typing import Final

from dream_core.errors import BadSetup, DreamError

DONE: Final = 0
FAILED: Final = 1
WRONG_USAGE: Final = 2  # click's own
BAD_SETUP: Final = 78  # EX_CONFIG of sysexits.h, which service managers know
INTERRUPTED: Final = 130  # 128 + SIGINT, as shells count it

MEANINGS: Final = {
    DONE: "done, or stopped as asked",
    FAILED: "failed; starting it again may help",
    WRONG_USAGE: "wrong usage: an option or a command that there isn't (`dream` alone)",
    BAD_SETUP: "bad set-up: starting it again helps nobody before the set-up is changed",
    INTERRUPTED: "interrupted by Ctrl-C or a signal (`dream` alone)",
}


def status_of(error: DreamError) -> int:
    """Return the status of a process that ends by an error of ours."""
    return BAD_SETUP if isinstance(error, BadSetup) else FAILED


def tell(room: str, error: DreamError) -> int:
    """Say on standard error, in a line, why a room can't be; return its status."""
    sys.stderr.write(f"{room}: {error}\n")
    return status_of(error)
