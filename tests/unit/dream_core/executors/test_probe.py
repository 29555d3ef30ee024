import fcntl
import json
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

from dream_core.costs import Costs
from dream_core.executors import REFERENCE, Paces, Probe, Rated, Way, probe
from dream_core.executors.building import ways_here
from dream_core.executors.probe import BUSY_COUNTS_S, HERE, machine

CPU = torch.device("cpu")
WAYS = ways_here(CPU)
FAST = min(WAYS, key=lambda way: (way.precision != "fast", WAYS.index(way)))


class Clock:
    """A measurement that is counted and whose outcome is known."""

    def __init__(self) -> None:
        self.asked: list[Sequence[Way]] = []
        self.busy = False

    def __call__(self, device: torch.device, ways: Sequence[Way]) -> Paces:
        """Find 16 bit a good deal faster."""
        self.asked.append(ways)
        seconds = {"exact": 0.4, "balanced": 0.3, "fast": 0.1}
        return Paces({way: seconds[way.precision] for way in ways}, self.busy)


@pytest.fixture
def clock() -> Clock:
    """What measures in a test."""
    return Clock()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Where figures are kept, in a folder that isn't there yet."""
    return tmp_path / "cache" / "probe.json"


def test_a_dream_in_python_has_all_bits_unless_it_asks_for_fewer() -> None:
    """Its gradient is looked at; the service and the command line give probes of their own."""
    assert HERE.way(CPU).precision == "exact"
    assert HERE.way(CPU, "fast") in WAYS


def test_a_machine_is_measured_once_for_all_processes(file: Path, clock: Clock) -> None:
    """The next process, which is another probe here, reads the file."""
    first, second = (Probe(file, measure=clock) for _ in range(2))

    assert first.way(CPU) == first.way(CPU) == second.way(CPU) == FAST
    assert len(clock.asked) == 1
    assert first.paces(CPU) == second.paces(CPU)


def test_other_threads_are_measured_for_themselves(file: Path, clock: Clock) -> None:
    """And the figures of before are kept beside."""
    Probe(file, measure=clock).way(CPU)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(before + 1)
        Probe(file, measure=clock).way(CPU)
    finally:
        torch.set_num_threads(before)
    Probe(file, measure=clock).way(CPU)

    assert len(clock.asked) == 2


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b'{"version": 2, "machines": {}}',
        b'{"version": 1, "machines": []}',
        b'{"version": 1, "machines": {"HERE": {"direct exact": "soon"}}}',
        b'{"version": 1, "machines": {"HERE": [1]}}',
        b'{"version": 1, "machines": {"HERE": {"direct exact": 1.0}}}',
        b'{"version": 1, "machines": {"HERE": {NONE}}}',
        b"\xff\x00",
    ],
)
def test_a_file_that_says_nothing_is_written_anew(file: Path, clock: Clock, content: bytes) -> None:
    """Torn, of a later version, edited by hand, of a version with fewer ways, or of no way."""
    file.parent.mkdir()
    none = ", ".join(f'"{way}": null' for way in WAYS)
    content = content.replace(b"HERE", machine(CPU).encode()).replace(b"NONE", none.encode())
    file.write_bytes(content)

    assert Probe(file, measure=clock).way(CPU) == FAST

    told = json.loads(file.read_bytes())["machines"][machine(CPU)]
    assert told.keys() == {str(way) for way in WAYS}
    Probe(file, measure=clock).way(CPU)
    assert len(clock.asked) == 1


def test_a_folder_that_can_not_be_made_costs_a_measurement_and_no_more(
    tmp_path: Path, clock: Clock
) -> None:
    """A file stands in its way, as no rights would: root may write anywhere."""
    blocked = tmp_path / "file"
    blocked.write_bytes(b"")

    assert Probe(blocked / "probe.json", measure=clock).way(CPU) == FAST
    assert Probe(None, measure=clock).way(CPU) == FAST
    assert len(clock.asked) == 2


