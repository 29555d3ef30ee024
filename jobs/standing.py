"""How a job stands, for who asks again and again: told anew only where it has changed."""

import json
from dataclasses import dataclass
from typing import Self, cast

from jobs import document
from jobs.line import Line
from jobs.record import Job

SCRIPT = "poll"
_SAME = 1


@dataclass(frozen=True)
class Standing:
    """A job as it stood, and by what Redis knows whether it still does.

    Every change of a record raises its seq, and a Redis that may have forgotten some, as it has
    started anew, is another life.
    """

    job: Job
    life: str
    seq: str

    @classmethod
    async def of(cls, job_id: str, line: Line, before: Self | None = None) -> Self | None:
        """Return how a job stands now; None where only the ledger knows.

        That is: where there is no such job, or it waits in a queue, and what it waits for changes
        without its record.

        Args:
            job_id: the job's id.
            line: where Redis is asked, by the script `poll`.
            before: how the job once stood; the very same is returned where it still does.

        Raises:
            LedgerAway: Redis doesn't answer on that line.
        """
        seen = (before.life, before.seq) if before else ("", "")
        told = await line.ask(job_id, *seen)
        if told == _SAME:
            return before
        if not isinstance(told, bytes):
            return None
        found = json.loads(told)
        fields = dict(zip(found[1][::2], found[1][1::2], strict=True))
        return cls(document.job(found, ()), fields["life"], cast(str, fields["seq"]))
