"""Bars: they move on a terminal; elsewhere a line now and then says the same."""

import sys
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn

LINE_EVERY_S = 5.0  # where there is no terminal: a log isn't a bar


class Bar:
    """One thing that gets done, on stderr; whatever is printed meanwhile stands above it."""

    def __init__(self, label: str, console: Console | None = None) -> None:
        """Name what is done; `total` comes with the first `at`."""
        self._label = label
        self._console = console or Console(stderr=True)
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[note]}"),
            console=self._console,
            disable=not self._console.is_terminal,
        )
        self._task: TaskID | None = None
        self._last_line = time.monotonic()
        self._note = ""

    def __enter__(self) -> Self:
        """Show the bar."""
        self._progress.start()
        self._task = self._progress.add_task(self._label, total=None, note="")
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        """Leave the bar as it stands; without a terminal, its last line."""
        self._progress.stop()
        if not self._console.is_terminal and self._note:
            self._line()

    def at(self, done: float, total: float | None, note: str) -> None:
        """Move to `done` of `total` (None: nobody knows) and say `note` beside it."""
        assert self._task is not None  # noqa: S101 - entered
        self._progress.update(self._task, completed=done, total=total, note=note)
        self._note = note
        if not self._console.is_terminal and time.monotonic() - self._last_line > LINE_EVERY_S:
            self._line()

    def say(self, line: str) -> None:
        """Print a line on stdout, above the bar."""
        if self._console.is_terminal and sys.stdout.isatty():
            self._progress.console.print(line, markup=False, highlight=False, soft_wrap=True)
        else:
            click.echo(line)

    def _line(self) -> None:
        self._last_line = time.monotonic()
        self._note, note = "", self._note
        self._console.print(f"{self._label} {note}", markup=False, highlight=False, soft_wrap=True)


def tell(bar: Bar, job: Mapping[str, Any]) -> None:
    """Move a bar to where a job stands."""
    progress, waits_for = job["progress"], job["queue"]["waits_for"]
    if waits_for:
        bar.at(0, None, f"waits for {waits_for}")
        return
    done, total = progress["iteration"], progress["iterations"]
    bar.at(done, total, dreaming(done, total, progress["losses"], progress["eta_s"]))


def dreaming(
    iteration: int, iterations: int, losses: Mapping[str, float | None], eta_s: float | None
) -> str:
    """Return what stands beside a dream's bar: how far, how near to the dose, how long still."""
    parts = [f"{iteration}/{iterations}"]
    if losses:
        known = [loss for loss in losses.values() if loss is not None]
        parts.append(f"loss {sum(known):.4g}" if len(known) == len(losses) else "loss not a number")
    if eta_s is not None and iteration < iterations:
        parts.append(f"{duration(eta_s)} left")
    return ", ".join(parts)


def pulled(bytes_done: int, bytes_total: int | None) -> str:
    """Return what stands beside a download's bar."""
    done = f"{bytes_done / 1e6:.0f}"
    return f"{done} of {bytes_total / 1e6:.0f} MB" if bytes_total else f"{done} MB"


def duration(seconds: float) -> str:
    """Return a time as one says it: 0.4 s, 12 s, 3 min 05 s, 2 h 10 min."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"
