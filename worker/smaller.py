"""What a dream that ran out of memory tries next: the same dream, seen in smaller parts."""

from dream_core.forms import Form
from dream_core.forms.choice import SMALLER, largest_size, next_smaller, work
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
    form = next_smaller(model, spec, size, form_of(run))
    if form is None:
        return None
    plan = {**run.plan, "parts": form.kind, "part_pixels": form.part, "cut": form.cut}
    predicted = predicted_bytes(model, spec, size, form)
    update = {
        "plan": plan,
        "predicted_bytes": predicted,
        "multiply_adds": work(model, spec, size, form),
    }
    return run.model_copy(update=update)


def largest(run: Run, spec: DreamSpec, model: Model) -> int | None:
    """Return the image_size that would need less than what has just not been there."""
    size = (run.height, run.width)
    return largest_size(
        model, spec, size, SMALLER * predicted_bytes(model, spec, size, form_of(run))
    )
