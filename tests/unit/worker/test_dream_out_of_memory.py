"""What becomes of a dream that doesn't fit into memory."""

import re

import pytest

from tests.unit.worker.stand_ins import RUN, Claim, Engine, claim, dream, problem


def large() -> Claim:
    """Return a claim of a job that is run at 600 × 400."""
    found = claim(iterations=3, image_size=600)
    found.begin(RUN.model_copy(update={"width": 600, "height": 400}))
    return found


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError(
            "[enforce fail at alloc_cpu.cpp:117] . DefaultCPUAllocator: can't allocate"
            " memory: you tried to allocate 4000000000000 bytes."
        ),
        type("OutOfMemoryError", (RuntimeError,), {})("CUDA out of memory"),
    ],
)
def test_a_dream_that_runs_out_of_memory_goes_back_to_be_seen_in_smaller_parts(
    error: Exception,
) -> None:
    """The record has the next plan before the job is given back, and the process is replaced."""
    job = large()

    told = dream(job, Engine(3, error))

    assert job.job.run is not None
    assert job.job.run.plan["parts"] == "bands"
    assert [what[0] for what in told[-4:]] == ["begin", "out-of-memory", "give_back", "leave"]
    assert told[-3][1]["form"] == "whole"


def test_after_the_smallest_parts_it_fails_with_the_size_that_may_fit() -> None:
    """Attempt after attempt needs less; the last one names the way out."""
    job, plans = large(), []
    while True:
        job.told.clear()
        told = dream(job, Engine(3, MemoryError()))
        if told[-2][0] == "fail":
            break
        assert job.job.run is not None
        plans.append(job.job.run.plan["parts"])

    found = problem(told)
    assert plans[0] == "bands"
    assert told[-1] == ("leave",)
    assert found.code == "out-of-memory"
    assert re.search(
        r"vgg19 at 600 × 400 needs more memory than cpu has, even seen in bands of \d+ rows "
        r"to pool\d; the largest image_size that may fit is \d+",
        found.detail,
    )


def test_after_a_fault_of_its_gpu_a_process_takes_no_other_job() -> None:
    """Every call that follows would fail as well; a fault of ours alone is no reason to leave."""
    lost = type("AcceleratorError", (RuntimeError,), {})("CUDA error: unspecified launch failure")

    told = dream(claim(iterations=3), Engine(3, lost))
    ours = dream(claim(iterations=3), Engine(3, RuntimeError("shapes don't match")))

    assert [what[0] for what in told[-2:]] == ["fail", "leave"]
    assert ours[-1][0] == "fail"
