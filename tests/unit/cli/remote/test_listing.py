from datetime import UTC, datetime, timedelta
from typing import Any

import click
import pytest

from cli.remote.listing import age, described, table

ID = "01KAT3Y5W7ZQH9N4C8RSBV6XEM"


def job(**more: Any) -> dict[str, Any]:
    """Return the document of a running dream."""
    return {
        "id": ID,
        "status": "running",
        "parent": None,
        "spec": {"model": "vgg19", "layers": {"relu4_1": 100.0, "relu5_1": -0.5}},
        "source": {"width": 1200, "height": 800},
        "run": {"width": 512, "height": 341, "device": "cpu"},
        "progress": {"iteration": 12, "iterations": 30, "losses": {"relu5_1": 2.0}, "eta_s": 16.2},
        "queue": {"waits_for": None},
        "frames": {"count": 13, "latest": 12},
        "created_at": "2026-11-23T18:00:00.123Z",
        "finished_at": None,
        "expires_at": None,
        "problem": None,
        "links": {"result": None},
        **more,
    }


def plain(*arguments: Any) -> list[str]:
    """Return a table without its colors."""
    return [click.unstyle(line) for line in table(*arguments)]


def test_a_table_has_a_line_for_each_dream() -> None:
    """Id, status, model, layers with their doses, how far, how old; columns stand in line."""
    heading, first, second = plain([job(), job(status="succeeded")], None)

    assert heading.split() == ["id", "status", "model", "layers", "done", "age"]
    assert first.split()[:5] == [ID, "running", "vgg19", "relu4_1=100,relu5_1=-0.5", "12/30"]
    for column in ("status", "model", "layers", "done", "age"):
        at = heading.index(column)
        assert first[at - 2 : at] == second[at - 2 : at] == "  "
        assert first[at] != " " != second[at]


@pytest.mark.parametrize("model", ["vgg19", "inception_v3_torchvision"])
def test_eighty_columns_are_enough(model: str) -> None:
    """Layers are cut before the model, the id never: it is what one copies."""
    layers = {f"relu{block}_1": 1000.0 for block in range(1, 6)}
    spec = {"model": model, "layers": layers}

    lines = plain([job(spec=spec, status="canceling")], 80)

    assert max(map(len, lines)) <= 80
    assert lines[1].startswith(f"{ID}  canceling  ")
    assert "…" in lines[1]
    assert "12/30" in lines[1]


def test_a_pipe_gets_everything() -> None:
    """Nobody looks at its width."""
    layers = dict.fromkeys((f"relu{block}_1" for block in range(1, 6)), -1e6)

    assert (
        "relu1_1=-1e+06,relu2_1=-1e+06"
        in plain([job(spec={"model": "m", "layers": layers})], None)[1]
    )


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(-3, "0 s"), (59.9, "59 s"), (60, "1 min"), (7199, "1 h"), (86_400 * 3, "3 d")],
)
def test_an_age_is_told_in_its_largest_unit(seconds: float, said: str) -> None:
    """A clock that runs behind the server's makes no negative age."""
    then = datetime(2026, 11, 23, tzinfo=UTC)

    assert age(then.isoformat(), then + timedelta(seconds=seconds)) == said


def test_one_dream_is_told_in_full() -> None:
    """And nothing is said of what isn't known."""
    lines = list(described(job(), "http://service"))

    assert lines[0] == f"{ID} is running"
    assert "  progress   12/30, loss 2, 16 s left" in lines
    assert "  size       512 × 341, from 1200 × 800" in lines
    assert "  frames     13, the latest is 12" in lines
    assert not [line for line in lines if "None" in line or "problem" in line]


def test_a_dream_that_ended_has_nothing_left_to_wait_for() -> None:
    """Its last estimate is no news; its problem and its result are."""
    failed = job(
        status="failed",
        finished_at="2026-11-23T19:00:00Z",
        problem={"detail": "the disk is full"},
        links={"result": "/dreams/X/result"},
    )
    lines = list(described(failed, "http://service"))

    assert "  problem    the disk is full" in lines
    assert "  progress   12/30, loss 2" in lines
    assert "  result     http://service/dreams/X/result" in lines
