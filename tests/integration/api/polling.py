"""Polls on a line of their own, asked by tests without a server around them."""

import asyncio
import json
import socket
import struct
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from typing import Any

import redis
from anyio.from_thread import BlockingPortal, start_blocking_portal
from starlette.types import Message, Receive, Scope, Send

from api.polls import Polls
from dream_core.spec import DreamSpec
from jobs.claim import Claim
from jobs.errors import LedgerAway
from jobs.ledger import Ledger
from jobs.line import Line
from jobs.settings import Settings
from jobs.standing import SCRIPT
from jobs.store import Picture

ROUTE = object()


class Asked:
    """Polls on a loop that runs all the time, as a server's does; None: passed on."""

    def __init__(self, portal: BlockingPortal, line: Line) -> None:
        self._portal = portal
        self._line = line
        self.polls = Polls(self._pass_on, line, ROUTE)

    async def _pass_on(self, scope: Scope, receive: Receive, send: Send) -> None:
        pass

    async def _ask(self, scope: Scope) -> list[Message]:
        sent: list[Message] = []

        async def receive() -> Message:
            raise AssertionError("the body was asked for")

        async def send(message: Message) -> None:
            sent.append(message)

        await self.polls(scope, receive, send)
        return sent

    async def _connect(self) -> None:
        while True:
            try:
                await self._line.ask("", "", "")
                return
            except LedgerAway:
                await asyncio.sleep(0.01)

    def connect(self) -> None:
        """Wait until Redis is reached again."""
        self._portal.call(self._connect)

    def turn(self) -> None:
        """Let the loop come to all that has happened to its sockets, and to what follows."""
        for _ in range(3):
            self._portal.call(asyncio.sleep, 0)

    def begin(self, path: str, method: str = "GET", query: bytes = b"") -> Future[list[Message]]:
        """Ask, and wait for no answer."""
        return self._portal.start_task_soon(self._ask, asking_for(path, method, query))

    def messages(self, path: str, method: str = "GET", query: bytes = b"") -> list[Message]:
        """What is sent in answer."""
        return self._portal.call(self._ask, asking_for(path, method, query))

    def document(self, job_id: str) -> Any:
        """How a dream stands."""
        sent = self.messages(f"/dreams/{job_id}")
        return json.loads(sent[1]["body"]) if sent else None


def asking_for(path: str, method: str = "GET", query: bytes = b"") -> Scope:
    """What a server makes of a request."""
    return {"type": "http", "method": method, "path": path, "query_string": query}


@contextmanager
def asking(settings: Settings) -> Iterator[Asked]:
    """Polls on a line of their own, which is up; on leaving it is cut."""
    line = Line(settings, SCRIPT)
    with start_blocking_portal() as portal:
        asked = Asked(portal, line)
        with portal.wrap_async_context_manager(line.held()):
            asked.connect()
            yield asked


def running(ledger: Ledger, picture: Picture) -> Claim:
    """A claim of a new job that runs."""
    claim = ledger.claim(ledger.accept(DreamSpec(iterations=20), picture).id, "host:0")
    assert claim is not None
    return claim


def calls(client: redis.Redis, command: str) -> int:
    """How often Redis was given a command, by whomever."""
    told = client.info("commandstats")
    return int(told.get(f"cmdstat_{command}", {"calls": 0})["calls"])  # type: ignore[union-attr]


def settle(client: redis.Redis) -> None:
    """Wait until Redis has told everyone what it has done: it writes before it reads on."""
    client.ping()


class Relay:
    """A port in front of a server's socket, whose connections can be cut."""

    def __init__(self, portal: BlockingPortal, there: str) -> None:
        self.url = ""
        self._portal = portal
        self._there = there
        self._here = set[asyncio.StreamWriter]()

    async def serve(self) -> asyncio.Server:
        """Pass on what comes on a free port."""
        server = await asyncio.start_server(self._connect, "127.0.0.1", 0)
        self.url = f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}/0"
        return server

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._here.add(writer)
        there = await asyncio.open_unix_connection(self._there)
        with suppress(ConnectionError):
            await asyncio.gather(self._pass(reader, there[1]), self._pass(there[0], writer))

    @staticmethod
    async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while told := await reader.read(65_536):
            writer.write(told)
        writer.close()

    async def _cut(self, reset: bool) -> None:
        while self._here:
            writer = self._here.pop()
            if reset:
                lingering = struct.pack("ii", 1, 0)  # for 0 s: what is unsent is dropped
                own = writer.get_extra_info("socket")
                own.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, lingering)
            writer.close()
            await writer.wait_closed()

    def cut(self, *, reset: bool) -> None:
        """End every connection, as one does or as a firewall does."""
        self._portal.call(self._cut, reset)


@contextmanager
def relayed(there: str) -> Iterator[Relay]:
    """A port in front of the server whose socket is `there`."""
    with start_blocking_portal() as portal:
        relay = Relay(portal, there)
        server = portal.call(relay.serve)
        try:
            yield relay
        finally:
            relay.cut(reset=False)
            portal.call(server.close)
