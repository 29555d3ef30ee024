"""Moves that may end a job, past a Redis that may have forgotten frames of it."""

from typing import Any

from jobs.scripts import Scripts
from jobs.store import Store

_FORGETFUL = "forgetful"


def move(scripts: Scripts, store: Store, name: str, job_id: str, *args: str | int) -> Any:
    """Run a script that may end a job; return what it answers.

    What Redis doesn't know of a job when it ends goes from the disk. So a Redis that has started
    anew since it last knew the job whole ends nothing: it is told of the frames on disk first.

    Raises:
        StoreFault: the disk doesn't give them.
        and all that `Scripts.run` raises.
    """
    while True:
        answer = scripts.run(name, job_id, *args)
        if not isinstance(answer, list) or answer[0] != _FORGETFUL:
            return answer
        pairs = [part for pair in store.found(job_id) for part in pair]
        scripts.run("recall", job_id, answer[1], *pairs)
