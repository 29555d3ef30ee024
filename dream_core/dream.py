"""Dream: a picture follows what a network is asked to see in it, step by step.

The whole loop, to be read from top to bottom: look at the picture, ask every objective at its
layer, pull the gradients back to the pixels, move the pixels.
"""

import logging
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from math import isfinite, prod
from typing import Any
from weakref import ref

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dream_core.ahead import AHEAD, Ahead, Seen, Stream
from dream_core.catalogue import Catalogue
from dream_core.errors import Interrupted, NotFinite, StateRefused, WeightsMissing
from dream_core.executors import probe as probing
from dream_core.executors.cuda import CudaStream
from dream_core.executors.device import check_dtype, resolve_device
from dream_core.executors.plan import Plan
from dream_core.executors.probe import Probe
from dream_core.executors.way import Way
from dream_core.networks import Network, load_network
from dream_core.objectives import ContentHold, GramDose, Objective, correlate, correlate_by_kernel
from dream_core.objectives.objective import Pull, wide_enough
from dream_core.optim import LBFGS, Adam, Look, Optimizer
from dream_core.picture import scale
from dream_core.sights import Sight, look
from dream_core.sights.sight import Measure
from dream_core.spec import DreamSpec

log = logging.getLogger(__name__)

NORMALIZE_EPSILON = 1e-8  # the 2015 program's: keeps a layer without any pull from dividing by zero
STATE_VERSION = 1
FEW = 1 << 22  # elements that are worked on at once where a whole picture would double its memory
# These fields decide when to stop and what is kept, not where the pixels go; and the precision that
# was asked for has become the plan's.
BESIDE_THE_PATH = {"iterations", "save_every", "rounding", "precision"}

Source = Tensor | NDArray[np.float32]


