"""How a dream ends that is stopped: by its user, its deadline or its worker."""

from threading import Event
from typing import Any

import pytest

from dream_core.errors import Interrupted
from tests.unit.worker.stand_ins import Engine, Quick, Step, claim, dream, problem
from worker.dreamer import Dreamer, Prepared


def test_a_worker_that_stops_gives_its_job_back_between_two_steps() -> None:
    """Nothing is half done, and the job isn't failed for a deploy."""
    stopping = Event()
    stopping.set()

    told = dream(claim(iterations=3), Engine(3, first=1), stopping)

    assert told[-1] == ("give_back",)
    assert "checkpoint" not in [what[0] for what in told]  # it stands where it was resumed
    assert "progress" not in [what[0] for what in told]


def test_what_was_dreamed_is_kept_when_the_job_is_given_back() -> None:
    """The next worker goes on where this one stopped, not where it last saved."""
    stopping = Event()
    engine = Engine(9)
    step = engine.step

    def stop_at_three() -> Step:
        if engine.iteration == 2:
            stopping.set()
        return step()

    engine.step = stop_at_three  # type: ignore[method-assign]

    told = dream(claim(iterations=9), engine, stopping)

    assert told[-2:] == [("checkpoint", 3, 3), ("give_back",)]


def test_a_dream_past_its_deadline_stops_between_two_steps_and_can_be_continued() -> None:
    """It fails with how far it came, and leaves the state of that very iteration."""
    late, engine = claim(iterations=9), Engine(9)
    step = engine.step

    def be_late_at_two() -> Step:
        late.late = engine.iteration == 1
        return step()

    engine.step = be_late_at_two  # type: ignore[method-assign]

    told = dream(late, engine)

    assert told[-2] == ("checkpoint", 2, 2)
    found = problem(told)
    assert found.code == "deadline-passed"
    assert "iteration 2 of 9" in found.detail


@pytest.mark.parametrize("reason", ["late", "stopping"])
def test_a_dream_that_is_done_succeeds_though_it_is_late_or_its_worker_stops(reason: str) -> None:
    """All that was asked for is there: nothing is gained by saying no, or by doing it again."""
    stopping, done = Event(), claim(iterations=2)
    if reason == "late":
        done.late = True
    else:
        stopping.set()

    assert dream(done, Engine(2, first=2), stopping)[-1] == ("succeed",)


def test_a_cancelled_job_stops_at_the_next_step() -> None:
    """Cancel is seen by the write before; no further step is paid for."""
    cancelled = claim(iterations=3)
    cancelled.canceling = True

    assert dream(cancelled, Engine(3))[-1] == ("canceled",)


@pytest.mark.parametrize(("canceled", "ending"), [(True, "canceled"), (False, "give_back")])
def test_a_dream_left_in_the_middle_of_a_step_ends_as_asked(canceled: bool, ending: str) -> None:
    """Between two parts of a large picture: what was done before is kept."""
    asked = claim(iterations=3)
    stopping = Quick()

    class Left(Engine):
        def step(self) -> Step:
            if self.iteration == 1:
                asked.canceling = canceled
                stopping.set()
                raise Interrupted(1)
            return super().step()

    told = dream(asked, Left(3), stopping)

    assert told[-2:] == [("checkpoint", 1, 1), (ending,)]


def test_a_dream_left_before_its_first_step_goes_back() -> None:
    """While its targets were fixed, part by part."""
    asked = claim(iterations=3)

    def prepare(*_: Any) -> Prepared:
        raise Interrupted(0)

    Dreamer(prepare, "cpu", Event(), leave=lambda: None).run(asked)

    assert asked.told == [("give_back",)]
