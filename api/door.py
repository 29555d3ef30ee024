"""The door: who may ask at all, answered before a route is looked for or a body is read.

With a key, whoever sends it may. Without one only this machine reaches us, and what has to be kept
out are web pages in its browser: those under a foreign name that was pointed here (Host), and those
from elsewhere (Origin, Sec-Fetch-Site).
"""

from collections.abc import Collection
from functools import lru_cache
from hashlib import sha256
from hmac import compare_digest
from typing import Final

from pydantic import SecretStr
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from api import problems
from api.errors import ForeignHost, ForeignOrigin, Unauthorized
from dream_core.errors import DreamError
from jobs.door import host_of, loopback

# Who watches a container, or balances a load, has no key and names the host as it likes.
ALIVE: Final = "/healthz"
# The same on every server, and what a browser asks before anybody could give it the key.
PAGES: Final = frozenset({"/", "/docs", "/openapi.json"})
ASSETS: Final = ("/static/", "/problems/")


def asks_key(path: str) -> bool:
    """Whether that address asks for the key, where there is one: all do that aren't named here."""
    return path != ALIVE and path not in PAGES and not path.startswith(ASSETS)


class Door:
    """Answers 401, 403 or 421 in place of the application, or lets it answer."""

    def __init__(
        self,
        app: ASGIApp,
        key: SecretStr | None,
        hosts: Collection[str] = (),
        origins: Collection[str] = (),
    ) -> None:
        """Stand before `app`.

        Args:
            app: what is behind the door.
            key: what must be sent; None leaves the door open to this machine.
            hosts: names that a request may be addressed to, beside those of loopback.
            origins: of web pages elsewhere that may ask.
        """
        self.app = app
        self._key = sha256(key.get_secret_value().encode()).digest() if key else None
        self._hosts = frozenset(hosts)
        self._origins = frozenset(origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request in, or refuse it."""
        if scope["type"] != "lifespan":
            try:
                self._check(scope)
            except DreamError as error:
                await problems.of(error)(scope, receive, send)
                return
        await self.app(scope, receive, send)

    def _check(self, scope: Scope) -> None:
        headers = Headers(scope=scope)
        if scope["path"] == ALIVE:
            return
        if self._key is None or self._hosts:
            self._check_host(headers)
        if self._key is None:
            self._check_origin(scope, headers)
        elif asks_key(scope["path"]):
            self._check_key(headers, self._key)

    def _check_host(self, headers: Headers) -> None:
        sent = ", ".join(headers.getlist("host"))
        if not _names_us(sent, self._hosts):
            raise ForeignHost(sent)

    def _check_origin(self, scope: Scope, headers: Headers) -> None:
        if "origin" in headers:
            sent = ", ".join(headers.getlist("origin"))
            host = headers["host"].lower()
            if sent.lower() not in {f"http://{host}", f"https://{host}", *self._origins}:
                raise ForeignOrigin(sent)
        elif not _from_here(headers) and not _follows_link(scope, headers):
            raise ForeignOrigin(None)

    @staticmethod
    def _check_key(headers: Headers, key: bytes) -> None:
        sent = ", ".join(headers.getlist("authorization"))
        scheme, _, word = sent.partition(" ")
        # Digests: of one length, so that not even the key's own can be measured.
        right = compare_digest(sha256(word.strip().encode()).digest(), key)
        if scheme.lower() != "bearer" or not right:
            raise Unauthorized(sent=bool(sent))


@lru_cache(maxsize=16)  # all who ask name one of a few
def _names_us(sent: str, hosts: frozenset[str]) -> bool:
    """Whether a Host header names this machine, or is one of `hosts`."""
    name = host_of(sent)
    return name is not None and (loopback(name) or name in hosts)


def _from_here(headers: Headers) -> bool:
    """Whether it is one of our own pages that asks, a person, or a program that is no browser."""
    return headers.get("sec-fetch-site", "none") in ("none", "same-origin")


def _follows_link(scope: Scope, headers: Headers) -> bool:
    """Whether somebody follows a link to us: the page that has it sees nothing of what we show."""
    asked = headers.get("sec-fetch-mode"), headers.get("sec-fetch-dest")
    return scope.get("method") in ("GET", "HEAD") and asked == ("navigate", "document")
