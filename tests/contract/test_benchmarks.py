"""Benchmarks: lines become the page, the page says what its lines do, all or nothing is written."""

import importlib
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from benchmarks import page
from benchmarks.__main__ import commands
from benchmarks.estimate import Told, own_room
from benchmarks.line import LEFT, WHOLE
from benchmarks.service import MEASURES

ROOT = Path(__file__).parents[2]
MODULES = sorted(file.stem for file in (ROOT / "benchmarks").glob("[a-z]*.py"))
FILES = {page.PAGE, page.LINES, page.PLOT}


def bench(folder: Path) -> subprocess.Popen[str]:
    """Start what `make bench ARGS=--quick` starts."""
    command = [sys.executable, "-m", "benchmarks", "--quick", "--to", str(folder)]
    return subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


HERE = {
    "device": "cpu",
    "cpu": "Some CPU",
    "instructions": "AVX2",
    "threads": 8,
    "versions": {"torch": "2.99", "python": "3.12"},
    "commit": "abc1234",
    "date": "2026-11-02",
}


def step(precision: str, ratio: float, layers: Sequence[str] = ("relu3_1",)) -> dict[str, Any]:
    """Return the line of an iteration that plain PyTorch takes 2 s and 1000 MB for."""
    return {
        "name": f"step {precision}",
        "value": 2 / ratio,
        "baseline": 2.0,
        "ratio": ratio,
        "peak_memory_bytes": 400_000_000,
        "baseline_peak_memory_bytes": 1_000_000_000,
        "layers": list(layers),
        "width": 640,
        "height": 480,
        "precision": precision,
        "way": f"winograd {precision}",
        "form": "whole",
        **HERE,
    }


def part_of(text: str, section: str) -> str:
    """Return a section of the page."""
    return text.split(f"## {section}\n")[1].split("\n## ", maxsplit=1)[0]


def labels(picture: str) -> set[str | None]:
    """Return the texts in a plot."""
    return {each.text for each in ElementTree.fromstring(picture).iter()}  # noqa: S314


