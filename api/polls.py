"""Polls: how a dream stands, asked every second by each who waits for one, at the least cost."""

import re
from collections.abc import Sequence
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.documents import JobDocument
from dream_core.errors import DreamError
from jobs.line import Line
from jobs.standing import Standing

KEPT: Final = 1000  # answers, of 2 kB each; those that were made last
_DREAM: Final = re.compile(r"/dreams/([0-7][0-9A-HJKMNP-TV-Z]{25})")
Headers = Sequence[tuple[bytes, bytes]]


class Polls:
    """Answers such a question itself, with the bytes that it keeps where nothing has changed.

    All else, and what is answered with a problem, the application behind it answers.
    """

    def __init__(self, app: ASGIApp, line: Line, route: object) -> None:
        """Stand before `app`.

        Args:
            app: what answers all else.
            line: where Redis is asked.
            route: of `app`, which answers the same; log and metrics name it.
        """
        self.app = app
        self._line = line
        self._route = route
        self._kept: dict[str, _Answer] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        if scope["method"] != "GET":
            await self._change(scope, receive, send)
            return
        answer = await self._answer(scope)
        if answer is None:
            await self.app(scope, receive, send)
            return
        await send({"type": "http.response.start", "status": 200, "headers": answer.headers})
        await send({"type": "http.response.body", "body": answer.body})

    async def _change(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let it be answered; who sees that it has changed something finds it changed."""

        async def changed(message: Message) -> None:
            self._line.doubt()
            await send(message)

        try:
            await self.app(scope, receive, changed)
        finally:  # what broke is answered further out
            self._line.doubt()

    async def _answer(self, scope: Scope) -> "_Answer | None":
        found = _DREAM.fullmatch(scope["path"])
        if not found or scope["query_string"]:
            return None
        scope["route"] = self._route
        kept = self._kept.get(found[1])
        before = kept.standing if kept else None
        try:
            standing = await Standing.of(found[1], self._line, before)
        except DreamError:
            return None
        if kept and standing is before:
            return kept
        self._kept.pop(found[1], None)
        return self._keep(standing) if standing else None

    def _keep(self, standing: Standing) -> "_Answer":
        answer = self._kept[standing.job.id] = _Answer(standing)
        if len(self._kept) > KEPT:
            del self._kept[next(iter(self._kept))]
        return answer


class _Answer:
    """What is answered while a dream stands so."""

    def __init__(self, standing: Standing) -> None:
        self.standing = standing
        self.body = JobDocument.of(standing.job).model_dump_json().encode()
        self.headers: Headers = (
            (b"content-length", str(len(self.body)).encode()),
            (b"content-type", b"application/json"),
        )
