"""What a dream that ran out of memory tries next: the same dream, seen in smaller parts."""

from dream_core.executors.building import storage
from dream_core.executors.way import REFERENCE, Way
from dream_core.forms import Form, Storage
from dream_core.forms.choice import SMALLER, USED_OF_FREE, largest_size, next_smaller, work
from dream_core.forms.memory import predicted_bytes
from dream_core.model import Model
from dream_core.spec import DreamSpec
from jobs.record import Run


def form_of(run: Run) -> Form:
    """Return the form in which a dream is run."""
    plan = run.plan
    return Form(plan.get("parts", "whole"), plan.get("part_pixels", 0), plan.get("cut", ""))


def smaller(run: Run, spec: DreamSpec, model: Model) -> Run | None:
    """Return how to run it in the next smaller form; None where there is none."""
    size = (run.height, run.width)
    form = next_smaller(model, spec, size, form_of(run), _storage_of(run))
    if form is None:
        return None
    plan = {**run.plan, "parts": form.kind, "part_pixels": form.part, "cut": form.cut}
    predicted = predicted_bytes(model, spec, size, form, _storage_of(run))
    update = {
        "plan": plan,
        "predicted_bytes": predicted,
        "multiply_adds": work(model, spec, size, form, _storage_of(run)),
    }
    return run.model_copy(update=update)


def too_large(run: Run) -> bool:
    """Whether a dream needs more than a new one might take of the host's free memory.

    A GPU's is refused with a word, and nobody is killed for it.
    """
    if run.device != "cpu" or run.predicted_bytes is None or run.free_bytes is None:
        return False
    return run.predicted_bytes > USED_OF_FREE * run.free_bytes


def largest(run: Run, spec: DreamSpec, model: Model) -> int | None:
    """Return the image_size that would need less than what has just not been there."""
    size, storage = (run.height, run.width), _storage_of(run)
    room = SMALLER * predicted_bytes(model, spec, size, form_of(run), storage)
    return largest_size(model, spec, size, room, storage)


def _storage_of(run: Run) -> Storage:
    """Return how the executor that a dream is run by keeps values in memory."""
    executor = run.plan.get("executor", REFERENCE.executor)
    return storage(Way(executor, run.plan.get("precision", REFERENCE.precision)), run.device)
