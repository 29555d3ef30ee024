"""A line to Redis that the event loop talks on by itself, without a thread for each question.

For the one script that is asked far more often than all else. Whatever goes wrong here is no more
than `LedgerAway`: who asked then asks the ledger, which tries again and says what is wrong.
"""

import asyncio
import logging
from collections import deque
from typing import Any, Final, cast

from redis.asyncio import ConnectionPool
from redis.asyncio.connection import Connection, SSLConnection, UnixDomainSocketConnection

from jobs.connection import client_url
from jobs.errors import LedgerAway
from jobs.scripts import TRIED_AGAIN_AFTER_S, source
from jobs.settings import Settings

log = logging.getLogger(__name__)

# Then the ledger is asked, which waits longer; up to twice as long where others are asking too.
SILENCE_S: Final = 0.5

Reply = int | bytes | None


class Line:
    """One connection to the ledger's Redis, and one script that is run on it."""

    def __init__(self, settings: Settings, script: str) -> None:
        """Run `script` once there is a connection: `hold` makes it."""
        self._settings = settings
        self._script = script
        self._talk: _Talk | None = None
        self._sha = ""

    async def hold(self) -> None:
        """Be connected, until canceled; a connection that is lost is made anew."""
        while True:
            try:
                async with asyncio.timeout(SILENCE_S):
                    self._talk = await self._connect()
                await self._talk.ended
            except (OSError, TimeoutError, LedgerAway) as error:
                log.debug("no line to Redis: %s", error)
            finally:
                if self._talk:
                    self._talk.hang_up()
                self._talk = None
            await asyncio.sleep(TRIED_AGAIN_AFTER_S)

    async def ask(self, *args: str) -> Reply:
        """Run the script; None where it returned false.

        Raises:
            LedgerAway: there is no connection now, or the script has not run, or nobody knows.
        """
        talk = self._talk
        if talk is None:
            raise LedgerAway("there is no line to it")
        return await talk.ask("EVALSHA", self._sha, "0", *args)

    async def _connect(self) -> "_Talk":
        place = _place(self._settings)
        loop = asyncio.get_running_loop()
        if isinstance(place, UnixDomainSocketConnection):
            _, talk = await loop.create_unix_connection(_Talk, place.path)
        else:
            tls = place.ssl_context.get() if isinstance(place, SSLConnection) else None
            _, talk = await loop.create_connection(_Talk, place.host, int(place.port), ssl=tls)
        try:
            if place.password:
                await talk.ask("AUTH", place.username or "default", place.password)
            if place.db:
                await talk.ask("SELECT", str(place.db))
            self._sha = cast(bytes, await talk.ask("SCRIPT", "LOAD", source(self._script))).decode()
        except BaseException:
            talk.hang_up()
            raise
        return talk


def _place(settings: Settings) -> UnixDomainSocketConnection | Connection:
    """Return where Redis is and how it is entered, as redis-py reads the URL; not connected."""
    pool: Any = ConnectionPool.from_url(client_url(settings))
    return cast("UnixDomainSocketConnection | Connection", pool.make_connection())


class _Talk(asyncio.Protocol):
    """One connection: questions go out as they come, and are answered in that order."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.ended: asyncio.Future[None] = self._loop.create_future()
        self._transport: asyncio.Transport | None = None
        self._asked = deque[asyncio.Future[Reply]]()
        self._come = b""
        self._answers = 0
        self._watched = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        for answer in self._asked:
            if not answer.done():
                answer.set_exception(LedgerAway(exc or "it hung up"))
        self._asked.clear()
        if not self.ended.done():
            self.ended.set_result(None)

    def hang_up(self) -> None:
        """Close the connection; who waits for an answer hears that there is none."""
        if self._transport:
            self._transport.abort()

    def _watch(self, answers: int) -> None:
        """Hang up where nothing was answered since there were so many; one timer for all."""
        if answers == self._answers and self._asked:
            self.hang_up()
        self._watched = bool(self._asked)
        if self._watched:
            self._loop.call_later(SILENCE_S, self._watch, self._answers)

    async def ask(self, *words: str) -> Reply:
        """Send a command; return its answer.

        Raises:
            LedgerAway: it was refused, or the connection is lost.
        """
        if self._transport is None:
            raise LedgerAway("it hung up")
        parts = [f"${len(word)}\r\n".encode() + word + b"\r\n" for word in map(str.encode, words)]
        answer: asyncio.Future[Reply] = self._loop.create_future()
        self._asked.append(answer)
        if not self._watched:
            self._watch(-1)
        self._transport.write(f"*{len(parts)}\r\n".encode() + b"".join(parts))
        return await answer

    def data_received(self, data: bytes) -> None:
        self._come += data
        while (end := self._come.find(b"\r\n")) >= 0:
            kind, told, after = self._come[:1], self._come[1:end], end + 2
            if kind == b"$" and told != b"-1":
                told, after = self._come[after : after + int(told)], after + int(told) + 2
                if len(self._come) < after:
                    return
            self._come = self._come[after:]
            self._answered(kind, told)

    def _answered(self, kind: bytes, told: bytes) -> None:
        answer = self._asked.popleft()
        self._answers += 1
        if answer.done():  # who asked has gone
            return
        if kind == b"-":
            if told.startswith(b"NOSCRIPT"):  # it was told to forget them: told again on a new line
                self.hang_up()
            answer.set_exception(LedgerAway(told.decode()))
        elif kind == b":":
            answer.set_result(int(told))
        else:
            answer.set_result(None if (kind, told) == (b"$", b"-1") else told)
