"""From a claimed job to a dream that can be stepped: its picture, its network, its plan."""

import logging
from importlib.metadata import PackageNotFoundError, version

import torch

from dream_core.catalogue import Catalogue
from dream_core.dream import Dream
from dream_core.errors import DreamError
from dream_core.executors.plan import Plan
from dream_core.picture.read import read
from dream_core.picture.source import working_source
from dream_core.spec import DreamSpec
from jobs.claim import Claim
from jobs.record import Run
from jobs.store import Store
from worker.checkpoint import resume
from worker.dreamer import Prepared
from worker.networks import Networks

log = logging.getLogger(__name__)


class Preparer:
    """Builds dreams on the device of its networks."""

    def __init__(self, store: Store, networks: Networks) -> None:
        """Take pictures from `store` and networks from `networks`."""
        self._store = store
        self._networks = networks
        self._threads = torch.get_num_threads()

    def __call__(self, claim: Claim, spec: DreamSpec, catalogue: Catalogue) -> Prepared:
        """Return the claimed dream.

        Raises:
            WeightsMissing, WeightsCorrupt, ModelRefused: there is no network to dream with.
            NothingToSee, PictureRefused, StoreFault: there is no picture to dream on.
        """
        network = self._networks.get(catalogue[spec.model], catalogue.folder, spec.pooling)
        picture = read(self._store.read_source(claim.job.id))
        height, width = spec.working_size(picture.height, picture.width)
        source, alpha = working_source(picture, (height, width), spec.resampler)
        dream = Dream(source, spec, network=network, plan=self._plan(claim))
        resumed = resume(dream, dream.plan.as_dict(), self._store.checkpoints(claim.job.id))
        if resumed is not None:
            log.info("going on from iteration %d", resumed)
        run = Run(
            width=width,
            height=height,
            device=dream.plan.device,
            plan=dream.plan.as_dict(),
            versions=versions(),
        )
        return Prepared(dream, alpha, run)

    def _plan(self, claim: Claim) -> Plan:
        """Return the plan that the dream began under, or a new one where it can't be had here."""
        torch.set_num_threads(self._threads)  # the dream before may have had a plan of its own
        new = Plan.make(self._networks.device, torch.float32)
        if claim.job.run is None:
            return new
        try:
            plan = Plan(**claim.job.run.plan)
            plan.check_here()
        except (DreamError, TypeError) as error:
            log.warning("the dream goes on under a new plan: %s", error)
            return new
        return plan if plan.device == new.device else new


def versions() -> dict[str, str]:
    """Return what decides the bits beside the plan: ours and torch's version."""
    try:
        ours = version("torch-inception")
    except PackageNotFoundError:  # run from a folder that isn't installed
        ours = "unknown"
    return {"torch_inception": ours, "torch": torch.__version__}
