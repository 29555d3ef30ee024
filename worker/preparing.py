"""From a claimed job to a dream that can be stepped: its picture, its network, its plan."""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from dream_core.catalogue import Catalogue
from dream_core.costs import Costs
from dream_core.dream import Dream
from dream_core.errors import DreamError
from dream_core.executors.memory import free_bytes
from dream_core.executors.plan import Plan
from dream_core.executors.probe import Probe
from dream_core.forms.choice import work
from dream_core.forms.memory import predicted_bytes
from dream_core.model import Model
from dream_core.spec import DreamSpec
from dream_core.version import version
from jobs.claim import Claim
from jobs.disk import frames_kept
from jobs.record import Run
from jobs.store import Store
from worker.checkpoint import resume, states
from worker.dreamer import Prepared
from worker.networks import Networks
from worker.smaller import too_large
from worker.sources import Sources

log = logging.getLogger(__name__)


class Preparer:
    """Builds dreams on the device of its networks."""

    def __init__(
        self, store: Store, networks: Networks, probe: Probe, sources: Sources | None = None
    ) -> None:
        """Take states from `store`, networks from `networks`, and run them as `probe` says.

        Pictures are those of `sources`, by default decoded from `store` when they are asked for.
        """
        self._store = store
        self._sources = sources or Sources(store)
        self._networks = networks
        self._probe = probe
        self._threads = torch.get_num_threads()

    def __call__(
        self,
        claim: Claim,
        spec: DreamSpec,
        catalogue: Catalogue,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> Prepared:
        """Return the claimed dream; how it will be run is in the record by then.

        Raises:
            Interrupted: `should_stop` said so, between two parts of the picture.
            MemoryExceeded: it fits into what is free now in no form.
            WeightsMissing, WeightsCorrupt, ModelRefused: there is no network to dream with.
            NothingToSee, PictureRefused, StoreFault: there is no picture to dream on.
        """
        model, job_id = catalogue[spec.model], claim.job.id
        network = self._networks.get(model, catalogue.folder, spec.pooling)
        source, alpha = self._sources.take(job_id, spec)
        size = (source.shape[1], source.shape[2])
        start = self._store.start(job_id)
        own = self._store.checkpoints(job_id)
        files = [*own, *([start.path] if start else [])]
        begun = _begun_under(claim, files)
        plan = self._plan(begun, model, spec, size)
        run = self._run(model, spec, size, plan)
        # Who runs out of memory on a CPU is mostly killed, without a word. Once there is a state,
        # its plan has shown that it fits, and the later frames are promised in its bits: then one
        # that is killed is tried so once more.
        if claim.lost > bool(own) and too_large(run):
            before, plan = plan, plan.fitted(model, spec, size)
            run = self._run(model, spec, size, plan)
            claim.tell("out-of-memory", form=str(before.form), next=str(plan.form))
            begun = run.plan
        claim.begin(run)  # before the first byte is taken: a system out of memory gives no warning
        began = time.monotonic()
        dream = Dream(source, spec, network=network, plan=plan, should_stop=should_stop)
        took_s = time.monotonic() - began
        del source  # of 40 megapixels 0.5 GB, and a state is three times as large
        resumed = resume(dream, plan.as_dict(), states(files))
        if resumed is not None:
            log.info("going on from iteration %d", dream.iteration)
        _tell_of_plan(claim, begun if resumed is None else resumed, plan)
        looked_s = took_s if dream.looked else 0.0
        return Prepared(dream, alpha, run, start.iteration if start else 0, looked_s)

    def _plan(
        self, begun: Mapping[str, Any] | None, model: Model, spec: DreamSpec, size: tuple[int, int]
    ) -> Plan:
        """Return the plan that the dream began under, or a new one where it can't be had here."""
        torch.set_num_threads(self._threads)  # the dream before may have had a plan of its own
        try:
            if begun is not None:
                plan = Plan(**begun)
                plan.check_here()
                if plan.device == str(self._networks.device):
                    return plan
        except (DreamError, TypeError) as error:
            log.warning("the dream goes on under a new plan: %s", error)
        device = self._networks.device
        asked = begun.get("precision", "exact") if begun else spec.precision
        new = Plan.make(device, torch.float32, self._probe.way(device, asked))
        return new.fitted(model, spec, size)

    def _run(self, model: Model, spec: DreamSpec, size: tuple[int, int], plan: Plan) -> Run:
        height, width = size
        frames = frames_kept(0, spec.iterations, spec.save_every)
        return Run(
            width=width,
            height=height,
            device=plan.device,
            plan=plan.as_dict(),
            versions=versions(),
            predicted_bytes=predicted_bytes(model, spec, size, plan.form, plan.storage),
            free_bytes=free_bytes(plan.device),
            multiply_adds=work(model, spec, size, plan.form, plan.storage),
            costs=Costs.of(model, spec, size, plan.form, storage=plan.storage, frames=frames),
        )


def _begun_under(claim: Claim, files: Sequence[Path]) -> Mapping[str, Any] | None:
    """Return the plan of the record; where it has none yet, or no more, that of the last state."""
    if claim.job.run is not None:
        return claim.job.run.plan
    return next((state.get("plan") for state in states(files)), None)


def _tell_of_plan(claim: Claim, before: Mapping[str, Any] | None, plan: Plan) -> None:
    """Add an event where later frames may differ from those of a dream that went on undisturbed."""
    now = plan.as_dict()
    if before is not None and before != now:
        changed = {name: f"{before.get(name)} → {now[name]}" for name in now}
        claim.tell(
            "plan-changed",
            **{name: told for name, told in changed.items() if before.get(name) != now[name]},
        )


def versions() -> dict[str, str]:
    """Return what decides the bits beside the plan: ours and torch's version."""
    return {"torch_inception": version(), "torch": torch.__version__}
