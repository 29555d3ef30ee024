"""Pace: what earlier dreams say of a new one, and how far such words were off."""

from typing import Any

import pytest

from dream_core.spec import DreamSpec
from jobs.pace import NEAREST, Pace, Sample

WORK = 1e9


def sample(seconds: float = 1.0, work: float = WORK, **more: Any) -> Sample:
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
        "multiply_adds": work,
        "seconds_per_iteration": seconds,
        "iterations": 30,
    }
    return Sample(**{**told, **more})


def pace(*samples: Sample, work: float = WORK, devices: tuple[str, ...] = ("cpu",)) -> Pace:
    """Return the pace of a dream with the default spec."""
    return Pace.of(samples, DreamSpec(), work, devices)


def test_more_work_takes_more_time_in_proportion() -> None:
    """What is kept of a dream is not its seconds but its seconds for each multiply-add."""
    known = sample(0.5)

    assert pace(known, work=3 * WORK).seconds_per_iteration == pytest.approx(1.5)
    assert pace(known, work=WORK / 4).seconds_per_iteration == pytest.approx(0.125)


def test_dreams_of_about_the_same_work_are_asked() -> None:
    """A small picture costs more for each multiply-add, and says little of a large one."""
    small = [sample(0.3, WORK / 10)] * 20
    large = [sample(1.0, WORK)] * NEAREST

    assert pace(*small, *large, work=0.9 * WORK).seconds_per_iteration == pytest.approx(0.9)


def test_one_dream_on_a_busy_machine_spoils_nothing() -> None:
    """The median of several is told, not their mean."""
    told = pace(sample(1.0), sample(90.0), sample(1.2))

    assert told.seconds_per_iteration == pytest.approx(1.2)


def test_the_error_is_that_of_each_dream_foretold_from_the_others() -> None:
    """2 from 3 and 6 is 4.5, 3 from 2 and 6 is 4, 6 from 2 and 3 is 2.5: off by 5/4, 1/3, 7/12."""
    told = pace(sample(2), sample(3), sample(6))

    assert told.median_error == pytest.approx(7 / 12)
    assert told.basis == "from 3 earlier dreams on cpu, median error 58 %"


def test_one_dream_alone_has_an_unknown_error() -> None:
    """Nothing foretells it; an error that nobody has seen isn't told."""
    told = pace(sample(2))

    assert told.seconds_per_iteration == 2
    assert told.median_error is None
    assert told.basis == "from 1 earlier dream on cpu, error not known yet"


def test_other_models_stand_in_by_their_work() -> None:
    """And their error is that of models foretold from models that are others."""
    others = sample(2, model="a"), sample(2, model="a"), sample(3, model="b")

    told = pace(*others, work=2 * WORK)

    assert told.seconds_per_iteration == pytest.approx(4)
    assert told.median_error == pytest.approx(1 / 2)  # 2 from 3, twice: off by 1/2; 3 from 2: 1/3
    assert told.basis == "from 3 earlier dreams of other models on cpu, median error 50 %"


def test_its_own_model_is_asked_before_others() -> None:
    """However many the others are: not all of a network's time is multiply-adds."""
    assert pace(sample(2), *[sample(9, model="a")] * 9).seconds_per_iteration == 2


def test_only_dreams_that_were_run_as_the_newest_one_count() -> None:
    """A compiler was installed, or a worker added: what was before says nothing of today."""
    now = sample(1, at=9, executor="winograd")
    before = [sample(5, at=3), sample(5, at=5, threads=1, executor="winograd")]

    assert pace(*before, now).seconds_per_iteration == 1


def test_a_precision_by_name_is_told_by_what_was_run_in_it() -> None:
    """Whether it was asked for so, or `auto` became it."""
    became = sample(1, precision="fast")
    by_name = sample(2, asked="exact")

    def told(precision: str) -> float | None:
        spec = DreamSpec(precision=precision)  # type: ignore[arg-type]
        return Pace.of([became, by_name], spec, WORK, ("cpu",)).seconds_per_iteration

    assert (told("fast"), told("exact"), told("auto"), told("balanced")) == (1, 2, 1, None)


@pytest.mark.parametrize("other", [{"optimizer": "lbfgs"}, {"device": "cuda:0"}], ids=str)
def test_what_nothing_is_known_of_has_no_pace_but_a_reason(other: dict[str, str]) -> None:
    """An iteration of L-BFGS looks many times, and a GPU is no CPU."""
    told = pace(sample(**other))

    assert told.seconds_per_iteration is None
    assert told.median_error is None
    assert told.basis == (
        "no dream by adam in precision auto has ended on cpu yet; the first will tell"
    )


def test_a_gpu_is_told_by_any_gpu_of_the_host() -> None:
    """Which of them is free nobody knows before."""
    assert pace(sample(device="cuda:1"), devices=("cuda:0",)).seconds_per_iteration == 1
