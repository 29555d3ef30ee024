"""Jobs as people read them: a line each in a table, or one in full."""

import shutil
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import click

from cli.progress import dreaming

HEADINGS: Final = ("id", "status", "model", "layers", "done", "age")
MODEL, LAYERS = HEADINGS.index("model"), HEADINGS.index("layers")
GAP: Final = "  "
NARROWEST: Final = 6  # characters of a column that is cut
COLORS: Final = {"succeeded": "green", "running": "cyan", "failed": "red", "expired": "red"}


def table(jobs: Sequence[dict[str, Any]], width: int | None) -> Iterator[str]:
    """Give a heading and a line for each job; cut to `width` at layers and model (None: never)."""
    rows = [HEADINGS, *(_row(job) for job in jobs)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADINGS))]
    for column in (LAYERS, MODEL):
        over = sum(widths) + len(GAP) * (len(widths) - 1) - (width or sys.maxsize)
        widths[column] = max(widths[column] - max(over, 0), min(NARROWEST, widths[column]))
    for row in rows:
        cells = [_cut(text, space).ljust(space) for text, space in zip(row, widths, strict=True)]
        if row is not HEADINGS:
            cells[1] = click.style(cells[1], fg=COLORS.get(row[1]))
        yield GAP.join(cells).rstrip()


def terminal_width() -> int | None:
    """Return how wide a line may be; None where nobody looks: a pipe gets everything."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def described(job: dict[str, Any], url: str) -> Iterator[str]:
    """Give the lines that tell all of one job."""
    yield f"{job['id']} is {job['status']}"
    for name, text in _facts(job, url):
        if text:
            yield f"  {name:<10} {text}"


def _facts(job: dict[str, Any], url: str) -> Iterator[tuple[str, str | None]]:
    progress, run, source, frames = job["progress"], job["run"], job["source"], job["frames"]
    done, total = progress["iteration"], progress["iterations"]
    yield "problem", job["problem"] and job["problem"]["detail"]
    yield "waits for", job["queue"]["waits_for"]
    eta_s = None if job["finished_at"] else progress["eta_s"]
    yield "progress", dreaming(done, total, progress["losses"], eta_s)
    yield "model", job["spec"]["model"]
    yield "layers", doses(job["spec"]["layers"])
    given = f"{source['width']} × {source['height']}"
    yield "size", f"{run['width']} × {run['height']}, from {given}" if run else f"from {given}"
    yield "device", run and run["device"]
    latest = f", the latest is {frames['latest']}" if frames["count"] else ""
    yield "frames", f"{frames['count']}{latest}"
    yield "posted", f"{age(job['created_at'])} ago"
    yield "deadline", job["expires_at"]
    yield "parent", job["parent"]
    yield "result", job["links"]["result"] and f"{url}{job['links']['result']}"


def doses(layers: dict[str, float]) -> str:
    """Return layers and doses as one types them."""
    return ",".join(f"{name}={dose:g}" for name, dose in layers.items())


def age(moment: str, now: datetime | None = None) -> str:
    """Return how long ago a moment was, in its largest unit."""
    seconds = ((now or datetime.now(UTC)) - datetime.fromisoformat(moment)).total_seconds()
    seconds = max(seconds, 0)
    for unit, size in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds // size:.0f} {unit}"
    return f"{seconds // 1:.0f} s"


def _row(job: dict[str, Any]) -> tuple[str, ...]:
    spec, progress = job["spec"], job["progress"]
    return (
        job["id"],
        job["status"],
        spec["model"],
        doses(spec["layers"]),
        f"{progress['iteration']}/{progress['iterations']}",
        age(job["created_at"]),
    )


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else f"{text[: width - 1]}…"
