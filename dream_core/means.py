"""Means: what a dream is computed with, where nobody has brought it: plan, network and stream."""

import torch

from dream_core.ahead import Stream
from dream_core.catalogue import Catalogue
from dream_core.errors import WeightsMissing
from dream_core.executors.cuda import CudaStream
from dream_core.executors.device import check_dtype, resolve_device
from dream_core.executors.plan import Plan
from dream_core.executors.probe import Probe
from dream_core.networks import Network, load_network
from dream_core.spec import DreamSpec


def new_plan(
    network: Network | None,
    device: str | torch.device | None,
    dtype: torch.dtype | None,
    probe: Probe,
    spec: DreamSpec,
) -> Plan:
    """Return a new plan: what is asked for, else what the network has, else float32 on the CPU."""
    place = network.device if network and device is None else resolve_device(device or "cpu")
    dtype = dtype or (network.dtype if network else torch.float32)
    check_dtype(place, dtype)
    # Who asks for float64 wants the bits, whatever the probe would take for `auto`.
    by_itself = spec.precision == "auto" and dtype == torch.float64
    return Plan.make(place, dtype, probe.way(place, "exact" if by_itself else spec.precision))


def new_stream(plan: Plan) -> Stream | None:
    """Return what iterations run on beside us, where a device has that."""
    return CudaStream(torch.device(plan.device)) if plan.device.startswith("cuda") else None


def load(spec: DreamSpec, plan: Plan) -> Network:
    """Return the spec's model from the models' folder."""
    catalogue = Catalogue.load()
    model = catalogue[spec.model]
    weights = catalogue.weights(spec.model)
    if not weights.exists():
        raise WeightsMissing(model.name, weights.parent, f"run `dream models pull {model.name}`")
    return load_network(
        model,
        weights,
        pooling=spec.pooling,
        device=plan.device,
        dtype=plan.torch_dtype,
    )


def check_network(network: Network, spec: DreamSpec, plan: Plan) -> None:
    """Refuse a network that would dream something else than the spec and plan say."""
    pairs = {
        "model": (network.model.name, spec.model),
        "pooling": (network.pooling, spec.pooling),
        "device": (network.device, torch.device(plan.device)),
        "dtype": (network.dtype, plan.torch_dtype),
    }
    for what, (has, asked) in pairs.items():
        if has != asked:
            raise ValueError(f"the network has {what} {has}, the dream asks for {asked}")