def test_two_who_ask_at_once_measure_once(file: Path) -> None:
    """They would slow each other down; the second waits for the first and reads."""
    inside, may_end = threading.Event(), threading.Event()
    clock = Clock()

    def slow(device: torch.device, ways: Sequence[Way]) -> Paces:
        inside.set()
        may_end.wait()
        return clock(device, ways)

    found: list[Way] = []
    first = threading.Thread(target=lambda: found.append(Probe(file, measure=slow).way(CPU)))
    second = threading.Thread(target=lambda: found.append(Probe(file, measure=clock).way(CPU)))
    first.start()
    inside.wait()
    second.start()
    may_end.set()
    first.join()
    second.join()

    assert found == [FAST, FAST]
    assert len(clock.asked) == 1


def test_figures_are_read_whoever_holds_the_lock(file: Path, clock: Clock) -> None:
    """Nobody measures then; a worker that was stopped in the middle holds up no other."""
    Probe(file, measure=clock).way(CPU)

    with file.with_suffix(".lock").open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert Probe(file, measure=clock).way(CPU) == FAST

    assert len(clock.asked) == 1


def test_who_holds_the_lock_too_long_is_not_waited_for(
    file: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It measures for itself, and says why."""
    monkeypatch.setattr(probe, "PATIENCE_S", 0.1)
    file.parent.mkdir()

    with file.with_suffix(".lock").open("a") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert Probe(file, measure=clock).way(CPU) == FAST

    assert len(clock.asked) == 1
    assert "probe.lock is held by a process that measures no more" in caplog.text


def test_an_executor_by_name_is_taken_whatever_is_faster(clock: Clock) -> None:
    """The reference needs no measuring: it has one way only."""
    assert Probe(executor="autograd", measure=clock).way(CPU, "fast") == REFERENCE
    assert clock.asked == []
    assert Probe(executor="direct", measure=clock).way(CPU, "exact") == Way("direct", "exact")


def test_what_auto_stands_for_can_be_said(clock: Clock) -> None:
    """A dream that asks for a precision by name gets that all the same."""
    probe = Probe(precision="exact", measure=clock)

    assert probe.way(CPU).precision == "exact"
    assert probe.way(CPU, "fast") == FAST


class RatesClock:
    """A measurement of rates that is counted."""

    def __init__(self) -> None:
        self.asked: list[list[Way]] = []
        self.busy = False

    def __call__(self, device: torch.device, ways: Sequence[Way]) -> Rated:
        """Find each way's multiply-adds as slow as its place says."""
        self.asked.append(list(ways))
        found = {way: Costs(multiply_adds=(1 + WAYS.index(way)) * 1e-12) for way in ways}
        return Rated(found, busy=self.busy)


def test_the_rates_of_the_ways_that_are_taken_are_measured_once(file: Path, clock: Clock) -> None:
    """By precision, and kept beside the paces for all processes."""
    rates = RatesClock()
    first, second = (Probe(file, measure=clock, measure_rates=rates) for _ in range(2))

    told = first.rates(CPU)

    assert told == first.rates(CPU) == second.rates(CPU)
    assert {word: way for word, (way, *_) in told.items()} == {
        word: first.way(CPU, word) for word in ("exact", "balanced", "fast", "auto")
    }
    assert len(rates.asked) == len(clock.asked) == 1
    assert len(set(rates.asked[0])) == len(rates.asked[0])


def test_paces_outlive_rates_and_rates_paces(file: Path, clock: Clock) -> None:
    """Both lie in one file, and whoever writes one leaves the other as it is."""
    rates = RatesClock()
    Probe(file, measure=clock, measure_rates=rates).rates(CPU)
    told = json.loads(file.read_bytes())
    told["rates"][machine(CPU)] = {"direct exact": {"multiply_adds": -1.0}}
    file.write_text(json.dumps(told))

    Probe(file, measure=clock, measure_rates=rates).rates(CPU)

    assert (len(clock.asked), len(rates.asked)) == (1, 2)


def test_a_reference_by_name_has_no_rates(clock: Clock) -> None:
    """Who wants nothing measured has nothing measured."""
    rates = RatesClock()

    assert Probe(executor="autograd", measure=clock, measure_rates=rates).rates(CPU) == {}
    assert clock.asked == rates.asked == []


def test_a_way_that_there_was_no_time_for_is_not_tried_again(file: Path) -> None:
    """Or a slow machine would measure in every process."""
    asked: list[object] = []

    def slow(_: torch.device, ways: Sequence[Way]) -> Paces:
        asked.append(ways)
        return Paces({Way("direct", "exact"): 3.0})

    told = [Probe(file, measure=slow).way(CPU, "fast") for _ in range(2)]

    assert told == [Way("direct", "exact")] * 2
    assert len(asked) == 1


def test_what_was_measured_on_a_busy_machine_counts_for_a_while(file: Path, clock: Clock) -> None:
    """So long that the workers of a host, which start at once, don't all measure."""
    rates, now = RatesClock(), [1e9]
    clock.busy = rates.busy = True

    def another() -> Probe:
        return Probe(file, measure=clock, measure_rates=rates, now=lambda: now[0])

    first, second = another(), another()
    assert first.rates(CPU) == second.rates(CPU)
    assert first.paces(CPU).busy is second.paces(CPU).busy is True
    assert all(rate.busy for rate in second.rates(CPU).values())
    assert (len(clock.asked), len(rates.asked)) == (1, 1)

    now[0] += BUSY_COUNTS_S
    clock.busy = rates.busy = False
    assert not any(rate.busy for rate in another().rates(CPU).values())
    now[0] += BUSY_COUNTS_S
    assert not another().paces(CPU).busy
    assert (len(clock.asked), len(rates.asked)) == (2, 2)


@pytest.mark.parametrize("kept", [True, False])
def test_nor_does_it_count_for_longer_in_the_process_that_measured_it(
    file: Path, clock: Clock, kept: bool
) -> None:
    """A worker that started while the host did would take the wrong way for as long as it lives."""
    rates, now = RatesClock(), [1e9]
    ours = Probe(file if kept else None, measure=clock, measure_rates=rates, now=lambda: now[0])
    for clock.busy in (True, False):
        rates.busy = clock.busy
        for _ in range(2):
            assert ours.paces(CPU).busy is clock.busy
            assert {rate.busy for rate in ours.rates(CPU).values()} == {clock.busy}
        now[0] += BUSY_COUNTS_S
    assert not ours.paces(CPU).busy

    assert (len(clock.asked), len(rates.asked)) == (2, 2)


@pytest.mark.parametrize("at", [1e10, "yesterday", None])
def test_a_time_that_says_nothing_has_it_measured_anew(
    file: Path, clock: Clock, at: object
) -> None:
    """The clock was set back since, or somebody has edited the file."""
    clock.busy = True
    Probe(file, measure=clock, now=lambda: 1e9).way(CPU)
    told = json.loads(file.read_bytes())
    told["machines"][machine(CPU)]["busy_at"] = at
    file.write_text(json.dumps(told))

    Probe(file, measure=clock, now=lambda: 1e9).way(CPU)

    assert len(clock.asked) == 2


def test_rates_of_a_busy_machine_take_none_with_them(file: Path, clock: Clock) -> None:
    """Of one machine all were measured while it was busy, or none."""
    rates = RatesClock()
    exact = Probe(file, measure=clock, measure_rates=rates, executor="direct")
    exact.rates(CPU)
    rates.busy = True
    other = [way for way in WAYS if way.executor == "winograd"]

    Probe(file, measure=clock, measure_rates=rates).rates(CPU)

    kept = json.loads(file.read_bytes())["rates"][machine(CPU)]
    assert ("direct exact" in kept) is not bool(other)
