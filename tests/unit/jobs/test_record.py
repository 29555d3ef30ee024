from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

from jobs.record import MOVES, Order, Status


def test_terminal_is_terminal() -> None:
    """A job ends once: nothing follows the four endings, and every other state has a way on."""
    endings = {Status.SUCCEEDED, Status.CANCELED, Status.FAILED, Status.EXPIRED}

    assert {status for status in Status if status.terminal} == endings


def test_only_canceled_follows_canceling() -> None:
    """A cancelled job never runs later, and never succeeds after all."""
    assert MOVES[Status.CANCELING] == {Status.CANCELED}


def test_every_state_can_be_reached_and_left() -> None:
    """The table has no state that is forgotten: all lead from queued to an ending."""
    reached = {Status.QUEUED}
    for _ in Status:
        reached |= {after for status in reached for after in MOVES[status]}

    assert reached == set(Status) == set(MOVES)


def test_moments_are_written_in_utc_to_the_millisecond() -> None:
    """Every client reads the same form, whatever the clock's zone."""
    zone = timezone(timedelta(hours=2))
    moment = datetime(2026, 11, 23, 20, 0, 0, 123456, tzinfo=zone)
    order = Order(id="1", owner="local", queue="bulk", spec={}, created_at=moment)

    assert order.model_dump(mode="json")["created_at"] == "2026-11-23T18:00:00.123Z"
    assert order.created_at == moment.astimezone(UTC)


def test_the_docs_show_the_table_that_runs() -> None:
    """Who reads about the states reads the ones that are."""
    page = Path(__file__).parents[3] / "docs/explanation/ledger.md"
    rows = [
        f"| {status} | {', '.join(sorted(after))} |"
        for status, after in MOVES.items()
        if not status.terminal
    ]

    shown = page.read_text().split("| from | to |\n|---|---|\n")[1].split("\n\n")[0]

    assert sorted(shown.splitlines()) == sorted(rows)