@dataclass(frozen=True)
class Step:
    """What one iteration tells: its losses are those of the picture that it moved away from."""

    iteration: int  # of the picture as it is now
    octave: int
    # By layer; of content layers as `content:LAYER`. On a GPU, who reads them waits for them, in
    # any thread; they are not a number where it has to be done again, until it was.
    losses: Mapping[str, float]
    note: str = ""  # what else is to be known: it was done again in full precision, and why


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
        should_stop: Callable[[], bool] = lambda: False,
        probe: Probe | None = None,
        stream: Stream | None = None,
    ) -> None:
        """Look at the source once and fix what is asked of every layer.

        Args:
            source: (3, H, W) RGB in [0, 1], float32, at the size to work at.
            spec: what to dream. The source's longer side stands for its `image_size`.
            network: the spec's model, loaded with the spec's pooling; else it is loaded here.
            device: cpu (the default), cuda, cuda:1, mps or auto.
            dtype: what it computes in; float32 by default.
            plan: of an earlier run, to go on exactly as it did. It decides device, dtype and
                precision. A new one looks at the picture in the fastest form that its memory
                allows.
            should_stop: asked between the parts of a picture that is looked at in parts.
            probe: what knows which way of running the network pays here, for a new plan; by
                default one that measures once in this process, in at most 3 s, and for which
                a precision of `auto` is exact.
            stream: what iterations run on while we do something else; by default one on a CUDA
                device, and none elsewhere.

        Raises:
            NothingToSee, WorkingSizeTooLarge: the source's size.
            MemoryExceeded: it fits in no form.
            Interrupted: it should stop, here as in every step.
            WeightsMissing, ModelRefused, DeviceMissing: loading the model.
        """
        planned = plan or _plan(network, device, dtype, probe or probing.HERE, spec)
        planned.check_here()
        self.spec = spec = spec.model_copy(update={"precision": planned.precision})
        height, width = _size(source)
        self._sized = spec.model_copy(update={"image_size": max(height, width)})
        self.network = (network or _load(spec, planned)).run_by(planned.way)
        _check_network(self.network, spec, planned)
        self._sized.check_picture(height, width, self.network.model)
        self.plan = plan or planned.fitted(self.network.model, self._sized, (height, width))
        self._should_stop = should_stop
        self._noted: list[str] = []
        self.iteration = 0
        self._picture = self._take(source)
        self._source_sha256 = _digest(self._picture)
        with self.plan.held():
            self._wishes = tuple(self._capture())
        self._optimizer = self._make_optimizer()
        self._stream = stream or _stream(self.plan)
        self._ahead = self._make_ahead()

    @property
    def finished(self) -> bool:
        """Whether all iterations of the spec are done."""
        return self.iteration >= self.spec.iterations

    def picture(self) -> Tensor:
        """Return a copy of the picture as it is: (3, H, W) float32 RGB on the CPU, unclamped.

        Raises:
            NotFinite: it hasn't come so far; see `step`.
        """
        return self.frame()()

    def frame(self) -> Callable[[], Tensor]:
        """Start to copy the picture as it is now; return what waits for it: see `picture`.

        That may be called in another thread, while the dream is stepped on.
        """
        self._settle()
        if self._stream:
            return self._stream.bring(self._picture.to(torch.float32))
        copied = self._picture.to("cpu", torch.float32, copy=True)
        return lambda: copied

    def step(self) -> Step:
        """Move the picture by one iteration.

        On a CUDA device iterations are started ahead: what is raised or noted may be of one of the
        last `AHEAD`, and where it is raised, `iteration` goes back to where the picture stands.

        Raises:
            NotFinite: the picture has not moved, and won't.
            Interrupted: it has not moved, and does when it is stepped again.
        """
        if self._ahead is None:
            look = self._step_at_once()
            return Step(self.iteration, octave=0, losses=dict(look.losses), note=look.note)
        with self.plan.held():
            told = self._ahead.start()
        self.iteration += 1
        self._settle(0 if self.finished else AHEAD)
        note = "; ".join(self._noted)
        self._noted.clear()
        return Step(self.iteration, octave=0, losses=told, note=note)

    def _step_at_once(self) -> Look:
        with self.plan.held():
            look = self._optimizer.follow(self._picture, self._look_at)
        self.iteration += 1
        return look

    def _settle(self, leave: int = 0) -> None:
        """Wait for all but the last iterations, and do again at once what they could not."""
        again = self._ahead.settle(leave) if self._ahead else []
        self.iteration -= len(again)
        for told in again:
            look = self._step_at_once()
            told.done_again(look.losses)
            if look.note:
                self._noted.append(f"iteration {self.iteration}: {look.note}")

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
            seen = self._look_at(taken)
        return seen.gradient, dict(seen.losses)

    def _look_at(self, picture: Tensor) -> Look:
        """Look at the picture; once more in full precision where fewer bits ran out of numbers."""
        try:
            return _finite(*self._look_through(self.network, picture))
        except NotFinite as fault:
            if self.plan.precision == "exact":
                raise
            note = f"{', '.join(fault.names)}: not finite in 16 bit, done again in full precision"
            look = _finite(*self._look_through(self.network.run_by(self._exactly), picture))
            return replace(look, note=note)

    @property
    def _exactly(self) -> Way:
        """The way with every bit: the targets stay those that were captured with fewer."""
        return Way(self.plan.executor, "exact")

    def _look_through(self, network: Network, picture: Tensor) -> Seen:
        """Look at the picture, ask every objective, pull their gradients back to the pixels.

        No number is read here: a GPU isn't waited for.
        """
        sight = self._see(picture, self._layers, network)
        statistics = sight.gather([(wish.layer, wish.objective.measure) for wish in self._wishes])
        losses: dict[str, Tensor] = {}
        pulls: list[tuple[str, Pull]] = []
        for wish, statistic in zip(self._wishes, statistics, strict=True):
            loss, pull = wish.objective.solve(statistic)
            losses[wish.name] = loss * wish.weight
            pulls.append((wish.layer, pull))
        if self.spec.normalize_gradients:
            pulls = _normalized(sight, pulls)
        weighted = [
            (layer, _times(wish.weight, pull))
            for wish, (layer, pull) in zip(self._wishes, pulls, strict=True)
        ]
        return losses, sight.pull_back(weighted)

    @property
    def _layers(self) -> Collection[str]:
        return self.spec.all_layers()

    def _capture(self) -> Iterator[Wish]:
        """Fix every target by the plan that also steps, or dose 1 would not be exactly nothing."""
        # What the kernel's version stands for in a plan, and no other plan has its bits from it.
        by = correlate_by_kernel if self.plan.executor == "winograd" else correlate
        grams = [(layer, by) for layer in self.spec.layers]
        held = [(layer, _itself) for layer in self.spec.content_layers]
        same_size = self.spec.style_scale == 1
        seen: list[Tensor] = []
        if same_size or held:
            seen = self._see(self._picture, self._layers).gather(
                [*(grams if same_size else []), *held]
            )
        textures, size = seen, _size(self._picture)
        if not same_size:
            source = self._style_source()
            textures, size = self._see(source, self.spec.layers).gather(grams), _size(source)
        here, there = self._elements(_size(self._picture)), self._elements(size)
        for (layer, dose), texture in zip(self.spec.layers.items(), textures, strict=False):
            gram = texture / there[layer]
            yield Wish(layer, layer, GramDose.capture(gram, dose, here[layer], by))
        features = seen[len(seen) - len(held) :]
        for layer, target in zip(self.spec.content_layers, features, strict=True):
            yield Wish(f"content:{layer}", layer, ContentHold(target), self.spec.content_weight)

    def _elements(self, size: tuple[int, int]) -> dict[str, int]:
        """Return channels · height · width of each layer with a dose, of a picture of that size."""
        model = self.network.model
        sizes = model.sizes(self.spec.layers, *size, self.network.pooling)
        return {
            layer: model.by_name[layer].channels * prod(sizes[layer]) for layer in self.spec.layers
        }

    def _see(
        self, picture: Tensor, layers: Collection[str], network: Network | None = None
    ) -> Sight:
        return look(network or self.network, picture, layers, self.plan.form, self._check)

    def _check(self) -> None:
        """Leave in the middle of a step where somebody wants it to stop."""
        if self._should_stop():
            raise Interrupted(self.iteration)

    def _style_source(self) -> Tensor:
        """Return the source at the size that the Gram targets are taken from."""
        _, height, width = self._picture.shape
        size = self._sized.style_size(height, width)
        here = self._picture.to("cpu", torch.float32).numpy()
        return self._take(scale(here, size, self.spec.resampler))

    def _take(self, picture: Source) -> Tensor:
        """Return a copy, where and in what the network computes."""
        taken = torch.empty(
            (3, *_size(picture)), device=self.network.device, dtype=self.network.dtype
        )
        if isinstance(picture, np.ndarray):
            for plane, target in zip(picture, taken, strict=True):  # one more in memory, not three
                target.copy_(torch.from_numpy(np.array(plane, order="C")))
            return taken
        return taken.copy_(picture.detach())

    def _make_optimizer(self) -> Optimizer:
        if self.spec.learning_rate is None:
            return LBFGS(self._picture)
        return Adam(self._picture, self.spec.learning_rate)

    def _make_ahead(self) -> Ahead | None:
        """Return what starts iterations ahead, where there is a stream to do so.

        L-BFGS decides by numbers how far it goes, and between parts it is asked whether to stop:
        both step at once, and wait.
        """
        if self._stream is None:
            return None
        if not isinstance(self._optimizer, Adam) or self.plan.parts != "whole":
            why = f"in {self.plan.parts}" if isinstance(self._optimizer, Adam) else "by L-BFGS"
            log.info("a dream %s steps at once: every iteration waits for its numbers", why)
            return None
        dream, network = ref(self), self.network  # or each would keep the other, and their memory

        def look(picture: Tensor) -> Seen:
            here = dream()
            assert here is not None  # noqa: S101 (it is who asks)
            return here._look_through(network, picture)

        return Ahead(self._picture, self._optimizer, look, self._stream)

    def state_dict(self, *, copied: bool = True) -> dict[str, Any]:
        """Return all that the next iteration depends on, on the CPU.

        Tensors, numbers, text, and lists and mappings of them: `torch.save` writes it, and
        `torch.load(..., weights_only=True)` reads it. Not `copied`, what lies on the CPU already
        is the dream's own, and changes with the next iteration.

        Raises:
            NotFinite: the picture hasn't come so far; see `step`.
        """
        self._settle()
        return {
            **self._identity(),
            "iteration": self.iteration,
            "picture": self._picture.to("cpu", copy=copied),
            "optimizer": self._optimizer.state_dict(copied=copied),
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
        if self._ahead:
            self._ahead.forget()
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


def _stream(plan: Plan) -> Stream | None:
    """Return what iterations run on beside us, where a device has that."""
    return CudaStream(torch.device(plan.device)) if plan.device.startswith("cuda") else None


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


def _size(picture: Source) -> tuple[int, int]:
    """Return (height, width) of what must be a picture."""
    if len(picture.shape) != 3 or picture.shape[0] != 3:
        raise ValueError(f"a picture is (3, height, width), not {tuple(picture.shape)}")
    return picture.shape[1], picture.shape[2]


def _itself(features: Tensor) -> Tensor:
    return features


def _times(weight: float, pull: Pull) -> Pull:
    if weight == 1:  # the product would be one more tensor, as large as the features
        return pull
    return _changed(pull, lambda own: own.mul_(weight))


def _changed(pull: Pull, change: Callable[[Tensor], Tensor]) -> Pull:
    """Return a pull whose own part is changed, which may be in place, before it is added."""

    def changed(features: Tensor, onto: Tensor | None = None, *, over: bool = False) -> Tensor:
        own = change(pull(features, over=over))
        return own if onto is None else onto.add_(own)

    return changed


def _normalized(sight: Sight, pulls: Sequence[tuple[str, Pull]]) -> list[tuple[str, Pull]]:
    """Make every layer pull alike, whatever its dose and depth: divide by the whole's L1 norm."""

    def size_of(pull: Pull) -> Measure:
        return lambda features: pull(features).abs().sum(dtype=wide_enough(features))

    def divided(pull: Pull, norm: Tensor) -> Pull:
        return _changed(pull, lambda own: own.div_(norm + NORMALIZE_EPSILON))

    norms = sight.gather([(layer, size_of(pull)) for layer, pull in pulls])
    return [(layer, divided(pull, norm)) for (layer, pull), norm in zip(pulls, norms, strict=True)]


def _digest(picture: Tensor) -> str:
    """Return the checksum of a picture as float32, without one more copy of it."""
    return sha256(picture.to("cpu", torch.float32).numpy().data).hexdigest()


def _finite(losses: Mapping[str, Tensor], gradient: Tensor) -> Look:
    """Bring the losses to the host, once, and let nothing by that isn't a number."""
    # At once it would take as much memory again as the gradient itself.
    chunks = torch.split(gradient.flatten(), FEW)
    all_finite = torch.stack([few.isfinite().all() for few in chunks]).all()
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
