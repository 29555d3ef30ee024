"""A plan: everything beside picture and spec that decides a dream's bits."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, replace
from typing import Literal, Self
from weakref import WeakKeyDictionary

import torch

from dream_core import native
from dream_core.errors import StateRefused
from dream_core.executors import cuda, tiled
from dream_core.executors.building import storage, ways_here
from dream_core.executors.cpu import sixteen_bit_instructions
from dream_core.executors.device import resolve_device
from dream_core.executors.memory import fitting, freed_at_once
from dream_core.executors.rooms import Rooms, lent
from dream_core.executors.way import REFERENCE, ExecutorName, Resolved, Way
from dream_core.forms import Form, Storage
from dream_core.model import Model
from dream_core.spec import DreamSpec

_rooms: "WeakKeyDictionary[Plan, Rooms]" = WeakKeyDictionary()


@dataclass(frozen=True)
class Plan:
    """How a dream is computed: made when it starts, kept for its whole life.

    Two runs under one plan on one kind of machine give the same bits. Another number of threads
    adds up in another order, and a dream is chaotic: the pictures would drift apart.
    """

    executor: ExecutorName
    precision: Resolved
    dtype: str  # of picture, objectives and optimiser; the precision may be less in between
    device: str
    threads: int
    torch_version: str
    cpu: str  # the instructions that kernels were chosen by; on CUDA the GPU and its libraries
    parts: Literal["whole", "bands", "tiles"] = "whole"
    part_pixels: int = 0  # rows of a band, side of a tile
    cut: str = ""  # the pool behind which bands end

    @classmethod
    def make(cls, device: torch.device, dtype: torch.dtype, way: Way = REFERENCE) -> Self:
        """Return the plan of a dream that starts now and runs its network in that way."""
        return cls(
            executor=way.executor,
            precision=way.precision,
            dtype=str(dtype).removeprefix("torch."),
            device=str(device),
            threads=torch.get_num_threads(),
            # Plain text: torch's own class of version isn't read back by a safe torch.load.
            torch_version=str(torch.__version__),
            cpu=_instructions(device, way),
        )

    @property
    def way(self) -> Way:
        """How it runs the network."""
        return Way(self.executor, self.precision)

    @property
    def form(self) -> Form:
        """In what form it looks at the picture."""
        return Form(self.parts, self.part_pixels, self.cut)

    @property
    def storage(self) -> Storage:
        """How its executor keeps values in memory."""
        return storage(self.way, self.device, self.torch_dtype)

    def of_form(self, form: Form) -> Self:
        """Return the same plan in another form."""
        return replace(self, parts=form.kind, part_pixels=form.part, cut=form.cut)

    def fitted(self, model: Model, spec: DreamSpec, size: tuple[int, int]) -> Self:
        """Return the same plan in the fastest form that fits into what memory is free now.

        Raises:
            MemoryExceeded: none does; names the largest image_size of which one would.
        """
        return self.of_form(fitting(model, spec, size, self.device, self.storage))

    @property
    def torch_dtype(self) -> torch.dtype:
        """What it computes in, as torch has it."""
        found: torch.dtype = getattr(torch, self.dtype)
        return found

    def check_here(self) -> None:
        """Refuse a plan that was made on a host where other bits come out.

        Raises:
            DeviceMissing: its device isn't here.
            StateRefused: another torch or another kind of CPU.
        """
        device = resolve_device(self.device)
        if self.way not in ways_here(device):
            known = ", ".join(str(way) for way in ways_here(device))
            raise StateRefused("plan", str(self.way), f"only {known}")
        here = Plan.make(device, self.torch_dtype, self.way)
        for what in ("torch_version", "cpu"):
            if getattr(self, what) != getattr(here, what):
                raise StateRefused(f"plan.{what}", getattr(self, what), getattr(here, what))

    def as_dict(self) -> dict[str, str | int]:
        """Return the plan for a record: text and numbers by name."""
        return asdict(self)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Compute as planned inside, whatever another dream of this process has set.

        On CUDA: full float32, but where a way asks for TF32, and cuDNN's deterministic algorithms,
        none chosen by timing.
        """
        # A setting of the thread that computes, and cheap to look at.
        if torch.get_num_threads() != self.threads:
            torch.set_num_threads(self.threads)
        if self.device.startswith("cuda"):
            with cuda.multiplying_in_full():
                yield
            return
        # Tiles are for want of memory, and rooms are never given back between them.
        rooms = nullcontext() if self.parts == "tiles" else lent(self._rooms_of_its_own())
        with rooms, nullcontext() if self.parts == "whole" else freed_at_once():
            yield

    def _rooms_of_its_own(self) -> Rooms:
        """Return what its layers share: made once, gone with the dream that keeps the plan."""
        found = _rooms.get(self)
        if found is None:
            found = _rooms[self] = Rooms()
        return found


def _instructions(device: torch.device, way: Way) -> str:
    """Return what kernels are chosen by: of 16-bit ones more than the width of vectors."""
    if device.type == "cuda":
        return cuda.kernels(device)
    vectors = torch.backends.cpu.get_cpu_capability()
    parts = [vectors]
    if way.precision != "exact":
        parts.append(sixteen_bit_instructions())
    if way.executor == "direct":
        parts.append(f"tiles {tiled.VERSION}")
    if way.executor == "winograd":
        best = [*native.paths("float32")[:1], *native.paths("bfloat16")[:1]]
        parts += [f"kernel {native.VERSION}", *best]
    return " ".join(part for part in parts if part)
