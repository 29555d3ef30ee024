import io
import json
import logging
from collections.abc import Iterator

import pytest

from jobs import logs
from jobs.settings import Settings


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    """A stream to log to; logging is as it was afterwards."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield io.StringIO()
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.captureWarnings(False)


def test_a_line_for_machines_is_one_object_with_the_jobs_id(stream: io.StringIO) -> None:
    """What happened to a job is found by its id, whichever module said it."""
    logs.set_up(Settings(log_format="auto"), "worker", stream)

    with logs.bound(job="01KAT"):
        logging.getLogger("somewhere").warning("it is\nlate: %d", 7)
    logging.getLogger("somewhere").info("over")

    inside, outside = map(json.loads, stream.getvalue().splitlines())
    assert (
        inside.items()
        >= {
            "level": "warning",
            "process": "worker",
            "logger": "somewhere",
            "message": "it is\nlate: 7",
            "job": "01KAT",
        }.items()
    )
    assert "job" not in outside


def test_a_line_for_people_says_who_and_what(stream: io.StringIO) -> None:
    """On a terminal a line is read, not parsed; the traceback comes below it."""
    logs.set_up(Settings(log_format="text"), "api", stream)

    try:
        raise ValueError("odd")
    except ValueError:
        with logs.bound(job="01KAT"):
            logging.getLogger("somewhere").exception("it broke")

    first, *rest = stream.getvalue().splitlines()
    assert first.endswith(" api     ERROR it broke  job=01KAT")
    assert rest[0].startswith("Traceback")
    assert rest[-1] == "ValueError: odd"


def test_the_level_is_the_setting(stream: io.StringIO) -> None:
    """A deployer who asks for warnings isn't told of every dream."""
    logs.set_up(Settings(log_level="warning", log_format="text"), "api", stream)

    logging.getLogger("somewhere").info("quiet")

    assert stream.getvalue() == ""
