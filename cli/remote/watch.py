"""Waiting for a dream: a bar while it runs, its pictures as they come, its result at the end."""

from pathlib import Path
from typing import Any, Final

import click

from cli.client import Service
from cli.errors import NoResultYet
from cli.progress import Bar, tell
from cli.remote.address import typed
from cli.saving import frame_name
from dream_core.picture import write_bytes

POLL_EVERY_S: Final = 0.4
# A service that is started again, or moves to a new version, is away for seconds.
PATIENCE_S: Final = 120.0


class Folder:
    """Frames of one dream, fetched into a folder, each once."""

    def __init__(self, service: Service, path: Path) -> None:
        """Make the folder where it isn't there."""
        path.mkdir(parents=True, exist_ok=True)
        self._service = service
        self._path = path
        self._latest: int | None = None

    def fetch(self, job: dict[str, Any]) -> None:
        """Fetch what has come since."""
        if job["frames"]["latest"] in (None, self._latest):
            return
        for frame in self._service.frames(job["id"], after=self._latest):
            name = frame_name(frame["iteration"], job["progress"]["iterations"])
            write_bytes(self._path / name, self._service.picture(frame["url"]))
            self._latest = frame["iteration"]


def watch(service: Service, job_id: str, folder: Folder | None = None) -> dict[str, Any]:
    """Return the job when it has succeeded.

    Raises:
        DreamFailed: it ended otherwise.
        KeyboardInterrupt: Ctrl-C, which leaves the dream running and says so.
    """
    job: dict[str, Any] = {}
    try:
        with Bar("dreaming") as bar:
            for job in service.follow(
                job_id,
                every_s=POLL_EVERY_S,
                patience_s=PATIENCE_S,
                silent=lambda error: bar.at(0, None, f"{error}; trying again"),
            ):
                if folder:
                    folder.fetch(job)
                tell(bar, job)
    except KeyboardInterrupt:
        again, stop = typed(service, f"get {job_id} --wait"), typed(service, f"cancel {job_id}")
        click.echo(f"the dream goes on; `{again}` waits for it again, `{stop}` stops it", err=True)
        raise
    return job


def save_result(service: Service, job: dict[str, Any], out: Path) -> None:
    """Write the last picture of a dream that has succeeded.

    Raises:
        NoResultYet: it hasn't.
    """
    if job["links"]["result"] is None:
        raise NoResultYet(job, typed(service, f"get {job['id']} --wait -o {out}"))
    out.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(out, service.picture(job["links"]["result"]))
    run, done = job["run"], job["progress"]["iteration"]
    click.echo(f"{out}: {run['width']} × {run['height']}, {done} iterations on {run['device']}")
