"""A line to Redis that the event loop talks on by itself, without a thread for each question.

For the one script that is asked far more often than all else. Redis says on the line when a key
changes that the script has read there (CLIENT TRACKING), so where it has said nothing it need not
be asked. Whatever goes wrong here is no more than `LedgerAway`: who asked then asks the ledger,
which tries again and says what is wrong.
"""

import asyncio
import math
import select
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

import redis
from redis.asyncio import ConnectionPool

from jobs.connection import client_url
from jobs.errors import LedgerAway
from jobs.scripts import TRIED_AGAIN_AFTER_S, source
from jobs.settings import Settings

SILENCE_S: Final = 0.5  # then the ledger is asked, which waits longer
# For so long a silent line counts as one on which nothing was to be said: it may be a Redis that
# hangs, or a cable that was cut.
TRUST_S: Final = 1.0
REMEMBERED: Final = 1000  # ids, beyond which all are forgotten

Reply = int | bytes | None


class Line:
    """One connection to the ledger's Redis, and one script that is run on it.

    A connection of redis-py by itself: what its client does around it takes as long again as all
    the rest of an answer (docs/log.md, 'What does an answer cost whose dream hasn't changed?').
    """

    def __init__(self, settings: Settings, script: str) -> None:
        """Run `script`, whose first argument is a job's id, while the line is held."""
        self._settings = settings
        self._source = source(script)
        self._sha = ""
        self._connection: Any = None
        self._turn = asyncio.Lock()
        self._away_until = 0.0
        self._socket = select.poll()
        self._follows = False
        self._told: set[str] = set()  # jobs of which Redis has said nothing since it was asked
        self._asked_at = -math.inf  # when the last question was sent that was answered

    @asynccontextmanager
    async def held(self) -> AsyncIterator[None]:
        """Talk in the loop that runs now; it connects when first asked."""
        pool: Any = ConnectionPool.from_url(client_url(self._settings), protocol=3)
        self._connection = pool.make_connection()
        self._connection.register_connect_callback(self._follow)
        try:
            yield
        finally:
            last, self._connection = self._connection, None
            self.doubt()
            await last.disconnect()

    async def holds(self, job_id: str) -> bool:
        """Whether the last reply on a job is still what would be told, by all that Redis has said.

        What it has said and nobody has read yet may be of this job: then the answer is no.
        """
        up = self._connection
        return (
            self._follows
            and job_id in self._told
            and asyncio.get_running_loop().time() - self._asked_at < TRUST_S
            and not self._turn.locked()
            and up.is_connected
            and not up._writer.is_closing()
            and not self._socket.poll(0)  # what the loop hasn't come to, an end and a reset too
            and not await up.can_read()
        )

    def doubt(self) -> None:
        """Ask again whatever was told, and whatever is being asked: it may have changed."""
        self._told = set()  # who asks just now puts it into the old one

    async def ask(self, job_id: str, *args: str) -> Reply:
        """Run the script; None where it returned false.

        Raises:
            LedgerAway: nobody holds the line, or the script has not run, or nobody knows.
        """
        now = asyncio.get_running_loop().time
        async with self._turn:
            if self._connection is None or now() < self._away_until:
                raise LedgerAway("there is no line to it")
            told, asked_at = self._told, now()
            try:
                async with asyncio.timeout(SILENCE_S):
                    reply = await self._run(job_id, *args)
            except (redis.RedisError, OSError, TimeoutError) as error:
                # Who waits for a turn meanwhile is not kept as long, one after the other.
                self._away_until = now() + TRIED_AGAIN_AFTER_S
                await self._connection.disconnect(nowait=True)
                raise LedgerAway(error) from error
            if len(told) >= REMEMBERED:
                told.clear()
            told.add(job_id)
            self._asked_at = asked_at
            return reply

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

    async def _follow(self, connection: Any) -> None:
        """Have Redis say on a new connection what changes of what is read there."""
        self.doubt()
        self._socket = select.poll()
        self._socket.register(connection._writer.get_extra_info("socket"), select.POLLIN)
        connection._parser.set_invalidation_push_handler(self._hear)
        await connection.send_command("CLIENT", "TRACKING", "ON")
        self._follows = False
        with suppress(redis.ResponseError):  # we aren't allowed to: then it's asked each time
            await connection.read_response()
            self._follows = True

    async def _hear(self, said: Sequence[Any]) -> None:
        """Redis says that keys have changed; None: all of them. It comes before a later reply."""
        for key in said[1] or [b""]:
            kind, _, rest = key.decode().partition(":")
            if kind == "dream":
                self._told.discard(rest.partition(":")[0])
            else:  # what jobs wait for
                self.doubt()
