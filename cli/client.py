"""A client of the HTTP face: what the CLI asks of the service goes through here."""

import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

from cli.errors import DreamFailed, NoSuchPicture, ServiceRefused, ServiceSilent

TIMEOUT_S = 30.0
POLL_EVERY_S = 0.1
ENDINGS = ("succeeded", "failed", "canceled", "expired")


class Service:
    """The dreams of one address. A context manager: it keeps a connection."""

    def __init__(self, url: str, transport: httpx.BaseTransport | None = None) -> None:
        """Speak to the service at `url`, past any proxy that the environment names."""
        self.url = url
        self._http = httpx.Client(
            base_url=url, timeout=TIMEOUT_S, trust_env=False, transport=transport
        )

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

    def post(self, picture: Path, fields: Mapping[str, str]) -> dict[str, Any]:
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
        return _object(self._ask("POST", "/dreams", data=dict(fields), files=files))

    def job(self, job_id: str) -> dict[str, Any]:
        """Return the job as it stands."""
        return _object(self._ask("GET", f"/dreams/{job_id}"))

    def frames(self, job_id: str, after: int | None = None) -> list[dict[str, Any]]:
        """Return the frames past iteration `after`, ascending: all of them, page by page."""
        found: list[dict[str, Any]] = []
        past = "" if after is None else f"?after={after}"
        page: str | None = f"/dreams/{job_id}/frames{past}"
        while page:
            document = _object(self._ask("GET", page))
            found += document["frames"]
            page = document["next"]
        return found

    def picture(self, url: str) -> bytes:
        """Return the bytes of a frame, a source or a result, as linked in a document."""
        return self._ask("GET", url).content

    def follow(self, job_id: str) -> Iterator[dict[str, Any]]:
        """Give the job again and again until it has ended, the ended one last.

        Raises:
            DreamFailed: it ended without a result.
        """
        while True:
            job = self.job(job_id)
            yield job
            if job["status"] in ENDINGS:
                break
            time.sleep(POLL_EVERY_S)
        if job["status"] != "succeeded":
            problem = job["problem"] or {"detail": "no reason given"}
            raise DreamFailed(job_id, job["status"], problem["detail"])

    def _ask(self, method: str, url: str, **more: Any) -> httpx.Response:
        try:
            response = self._http.request(method, url, **more)
        except httpx.TransportError as error:
            raise ServiceSilent(self.url, str(error) or type(error).__name__) from error
        if not response.is_success:
            raise ServiceRefused(response.status_code, _sentence(response))
        return response


def _object(response: httpx.Response) -> dict[str, Any]:
    found: dict[str, Any] = response.json()
    return found


def _sentence(response: httpx.Response) -> str:
    """Return what a refusal says: the problem's detail, else the body's first words."""
    try:
        problem = response.json()
        return str(problem.get("detail") or problem.get("title") or problem)
    except (ValueError, AttributeError):
        return response.text[:200] or response.reason_phrase