def test_what_valkey_says_is_no_line_of_figures(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """It tells about its host on stdout, and `make bench` reads that of `benchmarks.estimate`."""
    with own_room(tmp_path):
        pass

    told = capfd.readouterr()
    assert told.out == ""
    assert "Valkey is now ready to exit" in told.err


@pytest.mark.parametrize("name", MODULES)
def test_every_benchmark_finds_what_it_needs(name: str) -> None:
    """Nobody runs them for weeks; what they import may move in between."""
    importlib.import_module(f"benchmarks.{name}")


def test_the_page_is_what_its_lines_say() -> None:
    """`python -m benchmarks.page` writes it anew."""
    text, picture = page.beside_others(page.own(page.FOLDER), page.FOLDER)

    assert (page.FOLDER / page.PAGE).read_text("utf-8") == text
    assert (page.FOLDER / page.PLOT).read_text("utf-8") == picture


def test_the_readme_says_what_the_tables_show() -> None:
    """It names the range of a precision over all pictures and layers, on the newest of our CPUs."""
    readme = (ROOT / "README.md").read_text("utf-8")

    for kind, precision, said in (
        ("epyc-avx512", "exact", "with 16-bit instructions it dreams {} times as fast"),
        ("epyc-avx512", "balanced", "{} times in `balanced`"),
        ("epyc-avx512", "fast", "{} times in `fast`"),
        ("epyc-avx2", "exact", "AVX2 alone {} times"),
    ):
        lines = page.read(page.FOLDER / f"performance-{kind}.jsonl")
        ratios = [line["ratio"] for line in lines if line.get("precision") == precision]
        assert said.format(f"{min(ratios):.0f} to {max(ratios):.0f}") in readme


def test_an_iteration_is_told_beside_plain_pytorch() -> None:
    """Seconds and memory, by picture, layers and precision, and the machine that they are of."""
    text, picture = page.contents([step("exact", 4.0), step("fast", 10.0)])

    assert "| 640 × 480 | relu3_1 | 2 s | 0.5 s (4.0 ×) | – | 0.2 s (10.0 ×) | – |" in text
    assert "| 640 × 480 | relu3_1 | 1000 | 400 (0.40) | – | 400 (0.40) | – |" in text
    where = "Some CPU (AVX2), 8 threads, measured on 2026-11-02"
    assert f"{where} at commit `abc1234` with torch 2.99 and Python 3.12:" in text
    assert {"640 × 480", "relu3_1", "4.0", "10.0", where} <= labels(picture)


def test_the_machine_measured_last_stands_first_and_in_the_plot() -> None:
    """An older one tells of older code."""
    older = {**HERE, "cpu": "Older CPU", "date": "2026-10-31"}
    cup = {"name": "a cup of tea", "value": 0.25, "unit": "s"}

    text, picture = page.contents(
        [{**step("fast", 4.0), **older}, {**cup, **older}, step("fast", 8.0), {**cup, **HERE}]
    )

    for section in ("One iteration", "Memory", "Around the iteration"):
        _, newer, older_table = re.split("Some CPU|Older CPU", part_of(text, section))
        assert "measured on 2026-11-02" in newer
        assert "measured on 2026-10-31" in older_table
    assert "8.0" in labels(picture)
    assert "4.0" not in labels(picture)


def test_what_is_measured_in_a_clone_takes_the_place_of_that_machine_alone(tmp_path: Path) -> None:
    """Ours stay as they are; every file that the page is of can be opened from it."""
    ours = {**step("fast", 4.0), "date": "2026-10-31"}
    kept = {"performance-old.jsonl": ours, "performance-other.jsonl": {**ours, "threads": 2}}
    for name, line in kept.items():
        (tmp_path / name).write_text(json.dumps(line))

    page.write([step("fast", 8.0)], tmp_path)

    text = (tmp_path / page.PAGE).read_text("utf-8")
    speeds = re.split("measured on", part_of(text, "One iteration"))[1:]
    assert [re.findall(r"[\d.]+ ×\)", one) for one in speeds] == [["8.0 ×)"], ["4.0 ×)"]]
    assert re.findall(r"\]\((.*jsonl)\)", text) == [page.LINES, "performance-other.jsonl"]
    assert all(page.read(tmp_path / name) == [line] for name, line in kept.items())


def test_a_line_of_any_other_benchmark_comes_on_the_page_by_its_name() -> None:
    """Whoever writes one need not touch the page; each machine has a table of its own."""
    other = {"name": "a cup of tea", "value": 0.25, "unit": "s", "baseline": 0.2, "ratio": 1.25}
    there = {**HERE, "device": "cuda:0", "gpu": "Some GPU", "threads": 1}

    text, _ = page.contents([step("fast", 8.0), {**other, **HERE}, {**other, **there}])

    here, elsewhere = part_of(text, "Around the iteration").split("Some GPU beside Some CPU")
    assert "Some CPU (AVX2), 8 threads, measured" in here
    assert "| a cup of tea | 0.25 s | 0.2 s | 1.25 |" in here
    assert "| a cup of tea | 0.25 s | 0.2 s | 1.25 |" in elsewhere


def test_a_ratio_is_told_with_how_far_turns_lie_apart() -> None:
    """The median of ratios isn't the ratio of the medians, and would contradict it alone."""
    paced = {"name": "cups", "value": 0.133, "baseline": 0.12, "ratio": 1.03, "unit": "s"}

    text, _ = page.contents([step("fast", 8.0), {**HERE, **paced, "ratios": [1.011, 1.239]}])

    assert "| cups | 0.133 s | 0.12 s | 1.03 (1.01 to 1.24) |" in text


def test_a_dream_on_a_gpu_is_told_with_its_memory() -> None:
    """Here a ratio is how many times as fast, which is no ratio of a figure to its baseline."""
    gpu = {**HERE, "device": "cuda:0", "gpu": "Some GPU", "name": "1000 iterations relu5_1 fast"}
    times = {"value": 2.5, "baseline": 50.0, "ratio": 20.1, "ratios": [19.8, 20.2], "unit": "s"}
    peaks = {"peak_memory_bytes": 900_000_000, "baseline_peak_memory_bytes": 3_000_000_000}

    text, _ = page.contents([step("fast", 8.0), {**gpu, **times, **peaks}])

    told = part_of(text, "A dream on a GPU")
    assert "Some GPU beside Some CPU" in told
    assert "| 1000 iterations relu5_1 fast | 50 s | 2.5 s (20.1 ×) | 3000 | 900 (0.30) |" in told
    assert "Around the iteration" not in text


def test_an_error_is_told_with_the_worst_case() -> None:
    """A median alone would hide it."""
    off = {
        "name": "estimate",
        "value": 0.084,
        "unit": "median |told / taken - 1|",
        "largest": 0.5,
        **HERE,
    }

    text, _ = page.contents([step("fast", 8.0), off])

    assert "| estimate | off by 8.4 %, at most 50 % | – |" in text


def test_what_time_left_is_off_by_is_told_of_the_whole_dream() -> None:
    """Where 0.1 s of 10 are left, half a second would be five times too much."""
    told = Told(None, None, None, busy=False, taken_s=10.0, ended_at=100.0)
    told.etas += [(95.0, 3.0), (99.9, 0.6), (100.0, 0.0)]

    assert [told.late(iteration) for iteration in (1, 2, 3)] == [
        pytest.approx(-0.2),
        pytest.approx(0.05),
        None,
    ]
    off = {"name": "time left", "value": 0.02, "unit": LEFT, "largest": 0.05, **HERE}
    text, _ = page.contents([step("fast", 8.0), off])
    assert "| time left | off by 2.0 % of the whole, at most 5 % | – |" in text


def test_what_older_code_told_in_another_unit_is_left_out() -> None:
    """Of a time left that nears nothing, a tenth of a second is a thousand percent."""
    told = {"name": "time left", "value": 0.02, "largest": 0.05, **HERE}
    older = {**told, "cpu": "Older CPU", "date": "2026-10-31", "unit": WHOLE, "largest": 39.96}

    text, _ = page.contents([step("fast", 8.0), {**told, "unit": LEFT}, older])

    assert "at most 5 %" in text
    assert "3996 %" not in text


def test_an_error_that_the_page_cannot_word_is_refused() -> None:
    """It is off by a part of something, and the page would not say of what."""
    off = {"name": "tea", "value": 0.02, "largest": 0.05, "unit": "median |cups| / day", **HERE}

    with pytest.raises(
        ValueError, match=r"no words for the unit of 'tea', 'median \|cups\| / day'"
    ):
        page.contents([step("fast", 8.0), off])


def test_what_nobody_has_measured_is_said_until_somebody_has() -> None:
    """No figure of a GPU is on the page before there is one."""
    gpu = {**step("fast", 90.0), "device": "cuda:0"}

    (without, _), (with_gpu, _) = page.contents([step("fast", 8.0)]), page.contents([gpu])

    assert "No figure above is of one" in without
    assert "No figure above is of one" not in with_gpu


def test_a_run_writes_lines_plot_and_page(tmp_path: Path) -> None:
    """From the command to the files, on a tiny picture: what a line holds, a reader can rely on."""
    run = bench(tmp_path)
    told, said = run.communicate(timeout=200)

    assert run.returncode == 0, said
    assert {file.name for file in tmp_path.iterdir()} == FILES
    (line,) = map(json.loads, told.splitlines())
    assert page.read(tmp_path / page.LINES) == [line]
    assert line["value"] > 0
    assert 0 < line["ratios"][0] <= line["ratio"] <= line["ratios"][1]
    assert line["peak_memory_bytes"] > 50e6
    assert set(line["versions"]) == {"torch", "python", "torch_inception"}
    assert (line["device"], line["threads"] > 0, bool(line["commit"])) == ("cpu", True, True)
    assert abs(date.fromisoformat(line["date"]) - datetime.now(UTC).date()) <= timedelta(days=1)
    assert "[1 of 1, 0:00]" in said


def test_make_bench_asks_for_every_measure_of_the_service_and_longest_for_polling() -> None:
    """What clients cost an iteration lies near its limit, and turns differ by more than that."""
    asked = [command for command in commands(quick=False) if command[0] == "benchmarks.service"]

    (polling,) = [command for command in asked if "polling" in command]
    assert int(polling[polling.index("--rounds") + 1]) >= 8
    assert sorted(word for command in asked for word in command if word in MEASURES) == sorted(
        MEASURES
    )


def test_precisions_that_run_in_one_way_are_measured_as_one() -> None:
    """A CPU without instructions for 16 bit would spend half of the run on what it has measured."""
    asked = ["--size", "48", "64", "--layers", "relu1_1", "--rounds", "2", "--executor", "autograd"]
    run = subprocess.run(
        [sys.executable, "-m", "benchmarks.step", *asked, "--precisions", "exact", "fast"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )

    exact, fast = map(json.loads, run.stdout.splitlines())
    assert (exact["precision"], fast["precision"]) == ("exact", "fast")
    assert exact["way"] == fast["way"] == "autograd exact"
    assert {**exact, "name": "", "precision": ""} == {**fast, "name": "", "precision": ""}
    assert [each for each in run.stderr.splitlines() if "memory" in each] == [
        "  memory of plain",
        "  memory of exact",
    ]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_run_that_is_interrupted_writes_nothing(tmp_path: Path, number: signal.Signals) -> None:
    """Half a page would look like a whole one; what it had started ends with it.

    In the background of a shell too, where Ctrl-C is ignored and only SIGTERM ends it.
    """
    before = signal.signal(
        signal.SIGINT, signal.SIG_IGN if number == signal.SIGTERM else signal.SIG_DFL
    )
    try:
        run = bench(tmp_path)
    finally:
        signal.signal(signal.SIGINT, before)
    assert run.stderr is not None
    while "warmed up" not in (said := run.stderr.readline()):
        assert said, "it ended by itself"

    os.kill(run.pid, number)
    _, said = run.communicate(timeout=200)  # its pipes are closed when its children have ended too

    assert run.returncode == 130
    assert list(tmp_path.iterdir()) == []
    assert "Traceback" not in said


SERVING = """
import time
from benchmarks.line import run
from benchmarks.serving import serving

def main():
    with serving(workers=1, preload="none") as service:
        print(service.process.pid, flush=True)
        time.sleep(600)

run(main)
"""


def test_a_service_ends_with_the_benchmark_that_started_it() -> None:
    """One that was left would lie beside all that is measured after it."""
    command = [sys.executable, "-c", SERVING]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as measuring:
        assert measuring.stdout is not None
        service = int(measuring.stdout.readline())

        measuring.terminate()

    assert measuring.returncode == 130
    with pytest.raises(ProcessLookupError):
        os.kill(service, 0)
