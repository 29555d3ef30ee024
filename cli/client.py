"""A client of the HTTP face: what the CLI asks of the service goes through here."""

import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import httpx
from pydantic import SecretStr

from cli.errors import (
    DreamFailed,
    NoSuchPicture,
    ServiceRefused,
    ServiceSilent,
    ServiceStrange,
)
from dream_core.errors import DreamError

TIMEOUT_S = 30.0
POLL_EVERY_S = 0.1
ENDINGS = ("succeeded", "failed", "canceled", "expired")
STATUSES = ("queued", "running", "canceling", *ENDINGS)


class Service:
    """The dreams of one address. A context manager: it keeps a connection."""

    def __init__(
        self,
        url: str,
        transport: httpx.BaseTransport | None = None,
        key: SecretStr | None = None,
    ) -> None:
        """Speak to the service at `url`, past any proxy that the environment names.

        Where there is a `key`, every request carries it.

        Raises:
            ServiceSilent: no address at all.
        """
        self.url = url.rstrip("/")
        headers = {"Authorization": f"Bearer {key.get_secret_value()}"} if key else {}
        try:
            self._http = httpx.Client(
                base_url=self.url,
                headers=headers,
                timeout=TIMEOUT_S,
                trust_env=False,
                transport=transport,
            )
        except httpx.InvalidURL as error:
            raise ServiceSilent(url, str(error)) from error

    def __enter__(self) -> Self:
        """Keep the connection open."""
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        """Close the connection."""
        self._http.close()

    def post(self, picture: Path, fields: Mapping[str, str | list[str]]) -> dict[str, Any]:
        """Ask for a dream on the picture, in the flat form; return the job.

        Raises:
            NoSuchPicture: the file can't be read.
            ServiceRefused: the service's own sentence.
            ServiceSilent: nothing answers.
        """
        try:
            image = picture.read_bytes()
        except OSError as error:
            raise NoSuchPicture(picture, error.strerror or str(error)) from error
        files = {"image": (picture.name, image)}
        return self._document("POST", "/dreams", data=dict(fields), files=files)

    def estimate(self, fields: Mapping[str, list[str]]) -> dict[str, Any]:
        """Return what a dream would cost, of the flat form and the picture's width and height."""
        texts = [(name, (None, text)) for name, given in fields.items() for text in given]
        return self._document("POST", "/estimate", files=texts)

    def job(self, job_id: str) -> dict[str, Any]:
        """Return the job as it stands."""
        return self._document("GET", _dream(job_id))

    def page(
        self, limit: int, before: str | None = None, status: str | None = None
    ) -> dict[str, Any]:
        """Return up to `limit` dreams, the newest first, and where the older ones are."""
        asked = {"limit": str(limit), "before": before, "status": status}
        params = {name: value for name, value in asked.items() if value is not None}
        return self._document("GET", "/dreams", params=params)

    def cancel(self, job_id: str) -> dict[str, Any]:
        """Stop a dream; return it as it then stands."""
        return self._document("POST", f"{_dream(job_id)}/cancel")

    def delete(self, job_id: str) -> None:
        """Remove a dream and all its pictures."""
        self._ask("DELETE", _dream(job_id))

    def retry(self, job_id: str) -> dict[str, Any]:
        """Ask for a dream once more; return the new one."""
        return self._document("POST", f"{_dream(job_id)}/retry")

    def continue_(self, job_id: str, iterations: int) -> dict[str, Any]:
        """Go on from a dream's last state for so many iterations more; return the new one."""
        more = {"iterations": str(iterations)}
        return self._document("POST", f"{_dream(job_id)}/continue", data=more)

    def queue(self) -> dict[str, Any]:
        """Return what waits and runs."""
        return self._document("GET", "/queue")

    def pause(self) -> dict[str, Any]:
        """Hold new starts; return the queue."""
        return self._document("POST", "/queue/pause")

    def resume(self) -> dict[str, Any]:
        """Start dreams again; return the queue."""
        return self._document("POST", "/queue/resume")

    def frames(self, job_id: str, after: int | None = None) -> list[dict[str, Any]]:
        """Return the frames past iteration `after`, ascending: all of them, page by page."""
        found: list[dict[str, Any]] = []
        past = "" if after is None else f"?after={after}"
        page: str | None = f"{_dream(job_id)}/frames{past}"
        while page:
            document = self._document("GET", page)
            found += document["frames"]
            page = document["next"]
        return found

    def picture(self, url: str) -> bytes:
        """Return the bytes of a frame, a source or a result, as linked in a document."""
        return self._ask("GET", url).content

    def follow(
        self,
        job_id: str,
        *,
        every_s: float = POLL_EVERY_S,
        patience_s: float = 0,
        silent: Callable[[DreamError], None] = lambda _: None,
    ) -> Iterator[dict[str, Any]]:
        """Give the job again and again until it has ended, the ended one last.

        A service that is away is asked again for `patience_s`, and `silent` told why each time:
        the job outlives it.

        Raises:
            DreamFailed: it ended without a result.
        """
        answered = time.monotonic()
        while True:
            try:
                job = self.job(job_id)
            except (ServiceSilent, ServiceRefused) as error:
                if not error.passing or time.monotonic() - answered >= patience_s:
                    raise
                silent(error)
            else:
                answered = time.monotonic()
                yield job
                if job["status"] in ENDINGS:
                    break
            time.sleep(every_s)
        if job["status"] != "succeeded":
            raise DreamFailed(job)

    def _ask(self, method: str, url: str, **more: Any) -> httpx.Response:
        try:
            response = self._http.request(method, url, **more)
        except (httpx.TransportError, httpx.InvalidURL) as error:
            raise ServiceSilent(self.url, str(error) or type(error).__name__) from error
        if not response.is_success:
            raise ServiceRefused(response.status_code, _sentence(response))
        return response

    def _document(self, method: str, url: str, **more: Any) -> dict[str, Any]:
        response = self._ask(method, url, **more)
        try:
            found = response.json()
        except ValueError as error:
            raise ServiceStrange(self.url) from error
        if not isinstance(found, dict):
            raise ServiceStrange(self.url)
        return found


def _dream(job_id: str) -> str:
    """Return the address of a dream, whatever was typed for its id."""
    return f"/dreams/{quote(job_id, safe='')}"


def _sentence(response: httpx.Response) -> str:
    """Return what a refusal says: the problem's detail, else the body's first words."""
    try:
        problem = response.json()
        return str(problem.get("detail") or problem.get("title") or problem)
    except (ValueError, AttributeError):
        return response.text[:200] or response.reason_phrase
