"""Dream: a picture follows what a network is asked to see in it, step by step.

The whole loop, to be read from top to bottom: look at the picture, ask every objective at its
layer, pull the gradients back to the pixels, move the pixels.
"""

import logging
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from hashlib import sha256
from math import isfinite
from typing import Any
from weakref import ref

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dream_core.ahead import AHEAD, Ahead, Seen, Stream
from dream_core.errors import Interrupted, NotFinite, StateRefused
from dream_core.executors import probe as probing
from dream_core.executors.plan import Plan
from dream_core.executors.probe import Probe
from dream_core.executors.way import Way
from dream_core.means import check_network, load, new_plan, new_stream
from dream_core.networks import Network
from dream_core.objectives import BY_KERNEL, BY_TORCH
from dream_core.optim import LBFGS, Adam, Look, Optimizer
from dream_core.picture import scale
from dream_core.sights import Sight, look
from dream_core.spec import DreamSpec
from dream_core.wishes import Looked, Wish, answered, capture, measured

log = logging.getLogger(__name__)

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
        planned = plan or new_plan(network, device, dtype, probe or probing.HERE, spec)
        planned.check_here()
        self.spec = spec = spec.model_copy(update={"precision": planned.precision})
        height, width = _size(source)
        self._sized = spec.model_copy(update={"image_size": max(height, width)})
        self.network = (network or load(spec, planned)).run_by(planned.way)
        check_network(self.network, spec, planned)
        self._sized.check_picture(height, width, self.network.model)
        self.plan = plan or planned.fitted(self.network.model, self._sized, (height, width))
        self._should_stop = should_stop
        self._noted: list[str] = []
        self.iteration = 0
        self._picture = self._take(source)
        self._source_sha256 = _digest(self._picture)
        self._stream = stream or new_stream(self.plan)
        with self.plan.held():
            self._wishes, self._first = self._capture()
        self._optimizer = self._make_optimizer()
        self._ahead = self._make_ahead()

    @property
    def finished(self) -> bool:
        """Whether all iterations of the spec are done."""
        return self.iteration >= self.spec.iterations

    @property
    def under_way(self) -> int:
        """How many of its iterations are started ahead and may not be done: none but on CUDA."""
        return self._ahead.under_way if self._ahead else 0

    @property
    def looked(self) -> bool:
        """Whether the first step's look is done: it was the one that fixed the targets."""
        return self._first is not None

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
        looked = self._take_first(network, picture) or measured(
            self._see(picture, self._layers, network), self._wishes
        )
        losses, pulls = answered(looked, self._wishes, normalize=self.spec.normalize_gradients)
        return losses, looked.sight.pull_back(pulls)

    @property
    def _layers(self) -> Collection[str]:
        return self.spec.all_layers()

    def _capture(self) -> tuple[tuple[Wish, ...], Looked | None]:
        """Return what is asked, and the look at the source that the first step goes on from."""
        # What the kernel's version stands for in a plan, and no other plan has its bits from it.
        by = BY_KERNEL if self.plan.executor == "winograd" else BY_TORCH
        wishes, first = capture(
            self._picture,
            self._style_source,
            self.spec,
            self.network.model,
            see=self._see,
            products=by,
        )
        return wishes, None if self._stream else first  # what is started ahead looks for itself

    def _take_first(self, network: Network, picture: Tensor) -> Looked | None:
        """Return the look that gave the targets, once, if this is what it looked at."""
        first, self._first = self._first, None
        return first if network is self.network and picture is self._picture else None

    def _see(
        self, picture: Tensor, layers: Collection[str], network: Network | None = None
    ) -> Sight:
        should_stop, iteration = self._should_stop, self.iteration

        def check() -> None:  # doesn't hold the dream, which holds its first look
            if should_stop():
                raise Interrupted(iteration)

        return look(network or self.network, picture, layers, self.plan.form, check)

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
        self._first = None
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


def _size(picture: Source) -> tuple[int, int]:
    """Return (height, width) of what must be a picture."""
    if len(picture.shape) != 3 or picture.shape[0] != 3:
        raise ValueError(f"a picture is (3, height, width), not {tuple(picture.shape)}")
    return picture.shape[1], picture.shape[2]


def _digest(picture: Tensor) -> str:
    """Return the checksum of a picture as float32, without one more copy of it."""
    return sha256(picture.to("cpu", torch.float32).numpy().data).hexdigest()


def _finite(losses: Mapping[str, Tensor], gradient: Tensor) -> Look:
    """Bring the losses to the host, once, and let nothing by that isn't a number."""
    *values, total = torch.stack([*losses.values(), gradient.sum()]).tolist()
    found = dict(zip(losses, values, strict=True))
    broken = [name for name, value in found.items() if not isfinite(value)]
    # One value that is no number makes the sum none. Numbers can do that too, if they are large.
    fine = isfinite(total) or _all_finite(gradient)
    if broken or not fine:
        raise NotFinite([*broken, *([] if fine else ["the gradient"])])
    return Look(found, gradient)


def _all_finite(gradient: Tensor) -> bool:
    # At once it would take as much memory again as the gradient itself.
    chunks = torch.split(gradient.flatten(), FEW)
    return all(bool(few.isfinite().all()) for few in chunks)


def _difference(what: str, found: object, expected: object) -> tuple[str, object, object]:
    """Return the first thing that differs, as near to the point as can be."""
    if isinstance(found, dict) and isinstance(expected, dict):
        for name, value in expected.items():
            if found.get(name) != value:
                return _difference(f"{what}.{name}", found.get(name), value)
    return what, found, expected
