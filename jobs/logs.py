"""One log for every process: readable on a terminal, one JSON object a line otherwise.

What is logged inside `bound(job=…)` carries the job's id. Keys and pictures are never logged.
"""

import json
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, TextIO

from jobs.settings import Settings

_bound: ContextVar[dict[str, str]] = ContextVar("bound", default={})  # noqa: B039 (never changed)

# Libraries that speak of every connection and message at INFO.
_QUIET = ("httpx", "httpcore", "kombu", "amqp", "PIL", "celery")


@contextmanager
def bound(**values: str) -> Iterator[None]:
    """Add `values` to every line that this thread logs inside."""
    token = _bound.set({**_bound.get(), **values})
    try:
        yield
    finally:
        _bound.reset(token)


def set_up(settings: Settings, process: str, stream: TextIO | None = None) -> None:
    """Log everything of this process to `stream` (standard error), as the settings say."""
    stream = stream or sys.stderr
    text = settings.log_format == "text" or (settings.log_format == "auto" and stream.isatty())
    handler = logging.StreamHandler(stream)
    handler.setFormatter(_Text(process) if text else _Json(process))
    logging.basicConfig(handlers=[handler], level=settings.log_level.upper(), force=True)
    logging.captureWarnings(True)
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)


class _Text(logging.Formatter):
    """`18:00:00.123 worker  dream starts  job=01KAT…`, levels from WARNING on written out."""

    def __init__(self, process: str) -> None:
        super().__init__()
        self._process = process

    def format(self, record: logging.LogRecord) -> str:
        clock = datetime.fromtimestamp(record.created).strftime("%H:%M:%S.%f")[:-3]
        level = f"{record.levelname} " if record.levelno >= logging.WARNING else ""
        bound = "".join(f"  {name}={value}" for name, value in _bound.get().items())
        line = f"{clock} {self._process:<7} {level}{record.getMessage()}{bound}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


class _Json(logging.Formatter):
    """One object: time, level, process, logger, message, what is bound, traceback."""

    def __init__(self, process: str) -> None:
        super().__init__()
        self._process = process

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "process": self._process,
            "logger": record.name,
            "message": record.getMessage(),
            **_bound.get(),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)
