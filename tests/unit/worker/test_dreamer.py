"""What a job is told while its dream runs: frames, progress, states."""

import itertools
from threading import Event
from typing import Any

import pytest

from tests.unit.worker.stand_ins import Engine, Step, claim, dream


def test_every_progress_promises_a_frame_that_is_there() -> None:
    """Who reads iteration 2 of a dream that keeps every frame can fetch frame 2."""
    told = dream(claim(iterations=2), Engine(2))

    assert [what[:2] for what in told] == [
        ("begin",),
        ("frame", 0),
        ("frame", 1),
        ("progress", 1),
        ("checkpoint", 1),
        ("frame", 2),
        ("progress", 2),
        ("checkpoint", 2),
        ("succeed",),
    ]


def test_the_dream_steps_on_while_a_frame_is_written() -> None:
    """Frame 2 takes here until iteration 3 is done; it comes before what is told of 3."""
    slow, engine, third = claim(iterations=4), Engine(4), Event()
    step, publish = engine.step, slow.publish_frame

    def step_and_say() -> Step:
        done = step()
        if done.iteration == 3:
            third.set()
        return done

    def wait_for_third(iteration: int, *rest: Any) -> None:
        assert iteration != 2 or third.wait(60)
        publish(iteration, *rest)

    engine.step = step_and_say  # type: ignore[method-assign]
    slow.publish_frame = wait_for_third  # type: ignore[method-assign]

    told = dream(slow, engine)

    assert [what[1] for what in told if what[0] == "frame"] == [0, 1, 2, 3, 4]
    assert told[-1] == ("succeed",)


def test_what_a_step_notes_is_an_event_of_the_job() -> None:
    """That it was done again in full precision, say: no picture shows it."""
    told = dream(claim(iterations=1), Engine(1, note="not finite in 16 bit"))

    assert ("step-noted", {"iteration": 1, "note": "not finite in 16 bit"}) in told


def test_frames_are_kept_at_every_multiple_and_the_last_one_always() -> None:
    """With save_every 3, seven iterations give 0, 3, 6 and the result, 7."""
    told = dream(claim(iterations=7, save_every=3), Engine(7))

    assert [what[1] for what in told if what[0] == "frame"] == [0, 3, 6, 7]
    assert [what[1] for what in told if what[0] == "progress"] == [1, 2, 3, 4, 5, 6, 7]


class Clock:
    """A clock on which everything takes two seconds."""

    now = 0.0

    def __call__(self) -> float:
        self.now += 2
        return self.now


def test_the_time_left_follows_from_the_pace_so_far() -> None:
    """A dream that goes on at iteration 2 of 4 knows the pace of its own steps only."""
    told = dream(claim(iterations=4), Engine(4, first=2), clock=lambda: 7.0)
    assert [what[1:] for what in told if what[0] == "progress"] == [(3, 0.0), (4, 0.0)]

    told = dream(claim(iterations=4), Engine(4, first=2), clock=Clock())
    assert next(what[1:] for what in told if what[0] == "progress") == (3, 2.0)


def test_the_first_iteration_is_no_part_of_the_pace_of_the_others() -> None:
    """It also makes what they find made: 100 s here and 50 to save a state; the others take 2 s."""
    now = [0.0]

    class Cold(Engine):
        def step(self) -> Step:
            now[0] += 2 if self.iteration else 100
            return super().step()

        def state_dict(self, *, copied: bool) -> dict[str, Any]:
            now[0] += 50
            return super().state_dict(copied=copied)

    told = dream(claim(iterations=4), Cold(4), clock=lambda: now[0])

    left = [what[1:] for what in told if what[0] == "progress"]
    assert left == [(1, 300.0), (2, 4.0), (3, 2.0), (4, 0.0)]


def test_the_pace_is_of_iterations_that_are_done() -> None:
    """A GPU's first steps return at once: 100 s to make a graph, then 2 s an iteration."""
    now = [0.0]

    class Late(Engine):
        def step(self) -> Step:
            now[0] += 0 if self.iteration else 100
            done = super().step()
            self.under_way += 1
            self.settle(0 if self.finished else 2)
            return done

        def settle(self, leave: int) -> None:
            while self.under_way > leave:
                now[0] += 2
                self.under_way -= 1

        def state_dict(self, *, copied: bool) -> dict[str, Any]:
            self.settle(0)
            return super().state_dict(copied=copied)

    told = dream(claim(iterations=7, save_every=100), Late(7), clock=lambda: now[0])

    left = [what[1:] for what in told if what[0] == "progress"]
    assert left[:3] == [(1, 600.0), (2, 500.0), (3, 400.0)]  # as long as nobody knows better
    assert left[3:] == [(4, 6.0), (5, 4.0), (6, 2.0), (7, 0.0)]


def test_what_a_first_step_had_done_before_it_counts_for_the_pace() -> None:
    """It looked while the dream was made, 3 s; or half its time would be told for all others."""
    told = dream(claim(iterations=3), Engine(3), clock=lambda: 7.0, looked_s=3.0)

    assert [what[1:] for what in told if what[0] == "progress"] == [(1, 6.0), (2, 0.0), (3, 0.0)]


def test_a_dream_that_goes_on_publishes_only_what_comes() -> None:
    """Its earlier frames are published; its source is no frame of it any more."""
    told = dream(claim(iterations=4), Engine(4, first=2))

    assert [what[1] for what in told if what[0] == "frame"] == [3, 4]
    assert dream(claim(iterations=4), Engine(4, first=4))[-1] == ("succeed",)


def test_a_state_is_saved_after_the_first_step_and_then_as_costs_allow() -> None:
    """Saving takes 2 s of this clock, so 66 s pass to the next: no more than 3 % of the time."""
    told = dream(claim(iterations=100), Engine(100), clock=Clock())

    *saved, last = [what[1] for what in told if what[0] == "checkpoint"]
    assert (saved[0], last) == (1, 100)  # the last one for those who continue it
    # It is asked twice an iteration, and once more where the pace is counted from.
    passed = [2 * 2 * (after - before) for before, after in itertools.pairwise(saved)]
    assert passed[0] + 2 >= 66
    assert all(each >= 66 for each in passed[1:])
    assert len(saved) > 2


@pytest.mark.parametrize("first", [4, 0])
def test_a_continued_dream_begins_with_the_frame_it_goes_on_from(first: int) -> None:
    """Also where the parent's state is no use and the dream begins at the source once more."""
    told = dream(claim(iterations=8, save_every=3), Engine(8, first=first), begins_at=4)

    assert [what[1] for what in told if what[0] == "frame"] == [4, 6, 8]
