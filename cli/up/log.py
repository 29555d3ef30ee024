"""One log for all rooms: each line behind the name of the room that said it."""

import threading
from typing import TextIO

import click

COLORS = ("cyan", "magenta", "green", "blue", "yellow", "bright_cyan", "bright_magenta")
NAME_WIDTH = 8  # of "worker-1"; longer names push their own lines only


class Log:
    """Writes whole lines of many rooms into one stream; may be called from any thread."""

    def __init__(self, stream: TextIO) -> None:
        """Write to `stream`, with colors where it is a terminal."""
        self._stream = stream
        self._colored = stream.isatty()
        self._colors: dict[str, str] = {}
        self._lock = threading.Lock()

    def say(self, room: str, line: str) -> None:
        """Write one line. A stream that is gone (a closed terminal) ends no room."""
        with self._lock:
            color = self._colors.setdefault(room, COLORS[len(self._colors) % len(COLORS)])
            name = f"{room:<{NAME_WIDTH}} |"
            if self._colored:
                name = click.style(name, fg=color)
            try:
                self._stream.write(f"{name} {line}\n")
                self._stream.flush()
            except (OSError, ValueError):
                return
