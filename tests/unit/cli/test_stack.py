import os
import signal
from collections.abc import Callable
from typing import Any

import pytest

from cli.errors import RoomFailed, RoomLate
from cli.up import stack as stack_module
from cli.up.log import Log
from cli.up.room import Patience, RoomPlan
from cli.up.stack import Stack

IMPATIENT = Patience(quick_s=60, tries=3, first_delay_s=0.001, longest_delay_s=0.01)
MakePlan = Callable[..., RoomPlan]


def make(heard: Any, *plans: RoomPlan, patience: Patience = IMPATIENT) -> Stack:
    """Return a stack of stand-ins whose log is heard."""
    return Stack(plans, "http://127.0.0.1:1", Log(heard), patience)


def test_every_line_stands_behind_the_name_of_its_room(heard: Any, plan: MakePlan) -> None:
    """One log tells who speaks."""
    with make(heard, plan("api", "serve"), plan("worker", "serve")):
        heard.wait_for(r"runs as", times=2)

    assert "api      | api runs as " in heard.getvalue()
    assert "worker   | worker runs as " in heard.getvalue()


def test_what_tells_a_user_nothing_is_left_out(heard: Any, plan: MakePlan) -> None:
    """That line alone, and it isn't passed on as a room's last words either."""
    with (
        make(heard, plan("valkey", "die", noise="no reason to live")) as stack,
        pytest.raises(RoomFailed, match="it said last: valkey runs as"),
    ):
        stack.wait()

    assert len(heard.wait_for(r"valkey   \| valkey runs as")) == IMPATIENT.tries
    assert "no reason to live" not in heard.getvalue()


def test_a_room_that_dies_is_started_again(heard: Any, plan: MakePlan) -> None:
    """A kill -9 of a room costs its own life only, and the log says so."""
    with make(heard, plan("worker", "serve")) as stack:
        first = int(heard.wait_for(r"runs as (\d+)")[0])
        os.kill(first, signal.SIGKILL)
        pids = heard.wait_for(r"runs as (\d+)", times=2)
        stack.check()

    assert int(pids[1]) != first
    assert "worker ended (exit status -9); starting it again in 0.001 s" in heard.getvalue()


def test_a_room_that_is_killed_again_and_again_is_started_again(heard: Any, plan: MakePlan) -> None:
    """It could start: whoever kills it has a reason that may pass, and the others are needed."""
    with make(heard, plan("worker", "serve")) as stack:
        for life in range(1, IMPATIENT.tries + 3):
            pid = int(heard.wait_for(r"runs as (\d+)", times=life)[-1])
            os.kill(pid, signal.SIGKILL)
        heard.wait_for(r"runs as (\d+)", times=IMPATIENT.tries + 3)
        stack.check()


def test_a_room_that_leaves_again_and_again_is_started_again(heard: Any, plan: MakePlan) -> None:
    """A worker leaves after each dream too large for the memory, and five of them may come."""
    with make(heard, plan("worker", "leave")) as stack:
        heard.wait_for(r"runs as (\d+)", times=IMPATIENT.tries + 3)
        stack.check()


def test_a_room_that_dies_again_and_again_ends_the_wait_with_its_last_words(
    heard: Any, plan: MakePlan
) -> None:
    """A worker that can't start is a sentence for the user, not an endless loop."""
    with (
        make(heard, plan("worker", "die")) as stack,
        pytest.raises(RoomFailed, match=r"3 times in a row.*worker has no reason to live"),
    ):
        stack.wait()

    assert len(heard.wait_for(r"runs as")) == IMPATIENT.tries


def test_a_room_that_ends_before_it_is_ready_ends_the_start(
    heard: Any, plan: MakePlan, wait_ended: Callable[[int], None]
) -> None:
    """What is wrong at the start is said at once, and what had started is stopped.

    The words are those of the life that ended, though the next one has begun to speak.
    """
    valkey = plan("valkey", "serve", ready=lambda: "valkey runs as" in heard.getvalue())
    api = plan("api", "die", ready=lambda: not heard.wait_for("api runs as", times=2))

    with (
        pytest.raises(RoomFailed, match=r"api ended .*no reason to live"),
        make(heard, valkey, api),
    ):
        pytest.fail("the stack came up")

    wait_ended(int(heard.wait_for(r"valkey runs as (\d+)")[0]))


