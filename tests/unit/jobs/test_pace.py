"""Pace: what was measured and earlier dreams say of a new one, and how far such words were off."""

from dataclasses import asdict
from typing import Any

import pytest

from dream_core.costs import TYPICAL, Costs
from dream_core.forms.storage import REFERENCE
from dream_core.spec import DreamSpec
from jobs.pace import LAST, Pace, Sample, whole
from jobs.presence import Rates

WORK = Costs(multiply_adds=1e11, elements=1e7, weights=1e7, asked=1e6)
FAST_MACHINE = Rates(
    executor="direct", precision="exact", threads=2, storage=REFERENCE, costs=TYPICAL
)
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
    """It took twice of what was measured: that is told, but it alone could have been disturbed."""
    told = pace(sample(2 * MEASURED), rates=FAST_MACHINE)

    assert told.seconds is not None
    assert whole(MEASURED, 30) < told.seconds < whole(1.2 * MEASURED, 30)
    assert told.median_error == pytest.approx(1 - whole(MEASURED, 30) / whole(2 * MEASURED, 30))
    assert told.basis == "from what was measured and 1 earlier dream on cpu, median error 50 %"


def test_many_dreams_outvote_what_was_measured() -> None:
    """Each took half as long again."""
    told = pace(*[sample(1.5 * MEASURED)] * LAST, rates=FAST_MACHINE)

    assert told.seconds == pytest.approx(whole(1.5 * MEASURED, 30), rel=0.06)


def test_a_measurement_that_two_dreams_contradict_is_believed_no_more() -> None:
    """Another program ran while the machine was measured: it seemed ten times as slow."""
    told = pace(*[sample(MEASURED / 10)] * 2, rates=FAST_MACHINE)

    assert told.seconds == pytest.approx(whole(MEASURED / 10, 30))


def test_what_was_measured_while_others_computed_is_said_and_counts_until_a_dream_has_ended() -> (
    None
):
    """Nobody knows how much too slow it is, but that it may be."""
    busy = FAST_MACHINE.model_copy(update={"busy": True})

    first, second = pace(rates=busy), pace(sample(MEASURED / 3), rates=busy)

    assert first.measured_while_busy
    assert first.seconds == pytest.approx(whole(MEASURED, 30))
    assert first.basis == (
        "from what was measured on cpu while other programs were busy there, error not known yet"
    )
    assert not second.measured_while_busy
    assert second.seconds == pytest.approx(whole(MEASURED / 3, 30))
    assert second.basis.startswith("from 1 earlier dream on cpu")
    assert not pace(rates=FAST_MACHINE).measured_while_busy


def test_dreams_of_another_way_than_the_measured_one_say_nothing() -> None:
    """A compiler was installed, and the probe has found a faster way than theirs."""
    slow = [sample(50.0, executor="autograd"), sample(50.0, threads=1)]

    assert pace(*slow, rates=FAST_MACHINE) == pace(rates=FAST_MACHINE)


def test_more_work_takes_more_time_in_proportion() -> None:
    """Where nothing was measured, one dream tells of all others."""
    known = sample(0.5)

    assert pace(known, costs=times(3)).seconds == pytest.approx(whole(1.5, 30))
    assert pace(known, costs=times(1 / 4)).seconds == pytest.approx(whole(0.125, 30))


def test_kinds_of_work_are_learned_apart() -> None:
    """A machine whose memory is slow: shallow dreams say little of deep ones, and both are told."""
    shallow = Costs(elements=1e7, large=1e7, asked=1e7, products=1e9)
    slow = 5 * shallow.seconds(TYPICAL)
    known = [sample(slow, shallow)] * 6 + [sample(MEASURED)] * 6

    deep, light = pace(*known, costs=times(0.9)), pace(*known, costs=times(2, shallow))

    assert deep.seconds == pytest.approx(whole(0.9 * MEASURED, 30), rel=0.15)
    assert light.seconds == pytest.approx(whole(2 * slow, 30), rel=0.15)


def test_one_dream_on_a_busy_machine_spoils_little() -> None:
    """However long it took: what is unlike all others counts least."""
    told = pace(sample(1.0), sample(90.0), sample(1.2))

    assert told.seconds is not None
    assert whole(1.0, 30) < told.seconds < whole(1.3, 30)


def test_only_the_last_dreams_are_asked() -> None:
    """The machine has got another job since; what was before is soon forgotten."""
    before = [sample(1.0, at=at) for at in range(100)]

    told = pace(*before, *[sample(3.0, at=1000 + at) for at in range(LAST)])

    assert told.seconds == pytest.approx(whole(3.0, 30))


def test_what_a_dream_took_beside_its_iterations_is_learned() -> None:
    """Reading, writing and a network that had to be loaded: 30 iterations of 1 s took 35 s."""
    told = pace(sample(1.0, seconds=35.0), costs=times(2))

    assert told.seconds == pytest.approx(whole(2.0, 30, 35.0 - whole(1.0, 30, 0.0)))


def test_a_dream_never_takes_less_than_its_iterations() -> None:
    """Clocks of two hosts may differ, and a start may seem to have taken less than no time."""
    assert pace(sample(1.0, seconds=3.0)).seconds == pytest.approx(30.0)


def test_the_error_is_that_of_each_dream_foretold_from_the_others() -> None:
    """2 from 3 is off by 1/2, 3 from 2 by 1/3; the median of both is 5/12."""
    told = pace(sample(2), sample(3))

    assert told.median_error == pytest.approx(5 / 12, rel=0.01)
    assert told.basis == "from 2 earlier dreams on cpu, median error 42 %"


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

    assert told.seconds == pytest.approx(whole(4, 30), rel=0.1)
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
