"""How a job stands, for who asks again and again: told anew only where it has changed."""

import json
from dataclasses import dataclass
from typing import Self

from jobs import document, presence
from jobs.line import Line
from jobs.record import Job

SCRIPT = "poll"
_SAME = 1


@dataclass(frozen=True)
class Standing:
    """A job as it stood, and what Redis told of it.

    Every change of a record raises its seq, and a Redis that may have forgotten some, as it has
    started anew, is another life. What a job that waits is told changes without its record.
    """

    job: Job
    life: str
    told: bytes

    @classmethod
    async def of(cls, job_id: str, line: Line, before: Self | None = None) -> Self | None:
        """Return how a job stands now; None where there is no such job.

        Args:
            job_id: the job's id.
            line: where Redis is asked, by the script `poll`.
            before: how the job once stood; the very same is returned where it still does.

        Raises:
            LedgerAway: Redis doesn't answer on that line.
        """
        if before and await line.holds(job_id):
            return before
        by_seq = before and before.job.queue.position is None
        seen = (before.life, str(before.job.seq)) if before and by_seq else ("", "")
        told = await line.ask(job_id, *seen)
        if before and told in (_SAME, before.told):
            return before
        if not isinstance(told, bytes):
            return None
        *found, cards = json.loads(told)
        fields = dict(zip(found[1][::2], found[1][1::2], strict=True))
        return cls(document.job(found, presence.read(cards)), fields["life"], told)
