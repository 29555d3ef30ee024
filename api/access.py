"""One line of the log and one count for each request, under an id that all its lines carry."""

import asyncio
import logging
import re
import time
from typing import Final
from urllib.parse import quote

from starlette.types import ASGIApp, Message, Receive, Scope, Send
from ulid import ULID

from api.metrics import Metrics
from dream_core.errors import DreamError
from jobs import logs

log = logging.getLogger(__name__)

REQUEST_ID: Final = "X-Request-ID"
# Asked every few seconds for ever: in the log only at `debug`, or when they break.
PROBES: Final = ("/healthz", "/readyz", "/metrics")
# Asked every second by each who waits for a dream: the same, where it could be told how it stands.
POLL: Final = "/dreams/{id}"
METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
LONGEST_PATH: Final = 200
CUT_OFF: Final = 499  # nginx' number for a client, or a stop, that was sooner than the answer
NO_ROUTE: Final = "none"
_REQUEST_ID: Final = REQUEST_ID.lower().encode()  # as ASGI has the names of headers
_SANE = re.compile(rb"[A-Za-z0-9._-]{1,64}")
_JOB = re.compile(r"/dreams/([0-7][0-9A-HJKMNP-TV-Z]{25})(?:/|$)")


class Access:
    """Sees every request first and its answer last."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        """Wrap `app`; count in `metrics`."""
        self.app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        answer = _Answer(scope, send)
        # For as long as this request's task lives: a broken one is reported after we are left.
        logs.bind(request=answer.request)
        self._metrics.in_flight.inc()
        try:
            await self.app(scope, receive, answer.send)
        except asyncio.CancelledError:
            answer.status = answer.status or CUT_OFF
            raise
        except Exception:
            answer.status, answer.problem = 500, DreamError.code
            raise
        finally:
            self._metrics.in_flight.dec()
            self._tell(answer)

    def _tell(self, answer: "_Answer") -> None:
        seconds = time.perf_counter() - answer.began
        method = answer.method if answer.method in METHODS else "other"
        status = answer.status or CUT_OFF
        self._metrics.answered(method, answer.route, status, seconds, answer.problem)
        quiet = answer.route in PROBES or (answer.route == POLL and status == 200)
        level = logging.DEBUG if quiet else logging.INFO
        answer.tell(logging.WARNING if status == 500 else level, status, seconds)


class _Answer:
    """What is known of a request and its answer."""

    def __init__(self, scope: Scope, send: Send) -> None:
        self._scope = scope
        self._send = send
        self.began = time.perf_counter()
        given = next((value for name, value in scope["headers"] if name == _REQUEST_ID), b"")
        self.request = given.decode() if _SANE.fullmatch(given) else str(ULID())
        self.method: str = scope["method"]
        self.status = 0
        self.bytes = 0
        self.problem: str | None = None
        self._location = ""

    async def send(self, message: Message) -> None:
        """Pass a part of the answer on, the first with the id."""
        if message["type"] == "http.response.start":
            headers = message["headers"] = [
                *message.get("headers", ()),
                (_REQUEST_ID, self.request.encode()),
            ]
            self.status = message["status"]
            self._location = dict(headers).get(b"location", b"").decode("latin-1")
            self.problem = logs.bound_now().get("problem")
        elif message["type"] == "http.response.body":
            self.bytes += len(message.get("body", b""))
        await self._send(message)

    @property
    def route(self) -> str:
        """The template of the route that answered; an address that is none's doesn't count."""
        path: str = getattr(self._scope.get("route"), "path", NO_ROUTE)
        return path

    def tell(self, level: int, status: int, seconds: float) -> None:
        """Log it: no query and no header, as either may hold what nobody else should know."""
        if not log.isEnabledFor(level):
            return
        # Quoted and cut short: it is whatever somebody sent.
        path = quote(self._scope["path"])[:LONGEST_PATH]
        client = (self._scope.get("client") or ("",))[0]
        ms = round(seconds * 1000, 1)
        job = _JOB.search(path) or _JOB.search(self._location)
        fields = {
            "method": self.method,
            "path": path,
            "route": self.route,
            "status": status,
            "ms": ms,
            "bytes": self.bytes,
            "client": client,
            **({"job": job[1]} if job else {}),
        }
        log.log(
            level,
            "%s %s %d, %g ms, %d bytes to %s",
            *(self.method, path, status, ms, self.bytes, client),
            extra={"fields": fields},
        )
