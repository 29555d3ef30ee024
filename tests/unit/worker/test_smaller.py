"""What is tried next where memory ran out."""

from itertools import pairwise

import pytest

from dream_core.architectures import BUILT_IN
from dream_core.executors.building import storage
from dream_core.executors.way import REFERENCE, Way
from dream_core.forms.memory import predicted_bytes
from dream_core.spec import DreamSpec
from jobs.record import Run
from worker.smaller import form_of, smaller

VGG = BUILT_IN["vgg19"]
SPEC = DreamSpec(layers={"relu5_1": 1000.0})
SIZE = (1200, 1600)


def run(plan: dict[str, str | int]) -> Run:
    """Return how a dream of that size is run."""
    height, width = SIZE
    return Run(width=width, height=height, device="cpu", plan=plan, versions={})


@pytest.mark.parametrize("way", [REFERENCE, Way("direct", "exact"), Way("direct", "fast")], ids=str)
def test_the_next_form_needs_a_quarter_less_of_what_the_executor_takes(way: Way) -> None:
    """By the plan's own executor and precision, down to the last form; the rest of it stays."""
    begun = run({"executor": way.executor, "precision": way.precision, "threads": 2})
    needs = [predicted_bytes(VGG, SPEC, SIZE, form_of(begun), storage(way, "cpu"))]

    following = begun
    while following := smaller(following, SPEC, VGG):
        assert following.predicted_bytes == predicted_bytes(
            VGG, SPEC, SIZE, form_of(following), storage(way, "cpu")
        )
        assert following.plan.items() >= begun.plan.items()
        needs.append(following.predicted_bytes)

    assert len(needs) > 2
    assert all(after <= 0.75 * before for before, after in pairwise(needs))


def test_a_record_from_before_plans_had_precisions_is_of_the_reference() -> None:
    """A dream begun by an earlier release can run out of memory too."""
    old = smaller(run({}), SPEC, VGG)
    new = smaller(run({"executor": "autograd", "precision": "exact"}), SPEC, VGG)

    assert old is not None
    assert new is not None
    assert old.predicted_bytes == new.predicted_bytes
