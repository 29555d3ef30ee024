"""Dream: a picture follows what a network is asked to see in it, step by step.

The whole loop, to be read from top to bottom: look at the picture, ask every objective at its
layer, pull the gradients back to the pixels, move the pixels.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from math import isfinite
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dream_core.catalogue import Catalogue
from dream_core.errors import NotFinite, StateRefused, WeightsMissing
from dream_core.executors.device import resolve_device
from dream_core.executors.plan import Plan
from dream_core.networks import Network, load_network
from dream_core.objectives import ContentHold, GramDose, Objective, correlate
from dream_core.optim import LBFGS, Adam, Look, Optimizer
from dream_core.picture import scale
from dream_core.spec import DreamSpec

NORMALIZE_EPSILON = 1e-8  # the 2015 program's: keeps a layer without any pull from dividing by zero
STATE_VERSION = 1
# These fields decide when to stop and what is kept, not where the pixels go.
BESIDE_THE_PATH = {"iterations", "save_every", "rounding"}

Source = Tensor | NDArray[np.float32]


@dataclass(frozen=True)
class Step:
    """What one iteration tells: its losses are those of the picture that it moved away from."""

    iteration: int  # of the picture as it is now
    octave: int
    losses: dict[str, float]  # by layer; of content layers as `content:LAYER`


@dataclass(frozen=True)
class Wish:
    """One objective at one layer, and how much it weighs."""

    name: str
    layer: str
    objective: Objective
    weight: float = 1.0


class Dream:
    """A picture that dreams: an object that is stepped, and whose state can be saved.

    Two dreams with the same source, spec and plan have the same bits at every iteration, and so
    has one that was saved and loaded in between.
    """

    def __init__(
        self,
        source: Source,
        spec: DreamSpec,
        *,
        network: Network | None = None,
        device: str | torch.device | None = None,
        dtype: torch.dtype | None = None,
        plan: Plan | None = None,
    ) -> None:
        """Look at the source once and fix what is asked of every layer.

        Args:
            source: (3, H, W) RGB in [0, 1], float32, at the size to work at.
            spec: what to dream. The source's longer side stands for its `image_size`.
            network: the spec's model, loaded with the spec's pooling; else it is loaded here.
            device: cpu (the default), cuda, cuda:1, mps or auto.
            dtype: what it computes in; float32 by default.
            plan: of an earlier run, to go on exactly as it did. It decides device and dtype.

        Raises:
            NothingToSee, WorkingSizeTooLarge: the source's size.
            WeightsMissing, ModelRefused, DeviceMissing: loading the model.
        """
        self.spec = spec
        self.plan = plan or _plan(network, device, dtype)
        self.plan.check_here()
        self.network = network or _load(spec, self.plan)
        _check_network(self.network, spec, self.plan)
        self.iteration = 0
        self._picture = self._take(source)
        _, height, width = self._picture.shape
        self._sized = spec.model_copy(update={"image_size": max(height, width)})
        self._sized.check_picture(height, width, self.network.model)
        self._source_sha256 = sha256(self.picture().numpy().tobytes()).hexdigest()
        with self.plan.held():
            self._wishes = tuple(self._capture())
        self._optimizer = self._make_optimizer()

    @property
    def finished(self) -> bool:
        """Whether all iterations of the spec are done."""
        return self.iteration >= self.spec.iterations

    def picture(self) -> Tensor:
        """Return a copy of the picture as it is: (3, H, W) float32 RGB on the CPU, unclamped."""
        return self._picture.to("cpu", torch.float32, copy=True)

    def step(self) -> Step:
        """Move the picture by one iteration.

        Raises:
            NotFinite: the picture has not moved, and won't.
        """
        with self.plan.held():
            look = self._optimizer.follow(self._picture, self._look_at)
        self.iteration += 1
        return Step(self.iteration, octave=0, losses=dict(look.losses))

    def gradient(self, picture: Source) -> tuple[Tensor, dict[str, float]]:
        """Ask at any picture of the source's size what is asked at every step. Moves nothing.

        Args:
            picture: (3, H, W) RGB, [0, 1] or beyond.

        Returns:
            d loss / d picture, (3, H, W), on the plan's device; and the losses by layer.

        Raises:
            NotFinite: there is no finite gradient at this picture.
        """
        taken = self._take(picture)
        if taken.shape != self._picture.shape:
            raise ValueError(
                f"the picture is {tuple(taken.shape)}, the dream {tuple(self._picture.shape)}"
            )
        with self.plan.held():
            look = self._look_at(taken)
        return look.gradient, dict(look.losses)

    def _look_at(self, picture: Tensor) -> Look:
        """Look at the picture, ask every objective, pull their gradients back to the pixels."""
        features, tape = self.network.forward(picture, self._layers)
        losses: dict[str, Tensor] = {}
        pulls: dict[str, Tensor] = {}
        for wish in self._wishes:
            seen = features[wish.layer]
            loss, pull = wish.objective.solve(wish.objective.measure(seen))
            losses[wish.name] = loss * wish.weight
            pulled = self._shape(pull(seen)) * wish.weight
            pulls[wish.layer] = pulls[wish.layer] + pulled if wish.layer in pulls else pulled
        return _finite(losses, tape.backward(pulls))

    def _shape(self, pulled: Tensor) -> Tensor:
        """Make every layer pull alike, whatever its dose and depth, where the spec says so."""
        if not self.spec.normalize_gradients:
            return pulled
        return pulled / (pulled.abs().sum() + NORMALIZE_EPSILON)

    @property
    def _layers(self) -> Collection[str]:
        return self.spec.all_layers()

    def _capture(self) -> Iterator[Wish]:
        """Fix every target by the plan that also steps, or dose 1 would not be exactly nothing."""
        seen = self._see(self._picture, self._layers)
        textures = seen
        if self.spec.style_scale != 1:
            textures = self._see(self._style_source(), self.spec.layers)
        for layer, dose in self.spec.layers.items():
            texture = textures[layer]
            gram = correlate(texture) / texture.numel()
            yield Wish(layer, layer, GramDose.capture(gram, dose, seen[layer].numel()))
        for layer in self.spec.content_layers:
            yield Wish(
                f"content:{layer}", layer, ContentHold(seen[layer]), self.spec.content_weight
            )

    def _see(self, picture: Tensor, layers: Collection[str]) -> dict[str, Tensor]:
        return self.network.forward(picture, layers)[0]

    def _style_source(self) -> Tensor:
        """Return the source at the size that the Gram targets are taken from."""
        _, height, width = self._picture.shape
        size = self._sized.style_size(height, width)
        return self._take(scale(self.picture().numpy(), size, self.spec.resampler))

    def _take(self, picture: Source) -> Tensor:
        """Return a copy, where and in what the network computes."""
        if isinstance(picture, np.ndarray):
            picture = torch.from_numpy(np.array(picture, order="C"))
        if picture.dim() != 3 or picture.shape[0] != 3:
            raise ValueError(f"a picture is (3, height, width), not {tuple(picture.shape)}")
        placed = picture.detach().to(self.network.device, self.network.dtype, copy=True)
        return placed.contiguous()

    def _make_optimizer(self) -> Optimizer:
        if self.spec.learning_rate is None:
            return LBFGS(self._picture)
        return Adam(self._picture, self.spec.learning_rate)

    def state_dict(self) -> dict[str, Any]:
        """Return all that the next iteration depends on, copied, on the CPU.

        Tensors, numbers, text, and lists and mappings of them: `torch.save` writes it, and
        `torch.load(..., weights_only=True)` reads it.
        """
        return {
            **self._identity(),
            "iteration": self.iteration,
            "picture": self._picture.to("cpu", copy=True),
            "optimizer": self._optimizer.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a state: the same bits as if there had been no break.

        More `iterations` than the saved dream had are fine; so are other frames and rounding.

        Raises:
            StateRefused: it is of another source, spec or plan. Nothing has changed.
        """
        for what, expected in self._identity().items():
            if what not in state or state[what] != expected:
                raise StateRefused(*_difference(what, state.get(what), expected))
        self.iteration = state["iteration"]
        self._picture.copy_(state["picture"])
        self._optimizer.load_state_dict(state["optimizer"])

    def _identity(self) -> dict[str, Any]:
        """Return what a state must share with the dream that loads it."""
        return {
            "version": STATE_VERSION,
            "source": self._source_sha256,
            "spec": self.spec.model_dump(mode="json", exclude=BESIDE_THE_PATH),
            "plan": self.plan.as_dict(),
        }


