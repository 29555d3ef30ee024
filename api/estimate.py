"""Estimate: what a dream would cost, before it is posted."""

from fastapi import APIRouter

from api.dependencies import CatalogueDep, LedgerDep, SizedTermsForm, SizeForm, SpecForSize
from api.dreams import ASKED_FOR_WRONGLY
from api.openapi import ESTIMATE_FORM, problems
from jobs.errors import LedgerAway
from jobs.estimate import Estimate

router = APIRouter(prefix="/estimate", tags=["dreams"])


@router.post(
    "",
    openapi_extra=ESTIMATE_FORM,
    responses=problems(*ASKED_FOR_WRONGLY, LedgerAway),
)
def estimate_dream(
    *,
    spec: SpecForSize,
    terms: SizedTermsForm,
    picture: SizeForm,
    catalogue: CatalogueDep,
    ledger: LedgerDep,
) -> Estimate:
    """Tell what a dream would cost: time, memory, disk; nothing is accepted.

    The form of POST /dreams, where `width` and `height` of the source may stand in place of
    `image`. Of a picture only the header is read.
    """
    return ledger.estimate(spec, catalogue[spec.model], picture, queue=terms.queue)
