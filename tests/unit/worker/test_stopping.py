import threading

from worker.stopping import Stopping


def test_a_process_that_leaves_in_time_is_not_ended() -> None:
    """The job has been given back by its own thread, between two steps."""
    ended = threading.Event()
    stopping = Stopping(say=list, leave=ended.set, end=lambda _: ended.set(), grace_s=60)

    stopping.begin()
    stopping.finish()

    assert stopping.asked.is_set()
    for thread in threading.enumerate():
        if thread.name == "stopping":
            thread.join()
    assert not ended.is_set()


def test_a_step_that_outlasts_the_grace_loses_its_job_and_the_process() -> None:
    """A supervisor kills after 5 s; the job must be back in its queue by then."""
    done: list[object] = []
    ended = threading.Event()

    def end(status: int) -> None:
        done.append(status)
        ended.set()

    stopping = Stopping(
        say=lambda: done.append("said"),
        leave=lambda: done.append("given back"),
        end=end,
        grace_s=0.0,
    )
    stopping.begin()
    stopping.begin()

    assert ended.wait(30)
    assert done == ["said", "given back", 0]
