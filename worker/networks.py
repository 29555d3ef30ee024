"""The networks of a worker: pulled when missing, loaded when asked for, the last few kept warm."""

import logging
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from dream_core.model import Model, Pooling
from dream_core.networks import Network, load_network
from dream_core.weights import PullProgress, ensure

log = logging.getLogger(__name__)

KEPT = 2  # VGG-19 is 80 MB; two let jobs of two models, or of both poolings, take turns


@dataclass(frozen=True)
class Loaded:
    """A network, and what it was made of."""

    model: Model
    modified_ns: int
    network: Network


class Networks:
    """Networks on one device."""

    def __init__(
        self, device: torch.device, report: Callable[[PullProgress], None] | None = None
    ) -> None:
        """Load to `device`; `report` is told how far a pull is."""
        self.device = device
        self._report = report
        self._kept: OrderedDict[tuple[str, Pooling], Loaded] = OrderedDict()

    def get(self, model: Model, folder: Path, pooling: Pooling) -> Network:
        """Return a model's network, as its weights are on disk now.

        Raises:
            WeightsMissing, WeightsCorrupt, ModelRefused: there is none.
        """
        weights = ensure(model, folder, self._report)
        modified_ns = weights.stat().st_mtime_ns
        key = (model.name, pooling)
        kept = self._kept.get(key)
        if kept is None or (kept.model, kept.modified_ns) != (model, modified_ns):
            log.info("loading %s", model.name)
            network = load_network(model, weights, pooling=pooling, device=self.device)
            kept = self._kept[key] = Loaded(model, modified_ns, network)
        self._kept.move_to_end(key)
        while len(self._kept) > KEPT:
            self._kept.popitem(last=False)
        return kept.network
