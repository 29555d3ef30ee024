"""Pace: what was measured and earlier dreams say of a new one, and how far such words were off."""

from dataclasses import asdict
from typing import Any

import pytest

from dream_core.costs import TYPICAL, Costs
from dream_core.spec import DreamSpec
from jobs.pace import NEAREST, Pace, Sample, whole
from jobs.presence import Rates

WORK = Costs(multiply_adds=1e11, elements=1e7, weights=1e7, asked=1e6)
FAST_MACHINE = Rates(executor="direct", precision="exact", threads=2, costs=TYPICAL)
MEASURED = WORK.seconds(TYPICAL)


def times(factor: float, costs: Costs = WORK) -> Costs:
    """Return more of the same work."""
    return Costs(**{kind: factor * amount for kind, amount in asdict(costs).items()})


def sample(pace: float = 1.0, costs: Costs = WORK, **more: Any) -> Sample:
    """Return what is kept of a dream with the default spec."""
    told = {
        "at": 1,
        "model": "vgg19",
        "asked": "auto",
        "precision": "exact",
        "executor": "direct",
        "device": "cpu",
        "threads": 2,
        "optimizer": "adam",
        "costs": costs,
        "seconds_per_iteration": pace,
        "iterations": 30,
    }
    return Sample(**{**told, **more})


def pace(
    *samples: Sample,
    costs: Costs = WORK,
    devices: tuple[str, ...] = ("cpu",),
    rates: Rates | None = None,
) -> Pace:
    """Return the pace of a dream with the default spec, 30 iterations."""
    return Pace.of(samples, DreamSpec(), costs, devices, rates)


def test_before_any_dream_the_time_is_that_which_was_measured() -> None:
    """And its error isn't known, so none is told."""
    told = pace(rates=FAST_MACHINE)

    assert told.seconds == pytest.approx(whole(MEASURED, 30))
    assert told.median_error is None
    assert told.basis == "from what was measured on cpu, error not known yet"


def test_the_first_dream_says_how_far_off_the_measurement_is() -> None:
    """It took twice of what was measured. One alone changes nothing but the error that is told."""
    told = pace(sample(2 * MEASURED), rates=FAST_MACHINE)

    assert told.seconds == pytest.approx(whole(MEASURED, 30))
    assert told.median_error == pytest.approx(1 - whole(MEASURED, 30) / whole(2 * MEASURED, 30))
    assert told.basis == "from what was measured and 1 earlier dream on cpu, median error 50 %"


@pytest.mark.parametrize(("dreams", "ratio"), [(1, 1), (2, 1.5), (3, 2), (9, 2)])
def test_a_few_dreams_outvote_what_was_measured(dreams: int, ratio: float) -> None:
    """Each took twice of it; it has two voices of its own."""
    told = pace(*[sample(2 * MEASURED)] * dreams, rates=FAST_MACHINE)

    assert told.seconds == pytest.approx(whole(ratio * MEASURED, 30))


def test_dreams_of_another_way_than_the_measured_one_say_nothing() -> None:
    """A compiler was installed, and the probe has found a faster way than theirs."""
    slow = [sample(50.0, executor="autograd"), sample(50.0, threads=1)]

    assert pace(*slow, rates=FAST_MACHINE) == pace(rates=FAST_MACHINE)


def test_more_work_takes_more_time_in_proportion() -> None:
    """Where nothing was measured, one dream tells of all others."""
    known = sample(0.5)

    assert pace(known, costs=times(3)).seconds == pytest.approx(whole(1.5, 30))
    assert pace(known, costs=times(1 / 4)).seconds == pytest.approx(whole(0.125, 30))


def test_dreams_that_did_the_same_are_asked() -> None:
    """A shallow dream waits for memory and says little of a deep one, however near its time."""
    shallow = Costs(elements=1e7, large=1e7, asked=1e7, products=1e9)
    as_much = times(0.9 * MEASURED / shallow.seconds(TYPICAL), shallow)
    others = [sample(5 * MEASURED, as_much)] * 20

    told = pace(*others, *[sample(1.0)] * NEAREST, costs=times(0.9))

    assert told.seconds == pytest.approx(whole(0.9, 30))


def test_dreams_of_about_the_same_size_are_asked() -> None:
    """A small picture costs more than its part of a large one's time."""
    small = [sample(0.3, times(0.1))] * 20

    told = pace(*small, *[sample(1.0)] * NEAREST, costs=times(0.9))

    assert told.seconds == pytest.approx(whole(0.9, 30))


def test_one_dream_on_a_busy_machine_spoils_nothing() -> None:
    """The median of several is told, not their mean."""
    assert pace(sample(1.0), sample(90.0), sample(1.2)).seconds == pytest.approx(whole(1.2, 30))


