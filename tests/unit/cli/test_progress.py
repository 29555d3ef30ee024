import io

import pytest
from rich.console import Console

from cli.album import evenly
from cli.progress import Bar, dreaming, duration, pulled


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0.44, "0.4 s"),
        (9.96, "10 s"),
        (59.6, "1 min 00 s"),
        (185, "3 min 05 s"),
        (7800, "2 h 10 min"),
    ],
)
def test_times_are_said_as_people_do(seconds: float, said: str) -> None:
    """No 60 s, no 3605 s."""
    assert duration(seconds) == said


def test_a_dream_tells_how_far_its_loss_and_what_is_left() -> None:
    """What stands beside the bar."""
    assert dreaming(12, 30, {"a": 31250.5, "b": 1}, 16.2) == "12/30, loss 3.125e+04, 16 s left"
    assert dreaming(30, 30, {"a": 2.0}, 0.0) == "30/30, loss 2"
    assert dreaming(1, 30, {"a": None}, None) == "1/30, loss not a number"
    assert dreaming(0, 30, {}, None) == "0/30"


def test_a_download_of_unknown_length_still_counts() -> None:
    """Where nobody knows the whole, what has come is said."""
    assert pulled(12_300_000, 80_000_000) == "12 of 80 MB"
    assert pulled(12_300_000, None) == "12 MB"


def test_without_a_terminal_the_last_state_is_one_line() -> None:
    """A log gets no bar, and still says how it ended."""
    log = io.StringIO()
    with Bar("dreaming", Console(file=log)) as bar:
        for iteration in range(31):
            bar.at(iteration, 30, f"{iteration}/30")

    assert log.getvalue() == "dreaming 30/30\n"


def test_on_a_terminal_the_bar_shows_its_note() -> None:
    """Loss and time left move with it."""
    screen = io.StringIO()
    with Bar("dreaming", Console(file=screen, force_terminal=True, width=80)) as bar:
        bar.at(30, 30, "30/30, loss 7")

    assert "loss 7" in screen.getvalue()
    assert "━" in screen.getvalue()


@pytest.mark.parametrize(
    ("count", "chosen"),
    [(1, [0]), (3, [0, 1, 2]), (31, [0, 3, 6, 9, 12, 15, 18, 21, 24, 27, 30])],
)
def test_a_sheet_shows_first_and_last_and_evenly_between(count: int, chosen: list[int]) -> None:
    """Eleven frames of any number."""
    assert evenly(range(count), 11) == chosen
