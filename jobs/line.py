"""A line to Redis that the event loop talks on by itself, without a thread for each question.

For the one script that is asked far more often than all else. Whatever goes wrong here is no more
than `LedgerAway`: who asked then asks the ledger, which tries again and says what is wrong.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.commands.core import AsyncScript

from jobs.connection import client_url
from jobs.errors import LedgerAway
from jobs.scripts import source
from jobs.settings import Settings

SILENCE_S: Final = 0.5  # then the ledger is asked, which waits longer

Reply = int | bytes | None


class Line:
    """Connections to the ledger's Redis, and one script that is run on them."""

    def __init__(self, settings: Settings, script: str) -> None:
        """Run `script` while the line is held."""
        self._settings = settings
        self._source = source(script)
        self._script: AsyncScript | None = None

    @asynccontextmanager
    async def held(self) -> AsyncIterator[None]:
        """Talk in the loop that runs now; it connects when first asked."""
        client: redis.asyncio.Redis = redis.asyncio.Redis.from_url(
            client_url(self._settings),
            socket_timeout=SILENCE_S,
            socket_connect_timeout=SILENCE_S,
            retry=Retry(NoBackoff(), 0),
        )
        self._script = client.register_script(self._source)
        try:
            yield
        finally:
            self._script = None
            await client.aclose()

    async def ask(self, *args: str) -> Reply:
        """Run the script; None where it returned false.

        Raises:
            LedgerAway: nobody holds the line, or the script has not run, or nobody knows.
        """
        if self._script is None:
            raise LedgerAway("there is no line to it")
        try:
            reply: Reply = await self._script(args=args)
        except redis.RedisError as error:
            raise LedgerAway(error) from error
        return reply