def _plan(
    network: Network | None, device: str | torch.device | None, dtype: torch.dtype | None
) -> Plan:
    """Return a new plan: what is asked for, else what the network has, else float32 on the CPU."""
    place = network.device if network and device is None else resolve_device(device or "cpu")
    return Plan.make(place, dtype or (network.dtype if network else torch.float32))


def _load(spec: DreamSpec, plan: Plan) -> Network:
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


def _check_network(network: Network, spec: DreamSpec, plan: Plan) -> None:
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


def _finite(losses: dict[str, Tensor], gradient: Tensor) -> Look:
    """Bring the losses to the host, once, and let nothing by that isn't a number."""
    all_finite = gradient.isfinite().all()
    *values, fine = torch.stack([*losses.values(), all_finite.to(gradient.dtype)]).tolist()
    found = dict(zip(losses, values, strict=True))
    broken = [name for name, value in found.items() if not isfinite(value)]
    if broken or not fine:
        raise NotFinite([*broken, *([] if fine else ["the gradient"])])
    return Look(found, gradient)


def _difference(what: str, found: object, expected: object) -> tuple[str, object, object]:
    """Return the first thing that differs, as near to the point as can be."""
    if isinstance(found, dict) and isinstance(expected, dict):
        for name, value in expected.items():
            if found.get(name) != value:
                return _difference(f"{what}.{name}", found.get(name), value)
    return what, found, expected