def test_what_a_dream_took_beside_its_iterations_is_learned() -> None:
    """Reading, writing and a network that had to be loaded: 30 iterations of 1 s took 35 s."""
    told = pace(sample(1.0, seconds=35.0), costs=times(2))

    assert told.seconds == pytest.approx(whole(2.0, 30, 35.0 - whole(1.0, 30, 0.0)))


def test_a_dream_never_takes_less_than_its_iterations() -> None:
    """Clocks of two hosts may differ, and a start may seem to have taken less than no time."""
    assert pace(sample(1.0, seconds=3.0)).seconds == pytest.approx(30.0)


def test_the_error_is_that_of_each_dream_foretold_from_the_others() -> None:
    """2 from 3 and 6 is 4.5, 3 from 2 and 6 is 4, 6 from 2 and 3 is 2.5: off by 5/4, 1/3, 7/12."""
    told = pace(sample(2), sample(3), sample(6))

    assert told.median_error == pytest.approx(7 / 12, rel=0.01)
    assert told.basis == "from 3 earlier dreams on cpu, median error 58 %"


def test_one_dream_alone_has_an_unknown_error() -> None:
    """Nothing foretells it; an error that nobody has seen isn't told."""
    told = pace(sample(2))

    assert told.seconds == pytest.approx(whole(2, 30))
    assert told.median_error is None
    assert told.basis == "from 1 earlier dream on cpu, error not known yet"


def test_other_models_stand_in_by_their_work() -> None:
    """And their error is that of models foretold from models that are others."""
    others = sample(2, model="a"), sample(2, model="a"), sample(3, model="b")

    told = pace(*others, costs=times(2))

    assert told.seconds == pytest.approx(whole(4, 30))
    assert told.median_error == pytest.approx(1 / 2, rel=0.01)  # 2 from 3, twice; 3 from 2: 1/3
    assert told.basis == "from 3 earlier dreams of other models on cpu, median error 50 %"


def test_its_own_model_is_asked_before_others() -> None:
    """However many the others are: kinds of work don't say all."""
    assert pace(sample(2), *[sample(9, model="a")] * 9).seconds == pytest.approx(whole(2, 30))


def test_only_dreams_that_were_run_as_the_newest_one_count() -> None:
    """A worker was added: what was before says nothing of today."""
    now = sample(1, at=9, executor="winograd")
    before = [sample(5, at=3), sample(5, at=5, threads=1, executor="winograd")]

    assert pace(*before, now).seconds == pytest.approx(whole(1, 30))


def test_a_dream_that_an_older_release_kept_counts_as_none() -> None:
    """It knew nothing of kinds of work."""
    assert pace(sample(1, costs=None)).seconds is None


def test_a_precision_by_name_is_told_by_what_was_run_in_it() -> None:
    """Whether it was asked for so, or `auto` became it."""
    became = sample(1, precision="fast")
    by_name = sample(2, asked="exact")

    def told(precision: str) -> float | None:
        spec = DreamSpec(precision=precision)  # type: ignore[arg-type]
        return Pace.of([became, by_name], spec, WORK, ("cpu",)).seconds

    one, two = pytest.approx(whole(1, 30)), pytest.approx(whole(2, 30))
    assert (told("fast"), told("exact"), told("auto"), told("balanced")) == (one, two, one, None)


@pytest.mark.parametrize("other", [{"optimizer": "lbfgs"}, {"device": "cuda:0"}], ids=str)
def test_what_nothing_is_known_of_has_no_pace_but_a_reason(other: dict[str, str]) -> None:
    """An iteration of L-BFGS looks many times, and a GPU is no CPU."""
    told = pace(sample(**other))

    assert told.seconds is None
    assert told.median_error is None
    assert told.basis == (
        "no dream by adam in precision auto has ended on cpu yet; the first will tell"
    )


def test_what_was_measured_says_nothing_of_another_optimizer() -> None:
    """How often L-BFGS looks in an iteration only its dreams tell."""
    spec = DreamSpec(optimizer="lbfgs")

    assert Pace.of([], spec, WORK, ("cpu",), FAST_MACHINE).seconds is None
    told = Pace.of([sample(2, optimizer="lbfgs")], spec, WORK, ("cpu",), FAST_MACHINE)
    assert told.seconds == pytest.approx(whole(2, spec.iterations))


def test_a_gpu_is_told_by_any_gpu_of_the_host() -> None:
    """Which of them is free nobody knows before."""
    told = pace(sample(device="cuda:1"), devices=("cuda:0",))

    assert told.seconds == pytest.approx(whole(1, 30))
