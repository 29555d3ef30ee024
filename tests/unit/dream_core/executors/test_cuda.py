"""How a capture is asked for; the graphs themselves nobody has run."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import pytest
import torch

from dream_core.executors.cuda import WARM_UPS, CudaStream, _streams, multiplying_in_full
from dream_core.executors.memory import ran_out

GPU = torch.device("cuda:0")
INVALID = "CUDA error: operation failed due to a previous error during capture"


class Queue:
    """A stream."""

    taken = 0

    def __init__(self, *_: object) -> None:
        self.waits: list[object] = []
        Queue.taken += 1

    def wait_stream(self, other: object) -> None:
        """Run behind all that is on another."""
        self.waits.append(other)


class Graph:
    """A graph that counts how often it is replayed."""

    def __init__(self) -> None:
        self.replayed = 0

    def replay(self) -> None:
        """Run what was captured."""
        self.replayed += 1


Pool = tuple[int, int]


class Allocator:
    """What torch's allocator notes of captures: where one fails, 2.11 leaves it as it is."""

    def __init__(self, *, ends: bool = False) -> None:
        """`ends`: as later versions do."""
        self.ends, self.handed = ends, 0
        self.under_way: list[Pool] = []
        self.used: list[Pool] = []

    def handle(self) -> Pool:
        self.handed += 1
        return 0, self.handed

    def end(self, device: int, pool: Pool) -> None:
        if (device, pool) not in [(0, each) for each in self.under_way]:
            raise RuntimeError("endAllocatePool: not currently recording to mempool_id")
        self.under_way.remove(pool)

    def release(self, device: int, pool: Pool) -> None:
        assert device == 0
        self.used.remove(pool)

    @contextmanager
    def recording(self, pool: Pool) -> Iterator[None]:
        """Note a capture, as it begins and ends."""
        if self.under_way:
            raise RuntimeError("captures_underway.empty() INTERNAL ASSERT FAILED")
        self.under_way.append(pool)
        self.used.append(pool)
        try:
            yield
        except RuntimeError:
            if self.ends:
                self.end(0, pool)
            raise RuntimeError(INVALID)  # noqa: B904 (as torch does, on the way out)
        self.end(0, pool)


@pytest.fixture
def allocator(monkeypatch: pytest.MonkeyPatch) -> Allocator:
    """Torch 2.11's allocator."""
    found = Allocator()
    monkeypatch.setattr(torch.cuda, "graph_pool_handle", found.handle)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(torch._C, "_cuda_endAllocateToPool", found.end, raising=False)
    monkeypatch.setattr(torch._C, "_cuda_releasePool", found.release, raising=False)
    return found


@pytest.fixture
def graphs(monkeypatch: pytest.MonkeyPatch, allocator: Allocator) -> Iterator[list[Graph]]:
    """All graphs that are captured, of a torch.cuda that takes every call."""
    made: list[Graph] = []
    _streams.cache_clear()  # real ones, or those of another test

    @contextmanager
    def graph(
        taken: Graph, pool: Pool, *, stream: Queue, capture_error_mode: str
    ) -> Iterator[None]:
        assert (type(stream), capture_error_mode) == (Queue, "thread_local")
        with allocator.recording(pool):
            yield
        made.append(taken)

    for name, fake in {
        "Stream": Queue,
        "CUDAGraph": Graph,
        "graph": graph,
        "device": lambda _: nullcontext(),
        "stream": lambda _: nullcontext(),
        "current_stream": lambda _: "the current one",
        "synchronize": lambda _: None,
    }.items():
        monkeypatch.setattr(torch.cuda, name, fake)
    yield made
    _streams.cache_clear()


def test_an_iteration_is_captured_once_it_has_run(graphs: list[Graph]) -> None:
    """Libraries make what they need when they are first called, which no capture allows."""
    runs: list[int] = []

    replay = CudaStream(GPU).capture(lambda: runs.append(1))
    replay()
    replay()

    assert len(runs) == WARM_UPS + 1
    assert [graph.replayed for graph in graphs] == [2]


@pytest.mark.usefixtures("graphs")
def test_all_dreams_of_a_gpu_share_two_streams() -> None:
    """CuBLAS keeps room for each that it has seen, as long as the process lives."""
    before = Queue.taken

    for gpu in (GPU, GPU, torch.device("cuda:1"), GPU):
        CudaStream(gpu).capture(lambda: None)

    assert Queue.taken - before == 2 * 2


def test_what_can_not_be_captured_runs_by_itself_and_says_why(
    graphs: list[Graph], caplog: pytest.LogCaptureFixture
) -> None:
    """The same iterations, slower. The error holds tensors, so no record of the log holds it."""
    runs: list[int] = []

    def iterate() -> None:
        runs.append(1)
        if len(runs) == WARM_UPS + 1:
            raise RuntimeError("operation not permitted when stream is capturing")

    run = CudaStream(GPU).capture(iterate)
    run()

    assert len(runs) == WARM_UPS + 2
    assert graphs == []
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert isinstance(record.args, tuple)
    assert not any(isinstance(each, BaseException) for each in record.args)
    assert "no graph can be captured on cuda:0" in record.message
    assert "operation not permitted when stream is capturing" in record.message


@pytest.mark.parametrize("ends", [False, True], ids=["torch 2.11", "later"])
def test_a_capture_that_failed_is_in_no_later_ones_way(
    ends: bool, graphs: list[Graph], allocator: Allocator
) -> None:
    """Torch 2.11 would let none begin, and empty no cache: each later job of a worker failed."""
    allocator.ends = ends
    runs: list[int] = []

    def iterate() -> None:
        runs.append(1)
        if len(runs) == WARM_UPS + 1:
            raise RuntimeError("operation not permitted when stream is capturing")

    CudaStream(GPU).capture(iterate)
    left = list(allocator.under_way)
    CudaStream(GPU).capture(lambda: None)

    assert left == []
    assert len(graphs) == 1
    # Whoever has ended it gives back what it used.
    assert allocator.used == ([(0, 1), (0, 2)] if ends else [(0, 2)])


def test_running_out_of_memory_in_a_capture_is_no_reason_to_crawl(graphs: list[Graph]) -> None:
    """A smaller form has a graph again. What torch raises is that the capture is invalid."""
    runs: list[int] = []

    def iterate() -> None:
        runs.append(1)
        if len(runs) == WARM_UPS + 1:
            raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(RuntimeError, match=INVALID) as raised:
        CudaStream(GPU).capture(iterate)
    assert ran_out(raised.value)
    assert graphs == []


def test_what_fails_outside_a_capture_is_no_reason_to_go_on(graphs: list[Graph]) -> None:
    """Out of memory in the first iteration: a smaller form has to be taken."""

    def iterate() -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(torch.OutOfMemoryError):
        CudaStream(GPU).capture(iterate)
    assert graphs == []


def test_float32_is_multiplied_in_full_inside_and_as_before_outside() -> None:
    """By switches of the whole process, which others may have set otherwise."""
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn

    def switches() -> tuple[object, ...]:
        by = matmul.fp32_precision, cudnn.conv.fp32_precision
        return *by, cudnn.deterministic, cudnn.benchmark

    before = matmul.fp32_precision
    matmul.fp32_precision = "tf32"
    try:
        outside = switches()
        with multiplying_in_full():
            inside = switches()
        after = switches()
    finally:
        matmul.fp32_precision = before

    assert inside == ("ieee", "ieee", True, False)
    assert after == outside != inside
