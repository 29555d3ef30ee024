import asyncio
import io
import json
import logging
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from jobs import logs
from jobs.settings import Settings


@pytest.fixture
def stream(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    """A stream to log to; logging is as it was afterwards."""
    for owner, hook in ((sys, "excepthook"), (sys, "unraisablehook"), (threading, "excepthook")):
        monkeypatch.setattr(owner, hook, getattr(owner, hook))
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


def test_what_is_bound_for_good_ends_with_its_task(stream: io.StringIO) -> None:
    """A request is a task of its own: its id stays to the end of it, and goes no further."""
    logs.set_up(Settings(log_format="json"), "api", stream)

    async def request(name: str) -> None:
        logs.bind(request=name)
        await asyncio.sleep(0)
        logging.getLogger("somewhere").info("here")

    async def both() -> None:
        await asyncio.gather(*(asyncio.create_task(request(name)) for name in "ab"))
        logging.getLogger("somewhere").info("after")

    asyncio.run(both())

    *here, after = map(json.loads, stream.getvalue().splitlines())
    assert [line["request"] for line in here] == ["a", "b"]
    assert "request" not in after


def test_a_field_of_one_line_is_for_programs(stream: io.StringIO) -> None:
    """A person reads it in the message already."""
    for form in ("json", "text"):
        logs.set_up(Settings(log_format=form), "api", stream)  # type: ignore[arg-type]
        logging.getLogger("somewhere").info("took 7 ms", extra={"fields": {"ms": 7}})

    first, second = stream.getvalue().splitlines()
    assert json.loads(first)["ms"] == 7
    assert second.endswith("took 7 ms")


def test_half_a_surrogate_pair_is_a_line_too(stream: io.StringIO) -> None:
    """What comes from outside may be no text at all; the stream is UTF-8."""
    logs.set_up(Settings(log_format="json"), "api", stream)

    logging.getLogger("somewhere").info("\ud800")

    assert json.loads(stream.getvalue().encode())["message"] == "?"


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("import warnings; warnings.warn('w-1')", "w-1"),
        ("import threading as t; t.Thread(target=lambda: 1 / 0).start()", "division by zero"),
        ("exec('class A:\\n def __del__(self): raise ValueError(7)'); A()", "7"),
        ("raise ValueError('v-1')", "v-1"),
    ],
)
def test_what_nobody_caught_is_one_object_too(statement: str, said: str) -> None:
    """Python itself would print many lines that no collector of logs puts together again."""
    begin = "from jobs import logs, settings; logs.set_up(settings.Settings(), 'api'); "

    ended = subprocess.run(
        [sys.executable, "-c", begin + statement], capture_output=True, text=True, check=False
    )

    (line,) = ended.stderr.splitlines()
    assert said in json.loads(line)["message"]
    assert ended.stdout == ""
