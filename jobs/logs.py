"""One log for every process: readable on a terminal, one JSON object a line otherwise.

What is logged inside `bound(job=…)` carries the job's id; `extra={"fields": …}` adds to one line
what only programs look for. Keys and pictures are never logged.
"""

import json
import logging
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from types import MappingProxyType, TracebackType
from typing import Any, TextIO

from jobs.settings import Settings

Trace = TracebackType | None

_bound: ContextVar[Mapping[str, str]] = ContextVar("bound", default=MappingProxyType({}))

# Libraries that speak of every connection and message at INFO.
_QUIET = ("httpx", "httpcore", "kombu", "amqp", "PIL", "celery", "python_multipart")


@contextmanager
def bound(**values: str) -> Iterator[None]:
    """Add `values` to every line that this thread logs inside."""
    token = _bound.set({**_bound.get(), **values})
    try:
        yield
    finally:
        _bound.reset(token)


def bind(**values: str) -> None:
    """Add `values` to every line from here on to the end of the task that runs this.

    For what is a task of its own, as a request is: who reports that it broke does so after it.
    """
    _bound.set({**_bound.get(), **values})


def bound_now() -> Mapping[str, str]:
    """Return what is bound here."""
    return _bound.get()


def set_up(settings: Settings, process: str, stream: TextIO | None = None) -> None:
    """Log everything of this process to `stream` (standard error), as the settings say."""
    stream = stream or sys.stderr
    text = settings.log_format == "text" or (settings.log_format == "auto" and stream.isatty())
    handler = logging.StreamHandler(stream)
    handler.setFormatter(_Text(process) if text else _Json(process))
    logging.basicConfig(handlers=[handler], level=settings.log_level.upper(), force=True)
    logging.captureWarnings(True)
    _take_what_nobody_caught()
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)


def _take_what_nobody_caught() -> None:
    """Log exceptions that end the process or a thread, in place of Python's own many lines."""

    def told(kind: type[BaseException], error: BaseException | None, trace: Trace) -> None:
        if error is None or issubclass(kind, SystemExit | KeyboardInterrupt):
            return
        logging.getLogger("uncaught").critical("%s", error, exc_info=(kind, error, trace))

    sys.excepthook = told
    threading.excepthook = lambda args: told(args.exc_type, args.exc_value, args.exc_traceback)
    sys.unraisablehook = lambda args: told(args.exc_type, args.exc_value, args.exc_traceback)


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
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        # What came from outside may be half of a surrogate pair, which UTF-8 can't carry.
        return json.dumps(line, ensure_ascii=False).encode("utf-8", "replace").decode()
