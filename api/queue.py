"""The queue: what waits and runs, and a pause for maintenance."""

from fastapi import APIRouter

from api.dependencies import LedgerDep, NoFields
from api.openapi import FORM_ERRORS, problems
from jobs.backlog import QueueState
from jobs.errors import LedgerAway

router = APIRouter(prefix="/queue", tags=["queue"])


@router.get("", responses=problems(LedgerAway))
def read_queue(ledger: LedgerDep) -> QueueState:
    """Tell what waits and runs, and who is there to run it."""
    return ledger.queue()


@router.post("/pause", responses=problems(*FORM_ERRORS, LedgerAway))
def pause_queue(ledger: LedgerDep, _: NoFields) -> QueueState:
    """Start no more dreams: those that run go on, and new ones are still taken.

    Idempotent; it holds until it is resumed, whatever is started anew meanwhile.
    """
    return ledger.pause()


@router.post("/resume", responses=problems(*FORM_ERRORS, LedgerAway))
def resume_queue(ledger: LedgerDep, _: NoFields) -> QueueState:
    """Start dreams again; idempotent."""
    return ledger.resume()
