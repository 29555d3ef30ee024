"""A line to Redis that the event loop talks on by itself, without a thread for each question.

For the one script that is asked far more often than all else. Whatever goes wrong here is no more
than `LedgerAway`: who asked then asks the ledger, which tries again and says what is wrong.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

import redis
from redis.asyncio import ConnectionPool

from jobs.connection import client_url
from jobs.errors import LedgerAway
from jobs.scripts import TRIED_AGAIN_AFTER_S, source
from jobs.settings import Settings

SILENCE_S: Final = 0.5  # then the ledger is asked, which waits longer

Reply = int | bytes | None


class Line:
    """One connection to the ledger's Redis, and one script that is run on it.

    A connection of redis-py by itself: what its client does around it takes as long again as all
    the rest of an answer (docs/log.md, 'What does an answer cost whose dream hasn't changed?').
    """

    def __init__(self, settings: Settings, script: str) -> None:
        """Run `script` while the line is held."""
        self._settings = settings
        self._source = source(script)
        self._sha = ""
        self._connection: Any = None
        self._turn = asyncio.Lock()
        self._away_until = 0.0

    @asynccontextmanager
    async def held(self) -> AsyncIterator[None]:
        """Talk in the loop that runs now; it connects when first asked."""
        pool: Any = ConnectionPool.from_url(client_url(self._settings))
        self._connection = pool.make_connection()
        try:
            yield
        finally:
            last, self._connection = self._connection, None
            await last.disconnect()

    async def ask(self, *args: str) -> Reply:
        """Run the script; None where it returned false.

        Raises:
            LedgerAway: nobody holds the line, or the script has not run, or nobody knows.
        """
        now = asyncio.get_running_loop().time
        async with self._turn:
            if self._connection is None or now() < self._away_until:
                raise LedgerAway("there is no line to it")
            try:
                async with asyncio.timeout(SILENCE_S):
                    return await self._run(*args)
            except (redis.RedisError, OSError, TimeoutError) as error:
                # Who waits for a turn meanwhile is not kept as long, one after the other.
                self._away_until = now() + TRIED_AGAIN_AFTER_S
                await self._connection.disconnect(nowait=True)
                raise LedgerAway(error) from error

    async def _run(self, *args: str) -> Reply:
        if self._sha:
            with suppress(redis.exceptions.NoScriptError):  # it started anew, or was told to forget
                return await self._say("EVALSHA", self._sha, 0, *args)
        told = await self._say("SCRIPT LOAD", self._source)
        assert isinstance(told, bytes)  # noqa: S101 (so Redis says)
        self._sha = told.decode()
        return await self._say("EVALSHA", self._sha, 0, *args)

    async def _say(self, *words: str | int) -> Reply:
        await self._connection.send_command(*words)  # which connects first where it has to
        reply: Reply = await self._connection.read_response()
        return reply