def test_a_room_that_runs_but_is_never_ready_ends_the_start(
    heard: Any, plan: MakePlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It didn't end, and isn't said to have."""
    monkeypatch.setattr(stack_module, "READY_WITHIN_S", 0.05)
    api = plan("api", "serve", ready=lambda: not heard.wait_for("api runs as"))

    with (
        pytest.raises(RoomLate, match=r"api isn't ready after 0\.05 s; it said last: api runs as"),
        make(heard, api),
    ):
        pytest.fail("the stack came up")


def test_the_next_room_starts_when_the_one_before_is_ready(heard: Any, plan: MakePlan) -> None:
    """API and worker never meet a Valkey that isn't there yet."""
    asked: list[bool] = []

    def ready() -> bool:
        asked.append("api runs" in heard.getvalue())
        return len(asked) > 3

    with make(heard, plan("valkey", "serve", ready=ready), plan("api", "serve")):
        heard.wait_for("api runs as")

    assert asked == [False] * 4


def test_a_room_that_cannot_be_started_is_told_like_one_that_died(heard: Any) -> None:
    """A host out of processes, say: tried again, then said."""
    missing = RoomPlan("worker", ("/nonexistent/python",))

    with make(heard, missing) as stack, pytest.raises(RoomFailed, match=r"127.*No such file"):
        stack.wait()


def test_a_death_once_in_a_long_life_is_not_counted_with_the_next(
    heard: Any, plan: MakePlan
) -> None:
    """Only starts that fail in a row end the stack: long lives begin the count anew."""
    lives_long = Patience(quick_s=0, tries=2, first_delay_s=0.001)
    with make(heard, plan("worker", "serve"), patience=lives_long) as stack:
        for life in range(1, 5):
            os.kill(int(heard.wait_for(r"runs as (\d+)", times=life)[-1]), signal.SIGKILL)
        heard.wait_for("runs as", times=5)
        stack.check()


def test_what_carries_others_stops_last(heard: Any, plan: MakePlan) -> None:
    """A worker gives its job back to a Valkey that still runs."""
    with make(heard, plan("valkey", "serve", carries_others=True), plan("worker", "serve")):
        heard.wait_for("runs as", times=2)

    goodbyes = heard.wait_for(r"(\w+) says goodbye", times=2)
    assert goodbyes == ["worker", "valkey"]


def test_a_room_that_is_deaf_is_killed_at_the_deadline(
    heard: Any, plan: MakePlan, wait_ended: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """No room outlives the stack, whatever it does with SIGTERM."""
    monkeypatch.setattr(stack_module, "GRACE_S", 0.05)
    with make(heard, plan("worker", "deaf")):
        heard.wait_for("worker runs as")

    assert "worker doesn't stop; killing it" in heard.getvalue()
    wait_ended(int(heard.wait_for(r"runs as (\d+)")[0]))


def test_a_second_ctrl_c_does_not_cut_off_the_stop(
    heard: Any, plan: MakePlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever presses it twice still finds no process left."""
    monkeypatch.setattr(stack_module, "GRACE_S", 0.05)
    stack = make(heard, plan("valkey", "serve", carries_others=True), plan("worker", "deaf"))
    with stack:
        heard.wait_for("worker runs as")
        worker = stack.rooms[1]
        ask = worker.ask_to_stop
        monkeypatch.setattr(worker, "ask_to_stop", lambda: (ask(), os.kill(os.getpid(), 2)))

    assert [room.pid for room in stack.rooms] == [None, None]


def test_what_a_room_started_goes_with_it(
    heard: Any, plan: MakePlan, wait_ended: Callable[[int], None]
) -> None:
    """A pull's pip doesn't outlive the worker that ran it, not even one that is killed."""
    with make(heard, plan("worker", "leave-a-child")):
        heard.wait_for("child runs as")
        grandchild = int(heard.wait_for(r"child runs as (\d+)")[0])
        os.kill(int(heard.wait_for(r"worker runs as (\d+)")[0]), signal.SIGKILL)
        wait_ended(grandchild)


def test_delays_double_up_to_a_limit() -> None:
    """A room that fails at once is no busy loop, and one that fails long isn't forgotten."""
    delays = [Patience().delay_s(failures) for failures in range(1, 8)]

    assert delays == [0.5, 1, 2, 4, 8, 10, 10]
